"""Defences of keys, and against clients of the API, switched off.

The attacks stand in docs/security.md.
"""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

CONTROLS: Final = (
    Mutant(
        "two_copies",
        "other instances are not heard",
        "tests/node/test_lookout.py::test_an_announcement_of_another_process_stops_it",
        (
            Change(
                "blockchain/node/lookout.py",
                "return is_own and said.instance != self._instance and said.time_ms >= self._since_ms "
                "and not self.is_stopped",
                "return False",
            ),
        ),
    ),
    Mutant(
        "restored_backup",
        "whatever is seen counts as held",
        "tests/node/test_lookout.py::test_a_vote_that_the_record_does_not_hold_stops_this_run",
        (
            Change(
                "blockchain/node/lookout.py",
                "    if here != last:\n"
                "        return here < last\n"
                "    return record.message is None or unsigned(message) == unsigned(record.message)",
                "    return True",
            ),
        ),
    ),
    Mutant(
        "record_rollback",
        "an older record is taken",
        "tests/runtime/test_signer.py::test_a_record_that_goes_back_while_it_is_in_use_is_refused",
        (
            Change(
                "blockchain/runtime/record_file.py",
                "if not _is_onward(self._kept, kept):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "key_in_a_log",
        "the seed is in the `repr`",
        "tests/primitives/test_crypto.py::test_a_key_shows_no_secret_and_does_not_change",
        (
            Change(
                "blockchain/primitives/crypto.py",
                "seed: bytes = field(repr=False)",
                "seed: bytes",
            ),
        ),
    ),
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
)
