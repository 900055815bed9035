"""Defences against clients of the API switched off.

The attacks stand in docs/security.md.
"""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

CONTROLS: Final = (
    Mutant(
        "dns_rebinding",
        "any name is answered",
        "tests/api/test_hosts.py::test_any_other_name_is_refused_before_anything_is_asked",
        (
            Change(
                "blockchain/api/hosts.py",
                'if self._rule.allows(host, server[0] if server else ""):',
                "if True:",
            ),
        ),
    ),
    Mutant(
        "host_header",
        "the first of several counts",
        "tests/api/test_hosts.py::test_a_host_that_stands_twice",
        (
            Change(
                "blockchain/api/hosts.py",
                "match = _HOST.fullmatch(given[0]) if len(given) == 1 else None",
                "match = _HOST.fullmatch(given[0]) if given else None",
            ),
        ),
    ),
    Mutant(
        "body_in_pieces",
        "pieces are not counted",
        "tests/api/test_connection.py::test_a_body_in_very_many_small_pieces_is_refused",
        (Change("blockchain/api/connection.py", "            self._pieces += 1\n", "            pass\n"),),
    ),
    Mutant(
        "csrf",
        "any media type is read",
        "tests/api/test_create.py::test_other_media_types",
        (
            Change(
                "blockchain/api/body.py",
                "if media_type not in (_JSON, _MSGPACK):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "cors",
        "every origin is invited",
        "tests/api/test_answers.py::test_no_answer_invites_other_origins",
        (
            Change(
                "blockchain/api/app.py",
                "    app.add_middleware(CheckedUrl)\n",
                "    app.add_middleware(CheckedUrl)\n"
                "    from starlette.middleware.cors import CORSMiddleware\n"
                "\n"
                '    app.add_middleware(CORSMiddleware, allow_origins=["*"])\n',
            ),
        ),
    ),
    Mutant(
        "path_traversal",
        "the folder above is served",
        "tests/api/test_docs.py::test_no_path_leads_out_of_the_folder_that_is_served",
        (
            Change(
                "blockchain/api/docs.py",
                'app.mount(f"{prefix}/static", _WholeFiles(directory=STATIC_FOLDER))',
                'app.mount(f"{prefix}/static", _WholeFiles(directory=STATIC_FOLDER.parent))',
            ),
        ),
    ),
    Mutant(
        "range_header",
        "the framework reads the header",
        "tests/api/test_docs.py::test_a_file_is_sent_as_a_whole",
        (
            Change(
                "blockchain/api/docs.py",
                'return {**scope, "headers": [one for one in scope["headers"] if one[0] != b"range"]}',
                "return scope",
            ),
        ),
    ),
    Mutant(
        "endless_body",
        "a body has no maximum",
        "tests/api/test_create.py::test_a_body_that_grows_too_large_is_read_no_further",
        (
            Change(
                "blockchain/api/body.py",
                "if len(chunks) + len(chunk) > limits.bytes_max:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "many_bodies",
        "they have no maximum together",
        "tests/api/test_create.py::test_bodies_share_a_bound",
        (
            Change(
                "blockchain/api/body.py",
                "if self.bytes + count > self.bytes_max:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "compressed_body",
        "the encoding of a body is not looked at",
        "tests/api/test_create.py::test_compressed_bodies_are_not_read",
        (
            Change(
                "blockchain/api/body.py",
                'if request.headers.get("content-encoding", "identity").lower() != "identity":',
                "if False:",
            ),
        ),
    ),
    Mutant(
        "ambiguous_json",
        "the last of two counts",
        "tests/api/test_create.py::test_what_is_no_strict_json",
        (
            Change(
                "blockchain/api/body.py",
                "if len(members) != len(pairs):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "slow_client",
        "each byte moves the end",
        "tests/api/test_connection.py::test_bytes_that_drip_in_do_not_move_the_end_of_a_wait",
        (
            Change(
                "blockchain/api/connection.py",
                "        elif self._deadline is None:\n",
                "        else:\n            self._forget_the_time()\n",
            ),
        ),
    ),
    Mutant(
        "hoarded_connections",
        "nobody makes room",
        "tests/api/test_connection.py::test_the_client_with_the_most_connections_makes_room_for_others",
        (
            Change(
                "blockchain/api/connection.py",
                "        if counts[self._client_key] > CLIENT_CONNECTIONS_MAX:",
                "        if True:\n            return\n        if counts[self._client_key] > CLIENT_CONNECTIONS_MAX:",
            ),
        ),
    ),
    Mutant(
        "header_flood",
        "a head may be a megabyte",
        "tests/api/test_connection.py::test_what_is_refused_before_any_path_gets_a_problem_document",
        (
            Change(
                "blockchain/api/connection.py",
                "_Parser(h11.SERVER, HEAD_BYTES_MAX)",
                "_Parser(h11.SERVER, 1024 * 1024)",
            ),
        ),
    ),
    Mutant(
        "request_flood",
        "requests are not counted",
        "tests/api/test_rate.py::test_one_request_too_many_is_told_when_to_come_again",
        (
            Change(
                "blockchain/api/rate.py",
                "wait = self._buckets.take(client_of(scope))",
                "wait = 0.0",
            ),
        ),
    ),
    Mutant(
        "forged_client",
        "such headers are believed",
        "tests/api/test_connection.py::test_a_header_does_not_say_who_a_client_is",
        (
            Change(
                "blockchain/api/server.py",
                "proxy_headers=False,",
                "proxy_headers=True,",
            ),
        ),
    ),
    Mutant(
        "hoarded_waits",
        "a client has no maximum",
        "tests/api/test_answers_transactions.py::test_no_client_takes_all_places_of_those_who_wait",
        (
            Change(
                "blockchain/api/waiting.py",
                "if self.count >= WAITS_MAX or self.of_clients[client] >= CLIENT_WAITS_MAX:",
                "if self.count >= WAITS_MAX:",
            ),
        ),
    ),
    Mutant(
        "foreign_script",
        "the page has no policy",
        "tests/api/test_docs.py::test_the_page_and_all_it_loads_come_from_this_node",
        (
            Change(
                "blockchain/api/docs.py",
                '"Content-Security-Policy": _POLICY, ',
                "",
            ),
        ),
    ),
    Mutant(
        "guessed_token",
        "wrong tokens are not counted",
        "tests/api/test_admin.py::test_guesses_are_limited_for_each_client",
        (
            Change(
                "blockchain/api/admin.py",
                "            self._wrong.take(client)\n",
                "",
            ),
        ),
    ),
    Mutant(
        "log_injection",
        "the decoded path is logged",
        "tests/api/test_access.py::test_a_path_can_neither_forge_a_line_nor_fill_the_log",
        (
            Change(
                "blockchain/api/access.py",
                'path = (raw_path.decode("latin-1") if raw_path else quote(scope["path"]))[:_PATH_CHARACTERS_MAX]',
                'path = scope["path"]',
            ),
        ),
    ),
    Mutant(
        "terminal_escapes",
        "lines are written as they are",
        "tests/runtime/test_logs.py::test_what_a_stranger_sends_neither_breaks_a_line_nor_commands_a_terminal",
        (
            Change(
                "blockchain/runtime/logs.py",
                'return "".join(c if c.isprintable() else f"\\\\x{ord(c):02x}" for c in escaped)',
                "return line",
            ),
        ),
    ),
)
