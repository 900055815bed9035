"""Bugs in the shell: what is forced to the disk and when, who is let in, what a signer may be asked."""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

_ATOMIC: Final = "blockchain/runtime/atomic_file.py"
_SIGNER: Final = "blockchain/runtime/signer.py"
_RECORD: Final = "blockchain/runtime/record_file.py"
_SLOTS: Final = "blockchain/runtime/record_slots.py"
_SQLITE: Final = "blockchain/runtime/sqlite.py"
_PENDING: Final = "blockchain/runtime/sqlite_pending.py"
_SQLITE_FILE: Final = "blockchain/runtime/sqlite_file.py"
_HANDSHAKE: Final = "blockchain/runtime/handshake.py"
_CHANNEL: Final = "blockchain/runtime/secure_channel.py"
_REMOTE: Final = "blockchain/runtime/remote_signer.py"
_SERVICE: Final = "blockchain/runtime/service.py"
_LINK: Final = "blockchain/runtime/link.py"
_WEBSOCKET: Final = "blockchain/runtime/websocket.py"

MUTANTS: Final = (
    Mutant(
        "record_not_forced_to_the_disk",
        "a power cut takes the signing record back, and the key signs against itself",
        "tests/runtime/test_atomic_file.py::test_content_is_forced_to_the_disk_before_it_has_its_name",
        (
            Change(
                _ATOMIC,
                "        self.file.flush()\n        sync(self.file.fileno())\n",
                "        self.file.flush()\n",
            ),
        ),
    ),
    Mutant(
        "name_of_the_record_not_forced_to_the_disk",
        "the new record is on the disk, and its name still that of the old one",
        "tests/runtime/test_record_file.py::test_what_has_left_is_on_the_disk_whatever_fails",
        (
            Change(
                _ATOMIC,
                "        rename(temporary.finish(), path)\n    sync_folder(path.parent)\n",
                "        rename(temporary.finish(), path)\n",
            ),
        ),
    ),
    Mutant(
        "record_that_was_read_counts_as_durable",
        "the process that wrote it was killed before it was on the disk; the signature leaves, the power goes",
        "tests/runtime/test_record_file.py::test_what_has_left_is_on_the_disk_whatever_fails",
        (
            Change(
                _RECORD,
                "self._kept, self._raw, self._newest, self._is_settled = kept, raw, found, False",
                "self._kept, self._raw, self._newest, self._is_settled = kept, raw, found, True",
            ),
        ),
    ),
    Mutant(
        "signature_not_forced_to_the_disk",
        "the signature leaves while its record is in the cache; the power goes, and the key signs against itself",
        "tests/runtime/test_record_file.py::test_what_has_left_is_on_the_disk_whatever_fails",
        (Change(_ATOMIC, "        sync_content(descriptor)\n", ""),),
    ),
    Mutant(
        "newest_slot_written_over",
        "the power goes in the middle of a write: the last signature is on no disk, though it has left",
        "tests/runtime/test_torn_record.py::test_a_power_cut_in_the_middle_of_a_write_leaves_the_record_before",
        (Change(_SLOTS, "        return 1 - self.place\n", "        return self.place\n"),),
    ),
    Mutant(
        "number_of_a_slot_not_summed",
        "a flipped bit in the number of the older slot makes it the newest, and the record goes back",
        "tests/runtime/test_record_slots.py::test_a_slot_with_any_byte_changed_does_not_count",
        (
            Change(
                _SLOTS, "    return sha256(body).digest() + body\n", "    return sha256(body[8:]).digest() + body\n"
            ),
            Change(_SLOTS, "if sha256(body).digest() != checksum:", "if sha256(body[8:]).digest() != checksum:"),
        ),
    ),
    Mutant(
        "only_one_slot_says_moved_away",
        "that slot is lost, and a validator that was moved signs on both machines",
        "tests/runtime/test_torn_record.py::test_signatures_are_written_by_turns_and_everything_else_into_both",
        (
            Change(
                _SLOTS, "slot_of(payload, number) + slot_of(payload, number)", "slot_of(payload, number) + bytes(4_096)"
            ),
        ),
    ),
    Mutant(
        "start_leaves_one_slot",
        "what a start sends, because the record alone has it, is lost with that slot, and the store asks for another",
        "tests/runtime/test_torn_record.py::test_signatures_are_written_by_turns_and_everything_else_into_both",
        (
            Change(
                _SIGNER,
                "            self._file.write(kept)  #",
                "            if not self._file.is_there:\n                self._file.write(kept)  #",
            ),
        ),
    ),
    Mutant(
        "signature_given_before_it_is_on_record",
        "a crash in between: the signature is in the world, and the record knows nothing of it",
        "tests/runtime/test_signer.py::test_the_record_is_on_the_disk_before_the_signature_is_given",
        (
            Change(
                _SIGNER,
                "        self._file.advance(replace(kept, record=after_signing(kept.record, signed)))\n",
                "        self._file._kept = replace(kept, record=after_signing(kept.record, signed))\n",
            ),
        ),
    ),
    Mutant(
        "record_not_read_again",
        "two processes on one record by mistake sign against each other",
        "tests/runtime/test_signer.py::test_two_signers_on_one_record_do_not_contradict_each_other",
        (
            Change(
                _SIGNER,
                "        kept = self._file.refresh()\n",
                "        kept = self._file.refresh() if not self._file.is_there else self._file.kept\n",
            ),
        ),
    ),
    Mutant(
        "record_not_locked",
        "two processes on one record read it at the same moment, and both sign",
        "tests/runtime/test_signer.py::test_of_signers_that_race_one_wins",
        (
            Change(
                _RECORD,
                "                fcntl.flock(lock, fcntl.LOCK_EX)\n",
                "                fcntl.flock(lock, fcntl.LOCK_SH)\n",
            ),
        ),
    ),
    Mutant(
        "record_may_go_back",
        "an old copy that is put in place while the node runs is taken for the record",
        "tests/runtime/test_signer.py::test_a_record_that_goes_back_while_it_is_in_use_is_refused",
        (
            Change(
                _RECORD,
                "    if last_position(after) == last_position(before):\n",
                "    if last_position(after) <= last_position(before):\n"
                "        return True\n"
                "    if not before.height:\n",
            ),
        ),
    ),
    Mutant(
        "damaged_record_believed",
        "a flipped bit in the record is another height, and the key signs what it has signed otherwise",
        "tests/runtime/test_signer.py::test_a_damaged_record_is_refused_whatever_the_damage",
        (Change(_SLOTS, "if sha256(body).digest() != checksum:", "if len(checksum) < 0:"),),
    ),
    Mutant(
        "record_of_another_chain_taken",
        "the record of a test chain is overwritten with this one's, and back: it remembers nothing",
        "tests/runtime/test_signer.py::test_a_record_of_another_chain_is_refused",
        (Change(_RECORD, "if content.genesis_hash != self.genesis_hash:", "if not content.genesis_hash:"),),
    ),
    Mutant(
        "moved_away_and_signing",
        "a validator that was moved to another machine signs on both",
        "tests/runtime/test_record_file.py::test_a_validator_that_was_moved_away_signs_nothing",
        (Change(_SIGNER, "        if kept.is_away:\n", "        if kept.moves < 0:\n"),),
    ),
    Mutant(
        "store_not_forced_to_the_disk",
        "a power cut takes back what was acknowledged, and the record behind signatures",
        "tests/runtime/test_sqlite.py::test_a_power_cut_at_any_moment_leaves_what_was_acknowledged",
        (
            Change(
                _SQLITE_FILE, 'connection.pragma("synchronous", "FULL")', 'connection.pragma("synchronous", "NORMAL")'
            ),
        ),
    ),
    Mutant(
        "store_written_after_a_write_that_failed",
        "a hole in the middle of the chain: the block after the one that the full disk refused is there",
        "tests/runtime/test_sqlite.py::test_a_failing_disk_is_one_clear_line_and_the_store_takes_no_more",
        (Change(_SQLITE, "            self._failure = str(error)\n", ""),),
    ),
    Mutant(
        "store_of_another_chain_opened",
        "a node with the wrong genesis file writes its chain into another one's store",
        "tests/runtime/test_sqlite.py::test_a_store_of_another_chain_is_refused",
        (Change(_SQLITE_FILE, "    if found != genesis_hash:\n", "    if not found:\n"),),
    ),
    Mutant(
        "what_left_the_pool_is_back_after_a_restart",
        "a transaction that was refused or is final waits again, and is told of as pending",
        "tests/runtime/test_sqlite_pending.py::test_it_holds_what_the_store_in_memory_holds_whatever_comes_and_goes",
        (Change(_PENDING, "gone = 0 if bits is None else", "gone = 0 if bits else"),),
    ),
    Mutant(
        "places_of_a_write_that_was_undone",
        "what was undone counts as written, and is not written when it comes again",
        "tests/runtime/test_sqlite_pending.py::test_a_write_that_was_undone_leaves_no_trace_in_what_is_known",
        (Change(_SQLITE, "PendingRows(self._writer), None\n", "PendingRows(self._writer), self._pending_rows\n"),),
    ),
    Mutant(
        "batch_in_pieces",
        "a crash in the middle of a block leaves its body without its state",
        "tests/runtime/test_sqlite.py::test_an_exception_in_the_middle_of_a_batch_leaves_nothing_of_it",
        (
            Change(
                _SQLITE,
                'with InWords(self.path, "cannot write"), transaction(self._writer):',
                'with InWords(self.path, "cannot write"):',
            ),
        ),
    ),
    Mutant(
        "effects_do_not_wait_for_the_write",
        "what is told and signed leaves while the disk is still busy with what it depends on",
        "tests/runtime/test_service.py::test_a_client_is_answered_when_its_transaction_is_on_the_disk",
        (
            Change(
                _SERVICE,
                "                self._disk.ask(write, written, self._steps.fail)\n                return False\n",
                "                self._disk.ask(write, lambda _: None, self._steps.fail)\n",
            ),
        ),
    ),
    Mutant(
        "proof_of_a_peer_not_verified",
        "a node id says nothing: bans, admission and the signer's list are for whoever claims it",
        "tests/runtime/test_handshake.py::test_a_stolen_id_is_found_out",
        (
            Change(
                _HANDSHAKE,
                "if not verify(self._peer_id, self._signed_by(self._role.other), proof.signature):",
                "if not self._signed_by(self._role.other):",
            ),
        ),
    ),
    Mutant(
        "proof_of_either_role",
        "a node's own proof, sent back to it, proves that its peer is itself or whom it likes",
        "tests/runtime/test_handshake.py::test_a_proof_under_the_tag_of_the_other_role_is_refused",
        (
            Change(
                _HANDSHAKE,
                "return self.dialler if role is Role.DIALLER else self.listener",
                "return self.dialler if role else self.listener",
            ),
        ),
    ),
    Mutant(
        "ephemeral_keys_not_signed",
        "somebody in between makes a channel with each side, and reads and changes all",
        "tests/runtime/test_handshake.py::test_who_stands_in_between_with_keys_of_its_own_is_found_out",
        (Change(_HANDSHAKE, "                *(dialler.ephemeral, listener.ephemeral),\n", ""),),
    ),
    Mutant(
        "who_answers_is_not_compared_with_who_was_dialled",
        "the remote signer that a node talks to is whoever answers at its address",
        "tests/runtime/test_handshake.py::test_one_that_was_not_dialled_is_refused",
        (Change(_HANDSHAKE, "if self._expected_id is not None and peer_id != self._expected_id:", "if not peer_id:"),),
    ),
    Mutant(
        "list_of_admitted_not_asked",
        "anybody asks the signer for signatures",
        "tests/runtime/test_handshake.py::test_who_is_not_admitted_is_refused_on_both_sides",
        (
            Change(
                _HANDSHAKE,
                "if self._identity.admitted is not None and peer_id not in self._identity.admitted:",
                "if self._identity.admitted is not None and not peer_id:",
            ),
        ),
    ),
    Mutant(
        "chain_of_a_peer_not_compared",
        "nodes of all chains take up each other's places",
        "tests/runtime/test_handshake.py::test_other_chain_is_refused_by_both_with_both_named",
        (Change(_HANDSHAKE, "    if theirs != genesis_hash:\n", "    if not theirs:\n"),),
    ),
    Mutant(
        "handshake_frames_of_any_length",
        "who is nobody yet gets as much memory as it likes",
        "tests/runtime/test_handshake.py::test_a_frame_beyond_the_limit_is_not_looked_at",
        (Change(_HANDSHAKE, "if len(frame) > HANDSHAKE_FRAME_BYTES_MAX:", "if len(frame) < 0:"),),
    ),
    Mutant(
        "channel_goes_on_after_a_forged_frame",
        "somebody in between drops and forges frames until one does what it wants",
        "tests/runtime/test_handshake.py::test_changing_any_byte_of_a_message_closes_the_channel",
        (Change(_CHANNEL, "        self._closed_why = why\n", ""),),
    ),
    Mutant(
        "transactions_sent_before_votes",
        "on a slow line agreement waits for every transaction",
        "tests/runtime/test_outgoing.py::test_a_vote_is_sent_before_transactions_that_wait_already",
        (
            Change(
                "blockchain/runtime/outgoing.py",
                "(self._first or self._transactions)",
                "(self._transactions or self._first)",
            ),
        ),
    ),
    Mutant(
        "queue_of_a_slow_reader_grows",
        "a peer that never reads takes the node's memory",
        "tests/runtime/test_p2p_traffic.py::test_a_slow_reader_is_cut",
        (
            Change(
                _LINK,
                "if len(self._outgoing) >= self._limits.outgoing_messages_max or waiting_bytes > "
                "self._limits.outgoing_bytes_max:",
                "if waiting_bytes < 0:",
            ),
        ),
    ),
    Mutant(
        "frames_of_strangers_of_any_length",
        "who is nobody yet sends the longest message before it says hello",
        "tests/runtime/test_p2p_gate.py::test_a_stranger_that_sends_anything_else_is_closed",
        (Change(_WEBSOCKET, '"max_size": HANDSHAKE_FRAME_BYTES_MAX,', '"max_size": limits.message_bytes_max,'),),
    ),
    Mutant(
        "answers_of_a_remote_signer_believed",
        "a signer that is wrong, or somebody else, makes a node send votes that get it banned",
        "tests/runtime/test_remote_signer.py::test_a_wrong_answer_is_a_refusal_and_the_end_of_the_connection",
        (Change(_REMOTE, "if not verify_message(message, asked.key, self._genesis_hash):", "if not asked.key:"),),
    ),
    Mutant(
        "remote_signer_with_an_older_record_used",
        "a signer restored from an old copy signs again where it has signed",
        "tests/runtime/test_remote_signer.py::test_a_signer_that_comes_back_with_an_older_record_is_not_used",
        (Change(_REMOTE, 'return "" if known is None else _contradiction(record, known)', 'return ""'),),
    ),
)
