"""Defences of keys and signers switched off.

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
        "crash_double_sign",
        "the record is not written",
        "tests/runtime/test_signer.py::test_the_record_is_on_the_disk_before_the_signature_is_given",
        (
            Change(
                "blockchain/runtime/signer.py",
                "        self._file.advance(replace(kept, record=after_signing(kept.record, signed)))\n",
                "",
            ),
        ),
    ),
    Mutant(
        "misled_signer",
        "the lock is not on record",
        "tests/consensus/test_signing.py::test_refuses_a_prevote_that_forgets_the_precommit",
        (
            Change(
                "blockchain/consensus/signing.py",
                "if prevote.polka_round < record.precommit_round:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "two_nodes_one_signer",
        "two messages in one place pass",
        "tests/runtime/test_remote_signer.py::test_two_nodes_of_one_signer_cannot_make_it_contradict_itself",
        (
            Change(
                "blockchain/consensus/signing.py",
                "if asked == last:\n        raise",
                "if False:\n        raise",
            ),
        ),
    ),
    Mutant(
        "stranger_at_the_signer",
        "everybody is admitted",
        "tests/runtime/test_remote_signer.py::test_who_is_not_admitted_gets_no_word_and_an_empty_list_admits_nobody",
        (
            Change(
                "blockchain/runtime/handshake.py",
                "if self._identity.admitted is not None and peer_id not in self._identity.admitted:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "false_signer",
        "the record is believed",
        "tests/runtime/test_remote_signer.py::test_a_description_that_its_key_did_not_sign_is_not_believed",
        (
            Change(
                "blockchain/runtime/remote_signer.py",
                "if record.message is not None and not verify_message(record.message, record.key, self._genesis_hash):",
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
        "bytes_in_a_log",
        "bytes are written out",
        "tests/runtime/test_logs.py::test_a_key_that_gets_into_a_line_does_not_show",
        (
            Change(
                "blockchain/runtime/logs.py",
                'return f"<{len(value)} bytes>" if isinstance(value, bytes | bytearray) else str(value)',
                "return value.hex() if isinstance(value, bytes | bytearray) else str(value)",
            ),
        ),
    ),
    Mutant(
        "readable_key_file",
        "modes are not looked at",
        "tests/runtime/test_keystore.py::test_a_node_key_that_others_may_read_is_refused",
        (
            Change(
                "blockchain/runtime/keystore.py",
                "if not mode & OTHERS or (public_ok and public_key_of(path) in DEMO_KEYS):",
                "if True:",
            ),
        ),
    ),
    Mutant(
        "public_demo_keys",
        "demo keys pass",
        "tests/runtime/test_keystore.py::test_a_demo_key_is_no_secret",
        (
            Change(
                "blockchain/runtime/keystore.py",
                "    if key in DEMO_KEYS:\n        raise",
                "    if False:\n        raise",
            ),
        ),
    ),
    Mutant(
        "moved_and_left_behind",
        "the mark is not looked at",
        "tests/runtime/test_record_file.py::test_a_validator_that_was_moved_away_signs_nothing",
        (
            Change(
                "blockchain/runtime/signer.py",
                "if kept.is_away:",
                "if False:",
            ),
        ),
    ),
)
