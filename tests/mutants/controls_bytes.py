"""Defences of values switched off: what is signed and decoded, what the pool takes, and stake.

The attacks stand in docs/security.md.
"""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

_OUTLINES: Final = "blockchain/node/outlines.py"

CONTROLS: Final = (
    Mutant(
        "replay_across_chains",
        "the genesis hash is left out",
        "tests/primitives/test_transaction.py::test_a_signature_for_one_chain_is_nothing_on_another",
        (
            Change(
                "blockchain/primitives/crypto.py",
                "return bytes([len(name)]) + name + genesis_hash",
                "return bytes([len(name)]) + name + bytes(HASH_BYTES)",
            ),
        ),
    ),
    Mutant(
        "replay_across_purposes",
        "all purposes have one tag",
        "tests/primitives/test_vote.py::test_a_signature_under_another_tag_is_nothing",
        (
            Change(
                "blockchain/primitives/crypto.py",
                "return bytes([len(name)]) + name + genesis_hash",
                'return b"\\x01x" + genesis_hash',
            ),
        ),
    ),
    Mutant(
        "replay_transaction",
        "a used nonce passes",
        "tests/ledger/test_accounts.py::test_a_refusal_has_its_code_and_changes_nothing",
        (
            Change(
                "blockchain/ledger/accounts.py",
                "if nonce != sender.nonce:",
                "if nonce > sender.nonce:",
            ),
        ),
    ),
    Mutant(
        "malleable_signature",
        "whatever library is there is used",
        "tests/primitives/test_crypto.py::test_a_library_that_answers_one_case_otherwise_is_refused",
        (
            Change(
                "blockchain/primitives/crypto.py",
                "if case.is_accepted(verifier) is not case.is_valid:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "malleable_encoding",
        "any encoding will do",
        "tests/primitives/test_codec.py::test_what_is_not_canonical_is_refused",
        (
            Change(
                "blockchain/primitives/codec.py",
                "if _ENCODER.encode(value) != raw:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "short_key",
        "lengths are left to the library",
        "tests/primitives/test_crypto.py::test_lengths_come_first",
        (
            Change(
                "blockchain/primitives/crypto.py",
                "if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "nonce_reuse_by_vrf",
        "any bytes are signed",
        "tests/primitives/test_crypto.py::test_a_signer_never_signs_32_bare_bytes",
        (
            Change(
                "blockchain/primitives/crypto.py",
                "if not _is_tagged(message):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "swapped_body",
        "the root of the transactions is not compared",
        "tests/primitives/test_block.py::test_another_order_of_transactions_is_another_body",
        (
            Change(
                "blockchain/primitives/block.py",
                "if header.transaction_root != transaction_root(",
                "if False and header.transaction_root != transaction_root(",
            ),
        ),
    ),
    Mutant(
        "second_preimage",
        "both have one prefix",
        "tests/primitives/test_merkle.py::test_a_branch_does_not_pass_for_a_leaf",
        (
            Change(
                "blockchain/primitives/merkle.py",
                '_BRANCH: Final = b"\\x01"',
                '_BRANCH: Final = b"\\x00"',
            ),
        ),
    ),
    Mutant(
        "false_absence",
        "an empty place counts under any key",
        "tests/ledger/test_smt.py::test_an_empty_place_shown_under_another_key",
        (
            Change(
                "blockchain/primitives/smt_proof.py",
                'if not query.value:\n        raise InvalidProof("an empty place',
                'if False:\n        raise InvalidProof("an empty place',
            ),
        ),
    ),
    Mutant(
        "index_lies",
        "the order of the indices does not matter",
        "tests/primitives/test_validators.py::test_nobody_counts_twice",
        (
            Change(
                "blockchain/primitives/validators.py",
                "if entry.index <= previous:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "garbage_tail",
        "what is beyond two thirds is not verified",
        "tests/primitives/test_validators.py::test_one_bad_signature_spoils_the_whole_beyond_two_thirds_too",
        (
            Change(
                "blockchain/primitives/validators.py",
                "if not verify_message(vote, validator.key, genesis_hash):",
                "if not validators.is_quorum(signed) and not verify_message(vote, validator.key, genesis_hash):",
            ),
        ),
    ),
    Mutant(
        "length_lies",
        "the size is not looked at",
        "tests/primitives/test_codec.py::test_the_size_is_capped_before_anything_is_decoded",
        (
            Change(
                "blockchain/primitives/codec.py",
                "if len(raw) > bytes_max:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "nesting_bomb",
        "that error goes through",
        "tests/primitives/test_codec.py::test_deep_nesting_is_the_same_error",
        (
            Change(
                "blockchain/primitives/codec.py",
                "except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError) as error:",
                "except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError) as error:",
            ),
        ),
    ),
    Mutant(
        "integer_tricks",
        "a bool passes for an integer",
        "tests/primitives/test_values.py::test_what_is_no_amount_is_refused_by_name",
        (
            Change(
                "blockchain/primitives/values.py",
                "if isinstance(value, bool) or not isinstance(value, int):",
                "if not isinstance(value, int):",
            ),
        ),
    ),
    Mutant(
        "supply_overflow",
        "minting has no end",
        "tests/ledger/test_accounts.py::test_minting_ends_at_the_bound_and_what_is_burnt_makes_no_room",
        (
            Change(
                "blockchain/ledger/accounts.py",
                "if totals.minted + amount > bound:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "nonce_gaps",
        "any nonce is kept",
        "tests/node/test_mempool.py::test_what_can_never_apply_is_refused_from_anybody",
        (
            Change(
                "blockchain/node/mempool.py",
                "if nonce > queue.next + NONCE_GAP_MAX:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "mempool_flood",
        "a sender has no maximum",
        "tests/node/test_mempool.py::test_limits_of_count_and_sender",
        (
            Change(
                "blockchain/node/mempool.py",
                "if len(queue.entries) >= SENDER_TRANSACTIONS_MAX:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "pool_filled_for_nothing",
        "a full pool takes nothing",
        "tests/node/test_mempool.py::test_in_a_full_pool_what_applies_takes_the_place_of_what_waits",
        (
            Change(
                "blockchain/node/mempool.py",
                "victims = self._candidates.choose(new, count, size, held, self.protected) if applies else []",
                "victims = []",
            ),
        ),
    ),
    Mutant(
        "replacement_churn",
        "the work is not counted",
        "tests/node/test_eviction.py::test_replacing_what_is_ready_is_limited_in_a_second",
        (
            Change(
                "blockchain/node/tried.py",
                "if now // 1_000 == self._second and self._searched >= SEARCHED_MAX:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "final_sent_again",
        "the looks are not counted",
        "tests/node/test_admission.py::test_a_client_makes_the_store_be_asked_so_often_a_second_only",
        (Change("blockchain/node/admission.py", "if self._looks >= LOOKS_MAX:", "if False:"),),
    ),
    Mutant(
        "offered_and_never_sent",
        "what did not come is asked of nobody else",
        "tests/node/test_attacks.py::test_a_peer_that_offers_and_never_sends_keeps_no_transaction_away",
        (
            Change(
                "blockchain/node/relay.py",
                "        return self._ask_others(overdue)\n",
                "        return []\n",
            ),
        ),
    ),
    Mutant(
        "withheld_bodies",
        "a polka is followed for a block that was not checked",
        "tests/consensus/test_tendermint.py::test_l36_not_for_an_invalid_value",
        (
            Change(
                "blockchain/consensus/tendermint.py",
                "if not candidate.is_valid or not self.book.is_polka(self.round, candidate.block_id):",
                "if not self.book.is_polka(self.round, candidate.block_id):",
            ),
        ),
    ),
    Mutant(
        "named_and_never_given",
        "the first that tells of a block is the only one that is asked",
        "tests/node/test_outlines.py::test_the_second_that_tells_of_a_block_is_asked_too",
        (Change(_OUTLINES, "if len(half.asked) >= ASKED_MAX or", "if half.asked or"),),
    ),
    Mutant(
        "forgery_sent_twice",
        "what was found bad is taken for good when it comes again",
        "tests/runtime/test_verified_lately.py::test_what_is_bad_is_found_at_its_place_each_time",
        (Change("blockchain/runtime/verified_lately.py", "            if one.flaws:\n                return\n", ""),),
    ),
    Mutant(
        "late_proposal",
        "what is told of a height that is over is held against what is here, and two heights make evidence",
        "tests/node/test_outlines.py::test_what_is_verified_while_its_height_ends_is_no_offence_of_who_forges_the_next_one",
        (
            Change(_OUTLINES, "if told.proposal.height != self._engine.current.height:", "if False:"),
            Change(
                "blockchain/consensus/evidence.py",
                "if (first.height, author_of(first)) != (second.height, author_of(second)):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "forged_outline",
        "what an outline lists is not compared with its header",
        "tests/node/test_outlines.py::test_an_outline_is_held_to_its_header_before_anything_is_asked_for",
        (Change("blockchain/primitives/outline.py", "check_commitments(outline.header", "(outline.header"),),
    ),
    Mutant(
        "endless_outlines",
        "all that wait are kept",
        "tests/node/test_outlines.py::test_ids_that_nobody_has_take_one_place_a_round_and_few_rounds_at_once",
        (Change(_OUTLINES, "while len(self._halves) > HALVES_MAX:", "while False:"),),
    ),
    Mutant(
        "evicted_bodies",
        "only the pool is looked into",
        "tests/node/test_outlines.py::test_whom_it_told_of_a_block_it_serves_whatever_the_pool_has_evicted",
        (Change("blockchain/node/bodies.py", "pending(each) or in_blocks(each)", "pending(each)"),),
    ),
    Mutant(
        "blame_for_bodies",
        "what does not apply is always blamed on who sent it",
        "tests/node/test_outlines.py::test_what_was_asked_for_a_block_is_no_fault_of_who_sent_it",
        (Change("blockchain/node/peers.py", "if self._excused:", "if False:"),),
    ),
    Mutant(
        "stake_nobody_runs",
        "any stake comes in at once",
        "tests/ledger/test_closing.py::test_new_stake_comes_in_by_a_share_of_the_set_oldest_first",
        (
            Change(
                "blockchain/ledger/admission.py",
                "if parameters.stake_step_max_bp is None:",
                "if True:",
            ),
        ),
    ),
    Mutant(
        "overdraft",
        "balances are not looked at",
        "tests/ledger/test_accounts.py::test_a_refusal_has_its_code_and_changes_nothing",
        (
            Change(
                "blockchain/ledger/accounts.py",
                "if cost > sender.balance:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "forged_money",
        "anybody mints",
        "tests/ledger/test_accounts.py::test_a_refusal_has_its_code_and_changes_nothing",
        (
            Change(
                "blockchain/ledger/accounts.py",
                "if type(transaction.payload) is Exchange and transaction.sender != self._spec.issuer:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "left_out_precommits",
        "the signers share what the others would have had",
        "tests/ledger/test_rewards.py::test_leaving_a_signature_out_makes_nobody_richer",
        (
            Change(
                "blockchain/ledger/rewards.py",
                "forger = for_forger * signed // members.total",
                "forger = for_forger",
            ),
            Change(
                "blockchain/ledger/rewards.py",
                "shares = ((Address(one.address), for_signers * one.stake // members.total) for one in signers)",
                "shares = ((Address(one.address), for_signers * one.stake // signed) for one in signers)",
            ),
        ),
    ),
    Mutant(
        "framed_absence",
        "any share will do",
        "tests/test_genesis_stake.py::test_what_makes_a_chain_unsafe_or_stuck_is_refused",
        (
            Change(
                "blockchain/genesis_stake.py",
                "if parameters.absence_share_bp < ABSENCE_SHARE_MIN_BP:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "paused_together",
        "there is no budget",
        "tests/ledger/test_stake.py::test_pauses_of_one_block_share_the_budget",
        (
            Change(
                "blockchain/ledger/stake.py",
                "if bonded > away_share(budget) or totals.inactive + bonded > budget:",
                "if False:",
            ),
        ),
    ),
)
