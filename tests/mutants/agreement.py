"""Bugs in the rules of agreement: locks, rounds, votes, what is signed and what is written down first."""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

_TENDERMINT: Final = "blockchain/consensus/tendermint.py"
_VOTES: Final = "blockchain/consensus/votes.py"
_HEIGHT: Final = "blockchain/consensus/height.py"
_BFT: Final = "blockchain/consensus/bft.py"
_VOICE: Final = "blockchain/consensus/voice.py"
_EVIDENCE: Final = "blockchain/consensus/evidence.py"
_SIGNING: Final = "blockchain/consensus/signing.py"
_FORGING: Final = "blockchain/consensus/forging.py"
_COMMIT: Final = "blockchain/consensus/commit.py"
_VALIDATORS: Final = "blockchain/primitives/validators.py"

MUTANTS: Final = (
    Mutant(
        "two_thirds_are_a_quorum",
        "two quorums of two thirds share a third, which may be hostile as a whole: two blocks become final",
        "tests/primitives/test_validators.py::test_exactly_two_thirds_are_not_enough",
        (Change(_VALIDATORS, "return 3 * stake > 2 * self.total", "return 3 * stake >= 2 * self.total"),),
    ),
    Mutant(
        "a_third_makes_others_skip",
        "a third, all of it hostile, drives everybody from round to round, and nothing is ever decided",
        "tests/consensus/test_tendermint.py::test_l55_exactly_a_third_is_not_followed",
        (Change(_VALIDATORS, "return 3 * stake > self.total", "return 3 * stake >= self.total"),),
    ),
    Mutant(
        "lock_forgotten_for_a_new_value",
        "locked on v at r, it prevotes for w at r + 1: v may be final somewhere already",
        "tests/consensus/test_tendermint.py::test_l22_a_new_proposal",
        (
            Change(
                _TENDERMINT, "free = self.locked_round == -1 or self.locked_value == candidate.block_id", "free = True"
            ),
        ),
    ),
    Mutant(
        "lock_forgotten_for_an_older_polka",
        "a polka from before the lock lifts it: v may be final somewhere already",
        "tests/consensus/test_tendermint.py::test_l28_a_value_proposed_again",
        (
            Change(
                _TENDERMINT,
                "free = self.locked_round <= candidate.valid_round or self.locked_value == candidate.block_id",
                "free = True",
            ),
        ),
    ),
    Mutant(
        "polka_of_the_valid_round_not_asked_for",
        "a forger claims a polka that never was, and all locks are lifted",
        "tests/consensus/test_tendermint.py::test_l28_waits_for_the_polka",
        (
            Change(
                _TENDERMINT,
                "if not self.book.is_polka(candidate.valid_round, candidate.block_id):",
                "if self.book.is_polka(candidate.valid_round, None):",
            ),
        ),
    ),
    Mutant(
        "locks_without_a_polka_of_its_round",
        "it locks on and precommits what a polka of an earlier round was for",
        "tests/consensus/test_tendermint.py::test_l36_not_for_a_polka_of_another_round",
        (
            Change(
                _TENDERMINT,
                "if not candidate.is_valid or not self.book.is_polka(self.round, candidate.block_id):",
                "if not candidate.is_valid or not any("
                "self.book.is_polka(round, candidate.block_id) for round in range(self.round + 1)):",
            ),
        ),
    ),
    Mutant(
        "precommits_an_invalid_block",
        "a block that breaks the rules of value gets this node's precommit, if others prevoted for it",
        "tests/consensus/test_tendermint.py::test_l36_not_for_an_invalid_value",
        (
            Change(
                _TENDERMINT,
                "if not candidate.is_valid or not self.book.is_polka(self.round, candidate.block_id):",
                "if not self.book.is_polka(self.round, candidate.block_id):",
            ),
        ),
    ),
    Mutant(
        "decides_an_invalid_block",
        "what two thirds of bad validators sign becomes final here, whatever it holds",
        "tests/consensus/test_tendermint.py::test_l49_not_for_an_invalid_value",
        (
            Change(
                _TENDERMINT,
                "if candidate.is_valid and self.book.decided(round) == candidate.block_id:",
                "if self.book.decided(round) == candidate.block_id:",
            ),
        ),
    ),
    Mutant(
        "decides_in_its_own_round_only",
        "a decision of an earlier round is never seen: half of the network goes on without the other",
        "tests/consensus/test_tendermint.py::test_l49_precommits_of_any_round_decide",
        (
            Change(
                _TENDERMINT,
                "if candidate.is_valid and self.book.decided(round) == candidate.block_id:",
                "if round == self.round and candidate.is_valid and self.book.decided(round) == candidate.block_id:",
            ),
        ),
    ),
    Mutant(
        "valid_value_dropped",
        "a value that some are locked on is not proposed again: a hidden lock stops the height for good",
        "tests/consensus/test_tendermint.py::test_l36_a_polka_in_the_precommit_step_sets_the_valid_value_only",
        (
            Change(
                _TENDERMINT,
                "self.valid_value, self.valid_round = candidate.block_id, self.round  # L42, L43",
                "self.valid_value, self.valid_round = None, -1",
            ),
        ),
    ),
    Mutant(
        "valid_value_not_proposed_again",
        "its forger proposes a new block over the one that others are locked on, which they cannot vote for",
        "tests/consensus/test_forging.py::test_a_forger_proposes_its_valid_value_again_without_a_trigger_or_a_proof",
        (Change(_FORGING, "if rules.valid_value is not None:  # L16", "if rules.valid_round > rules.round:"),),
    ),
    Mutant(
        "timeouts_of_earlier_rounds_count",
        "a timer that comes late ends the round in progress: the network runs through rounds without deciding",
        "tests/consensus/test_tendermint.py::test_a_timeout_of_another_round_changes_nothing",
        (Change(_TENDERMINT, "if round != self.round or self.decision is not None:", "if self.decision is not None:"),),
    ),
    Mutant(
        "votes_of_different_rounds_add_up_to_a_skip",
        "liars spread over later rounds make everybody skip to one where nobody is",
        "tests/consensus/test_tendermint.py::test_l55_votes_of_different_later_rounds_do_not_add_up",
        (
            Change(
                _TENDERMINT,
                "if self.validators.is_honest_minority(self.book.stake_in_round(round)):",
                "if self.validators.is_honest_minority(self.book.stake_from(round)):",
            ),
        ),
    ),
    Mutant(
        "own_lock_not_shown_in_the_prevote",
        "a correct validator that votes for its lock without showing its polka is punished for amnesia",
        "tests/consensus/test_tendermint.py::test_l28_a_value_proposed_again",
        (
            Change(
                _TENDERMINT,
                "polka_round = max(candidate.valid_round, locked)  # protocol §5.7",
                "polka_round = min(candidate.valid_round, max(candidate.valid_round, locked))",
            ),
        ),
    ),
    Mutant(
        "vote_counted_twice",
        "one validator that sends its vote again and again is a quorum by itself",
        "tests/consensus/test_votes.py::test_the_same_vote_again_is_known",
        (
            Change(
                _VOTES,
                "        if known is not None:\n"
                "            return (Added.KNOWN if known.polka_round == vote.polka_round else Added.CONFLICT), []\n",
                "        if known is not None and known.polka_round != vote.polka_round:\n"
                "            return Added.CONFLICT, []\n"
                "        if known is not None:\n"
                "            votes.add(vote, self.validators.stake_of(vote.validator))\n"
                "            return Added.KNOWN, []\n",
            ),
        ),
    ),
    Mutant(
        "second_vote_adds_to_the_stake_that_voted",
        "a double voter alone starts the time-outs of everybody, long before two thirds have voted",
        "tests/consensus/test_tendermint.py::test_a_second_vote_does_not_add_to_the_stake_that_voted",
        (
            Change(
                _VOTES,
                "            self.firsts[vote.validator] = vote\n            self.stake += stake\n",
                "            self.firsts[vote.validator] = vote\n        self.stake += stake\n",
            ),
        ),
    ),
    Mutant(
        "second_votes_never_count",
        "who prevotes nil to one node and v to the others hides from that node for ever the polka for v",
        "tests/consensus/test_votes.py::test_a_second_vote_counts_where_more_than_a_third_voted_so_first",
        (
            Change(
                _VOTES,
                "if vote.round > current_round or not self.validators.is_honest_minority(",
                "if vote.round >= 0 or not self.validators.is_honest_minority(",
            ),
        ),
    ),
    Mutant(
        "votes_of_later_rounds_kept_without_bound",
        "one validator fills every node's memory with votes for rounds that never come",
        "tests/consensus/test_votes.py::test_memory_is_bounded_by_validators_whatever_one_sends",
        (
            Change(
                _VOTES,
                "if vote.round > current_round and not self._make_room(vote, current_round):",
                "if vote.round < current_round and not self._make_room(vote, current_round):",
            ),
        ),
    ),
    Mutant(
        "certificate_counts_a_validator_twice",
        "one validator's precommit, repeated, makes any block final for all that sync",
        "tests/primitives/test_validators.py::test_nobody_counts_twice",
        (Change(_VALIDATORS, "if entry.index <= previous:", "if entry.index < previous:"),),
    ),
    Mutant(
        "certificate_with_a_garbage_tail",
        "any bytes after two thirds are good: who did not sign is paid, or the block has as many ids as one likes",
        "tests/primitives/test_validators.py::test_one_bad_signature_spoils_the_whole_beyond_two_thirds_too",
        (
            Change(
                _VALIDATORS,
                "        signed += validator.stake\n",
                "        signed += validator.stake\n"
                "        if validators.is_quorum(signed):\n"
                "            return signed\n",
            ),
        ),
    ),
    Mutant(
        "certificate_signatures_not_checked",
        "anybody makes certificates for anything",
        "tests/primitives/test_validators.py::test_each_signature_is_checked",
        (
            Change(
                _VALIDATORS,
                "if not verify_message(vote, validator.key, genesis_hash):",
                "if not validator.key:",
            ),
        ),
    ),
    Mutant(
        "late_precommits_for_anything_enter_the_certificate",
        "the next block carries a certificate that nobody else takes for good: its forger loses its turn",
        "tests/consensus/test_forging.py::test_other_votes_do_not_enter_the_heads_certificate",
        (Change(_COMMIT, "if not fits or vote.validator not", "if vote.validator not"),),
    ),
    Mutant(
        "lock_not_restored",
        "a crash between precommit and decision makes it vote for another block at the same height",
        "tests/consensus/test_restart.py::test_a_node_resumes_in_the_recorded_place_with_its_lock",
        (
            Change(
                _HEIGHT,
                "rules.locked_value, rules.locked_round = record.locked_value, record.locked_round",
                "rules.locked_value, rules.locked_round = None, -1",
            ),
        ),
    ),
    Mutant(
        "valid_value_not_restored",
        "after a crash its forger proposes a new block over the one that others are locked on",
        "tests/consensus/test_restart.py::test_a_node_resumes_in_its_round_with_the_lock_and_the_valid_value_of_an_earlier_one",
        (
            Change(
                _HEIGHT,
                "rules.valid_value, rules.valid_round = record.valid_value, record.valid_round",
                "rules.valid_value, rules.valid_round = None, -1",
            ),
        ),
    ),
    Mutant(
        "restart_from_round_0",
        "after a crash it goes through its rounds again, and would sign other votes for them",
        "tests/consensus/test_restart.py::test_a_node_resumes_in_its_round_with_the_lock_and_the_valid_value_of_an_earlier_one",
        (
            Change(
                _HEIGHT,
                "rules.round, rules.step = record.round, _step_asked_for(record)",
                "rules.round, rules.step = 0, _step_asked_for(record)",
            ),
        ),
    ),
    Mutant(
        "polka_behind_the_lock_not_recorded",
        "all crash at once, and nobody can show any more why they are locked: the height never ends",
        "tests/consensus/test_bft.py::test_a_lock_is_written_with_the_prevotes_behind_it_before_the_precommit",
        (Change(_HEIGHT, "prevotes=tuple(rules.book.of(rules.valid_round).prevotes.votes.values()),", "prevotes=(),"),),
    ),
    Mutant(
        "signature_asked_for_before_the_record",
        "a crash in between leaves a signature in the world that this node knows nothing of",
        "tests/consensus/test_bft.py::test_a_lock_is_written_with_the_prevotes_behind_it_before_the_precommit",
        (
            Change(
                _VOICE,
                "return [written, *signs] if any(map(is_precommit, current.asked)) else [*signs, written]",
                "return [*signs, written]",
            ),
        ),
    ),
    Mutant(
        "vote_after_a_precommit_signed_beside_the_record",
        "the signer writes over a precommit that no record holds: after a crash its round may never end for the others",
        "tests/consensus/test_restart.py::test_a_precommit_is_on_the_disk_before_the_signer_writes_over_it",
        (Change(_VOICE, "if any(map(is_precommit, current.asked)) else", "if is_precommit(message) else"),),
    ),
    Mutant(
        "vote_asked_for_before_a_precommit_is_answered",
        "a slow signer writes over a precommit that no record holds: lost with its answer, or with this node",
        "tests/consensus/test_restart.py::"
        "test_nothing_is_asked_of_the_signer_until_the_record_holds_the_precommit_that_it_gives",
        (Change(_VOICE, "if current.awaited is None and not current.put_off:", "if True:"),),
    ),
    Mutant(
        "record_without_what_is_asked_for",
        "the record is there, but does not hold what its signature was asked for",
        "tests/consensus/test_restart.py::test_a_forger_whose_proposal_was_not_signed_asks_for_the_same_one",
        (
            Change(
                _VOICE,
                "        current.asked.append(message)\n        written, signs = self._write_down(current), "
                "self._ask_signer(current, [message])\n",
                "        written, signs = self._write_down(current), self._ask_signer(current, [message])\n"
                "        current.asked.append(message)\n",
            ),
        ),
    ),
    Mutant(
        "store_behind_its_signer_votes",
        "a store that was put back from a copy votes again where the key has voted already",
        "tests/consensus/test_restart.py::test_a_store_behind_the_signers_record_does_not_vote_up_to_that_height",
        (
            Change(
                _BFT,
                "        if not self.current.recall(record):\n"
                "            self.voice.silence(record.height)\n"
                "        elif last not in self.current.signed and",
                "        if last not in self.current.signed and self.current.recall(record) and",
            ),
        ),
    ),
    Mutant(
        "store_without_its_lock_votes",
        "a store that lost the lock goes on where the signer is, and votes against the lock",
        "tests/consensus/test_restart.py::test_a_store_that_does_not_know_the_signers_lock_is_silent",
        (
            Change(
                "blockchain/consensus/height.py",
                "return is_lock_known and position_of(last) > highest",
                "return position_of(last) > highest",
            ),
        ),
    ),
    Mutant(
        "an_older_copy_takes_its_signers_word_for_its_own",
        "two nodes with one signer: the one that prevoted otherwise counts the other's vote for its own",
        "tests/consensus/test_restart.py::test_another_signature_in_a_place_of_the_record_silences",
        (
            Change(
                "blockchain/consensus/height.py",
                "position_of(last) > highest and not is_precommit(last)",
                "not is_precommit(last)",
            ),
        ),
    ),
    Mutant(
        "a_fork_does_not_end_signing",
        "with two final blocks of one height in the world, this validator goes on as if nothing were",
        "tests/consensus/test_bft.py::test_a_fork_is_kept_told_and_ends_all_signing",
        (Change(_BFT, "        self.voice.halt()\n", ""),),
    ),
    Mutant(
        "proposal_of_anybody_taken",
        "the lottery decides nothing: whoever proposes first, forges",
        "tests/consensus/test_bft.py::test_a_proposal_of_somebody_who_was_not_drawn_is_its_peers_fault",
        (
            Change(_BFT, "if proposal.forger != current.forgers.forger(proposal.round):", "if proposal.round < 0:"),
            Change(
                "blockchain/node/verify.py",
                "if proposal.forger != context.forger(proposal.round):",
                "if proposal.round < 0:",
            ),
        ),
    ),
    Mutant(
        "round_of_the_block_not_compared",
        "a forger of a later round proposes, as its own, the block that it built for an earlier one",
        "tests/consensus/test_bft.py::test_a_block_that_does_not_fit_its_proposal_is_invalid",
        (
            Change(
                "blockchain/consensus/proposals.py",
                "if (header.round, header.forger) != (proposal.round, proposal.forger):",
                "if header.forger != proposal.forger:",
            ),
        ),
    ),
    Mutant(
        "block_of_the_future_voted_for",
        "a forger sets the chain's clock to whatever it likes: pauses, unbonding and expiry go with it",
        "tests/consensus/test_bft.py::test_a_block_ahead_of_the_clock_gets_nil",
        (
            Change(
                "blockchain/consensus/proposals.py",
                "if proposal.valid_round >= 0 or ahead <= drift_ms or",
                "if proposal.valid_round >= -1 or ahead <= drift_ms or",
            ),
        ),
    ),
    Mutant(
        "forged_evidence_against_the_honest",
        "a correct validator whose prevote shows the very polka of its lock is accused of amnesia",
        "tests/consensus/test_votes.py::test_what_is_no_forgotten_lock",
        (
            Change(
                _EVIDENCE,
                "and prevote.polka_round < precommit.round",
                "and prevote.polka_round <= precommit.round",
            ),
        ),
    ),
    Mutant(
        "amnesia_is_no_offence",
        "who forgets its lock makes forks at no cost",
        "tests/consensus/test_votes.py::test_a_forgotten_lock_is_evidence_in_either_order",
        (Change(_EVIDENCE, "        prevote.round > precommit.round\n", "        prevote.round < precommit.round\n"),),
    ),
    Mutant(
        "a_polka_round_of_its_own_future_counts",
        "a prevote that shows a polka that cannot be yet lifts every lock, and can never be accused",
        "tests/node/test_verify.py::test_one_bad_vote_is_its_peers_fault",
        (
            Change(
                _EVIDENCE,
                "return -1 <= vote.polka_round < (vote.round if has_polka_round else 0)",
                "return -1 <= vote.polka_round and (has_polka_round or vote.polka_round < 0)",
            ),
        ),
    ),
    Mutant(
        "signer_signs_two_messages_of_one_place",
        "a key on two machines signs against itself, and loses its stake",
        "tests/consensus/test_signing.py::test_refuses_another_message_at_the_same_place",
        (Change(_SIGNING, "    if asked == last:\n", "    if asked == last and record.message is None:\n"),),
    ),
    Mutant(
        "signer_goes_backwards",
        "a key that is moved to an older store signs again what it has signed otherwise",
        "tests/consensus/test_signing.py::test_refuses_what_is_below_the_record",
        (Change(_SIGNING, "    if asked < last:\n", "    if asked[0] < last[0]:\n"),),
    ),
    Mutant(
        "signer_forgets_its_precommit",
        "a key whose node lost its lock signs what convicts it of amnesia",
        "tests/consensus/test_signing.py::test_refuses_a_prevote_that_forgets_the_precommit",
        (Change(_SIGNING, "    if prevote.polka_round < record.precommit_round:\n", "    if prevote.round < 0:\n"),),
    ),
)
