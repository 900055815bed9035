"""Defences of the chain switched off: history and finality, the lottery, time, evidence.

The attacks stand in docs/security.md.
"""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

CONTROLS: Final = (
    Mutant(
        "long_range",
        "no chain is ever too old",
        "tests/node/test_trust.py::test_a_chain_that_is_too_old_is_followed_without_voting",
        (
            Change(
                "blockchain/node/trust.py",
                "is_old = marked is not None or head.time_ms + spec.parameters.unbonding_ms < now",
                "is_old = False",
            ),
        ),
    ),
    Mutant(
        "wrong_checkpoint",
        "what is served is not held against the checkpoint",
        "tests/node/test_trust.py::test_who_serves_another_block_than_the_checkpoints_is_a_liar_a"
        "nd_nothing_is_taken_over",
        (
            Change(
                "blockchain/node/sync.py",
                "return checkpoint.is_missed(checkpoint.height, block.id)",
                "return False",
            ),
        ),
    ),
    Mutant(
        "nothing_at_stake",
        "a penalty takes nothing",
        "tests/ledger/test_penalties.py::test_each_amount_loses_its_part_and_the_rest_unbonds",
        (
            Change(
                "blockchain/ledger/penalties.py",
                "return amount - part(amount, parameters.slash_bp)",
                "return amount",
            ),
        ),
    ),
    Mutant(
        "unbonding_escape",
        "what unbonds is spared",
        "tests/ledger/test_penalties.py::test_what_left_before_the_offence_was_shown_is_taken_from_too",
        (
            Change(
                "blockchain/ledger/penalties.py",
                "Unbonding(left(entry.amount), entry.leaves, entry.left_ms) for entry",
                "entry for entry",
            ),
        ),
    ),
    Mutant(
        "double_vote",
        "a second vote is dropped without a word",
        "tests/consensus/test_votes.py::test_two_different_votes_are_evidence",
        (
            Change(
                "blockchain/consensus/votes.py",
                "return self._add_second(vote, votes, current_round), [ConflictingVotes(first, vote)]",
                "return self._add_second(vote, votes, current_round), []",
            ),
        ),
    ),
    Mutant(
        "two_faces",
        "what peers get anyway is kept from them in each height",
        "tests/simulator/test_passing_on.py"
        "::test_who_tells_some_otherwise_than_others_is_caught_though_all_is_over_in_a_moment",
        (Change("blockchain/node/apart.py", "    return drawn[0] % SHOWN_ONE_IN == 0\n", "    return False\n"),),
    ),
    Mutant(
        "hidden_polka",
        "only the first vote ever counts",
        "tests/consensus/test_votes.py::test_a_second_vote_counts_where_more_than_a_third_voted_so_first",
        (
            Change(
                "blockchain/consensus/votes.py",
                "if vote.round > current_round or not "
                "self.validators.is_honest_minority(votes.stake_for(vote.block_id)):",
                "if True:",
            ),
        ),
    ),
    Mutant(
        "double_proposal",
        "a second proposal is nothing",
        "tests/node/test_verify.py::test_a_proposal_again_is_nothing_and_another_one_is_evidence",
        (
            Change(
                "blockchain/node/verify.py",
                "return VerifiedEvidence(evidence) if contradicts(evidence) else Nothing(ProposedBlock)",
                "return Nothing(ProposedBlock)",
            ),
        ),
    ),
    Mutant(
        "amnesia",
        "locks are not held against later prevotes",
        "tests/consensus/test_bft.py::test_a_forgotten_lock_is_evidence",
        (
            Change(
                "blockchain/consensus/votes.py",
                "return Added.COUNTED, self._forgotten_locks(vote)",
                "return Added.COUNTED, []",
            ),
        ),
    ),
    Mutant(
        "false_polka",
        "the claim is believed",
        "tests/consensus/test_tendermint.py::test_l28_waits_for_the_polka",
        (
            Change(
                "blockchain/consensus/tendermint.py",
                "if not self.book.is_polka(candidate.valid_round, candidate.block_id):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "conflicting_finality",
        "the other certificate is no matter",
        "tests/node/test_chain.py::test_a_certificate_for_another_block_at_the_heads_height_is_a_fork",
        (
            Change(
                "blockchain/node/chain.py",
                "raise ForkFound(held.height, codec.encode(Fork(held, certificate)))",
                "return",
            ),
        ),
    ),
    Mutant(
        "wrong_state",
        "the state root is not compared",
        "tests/node/test_chain.py::test_each_wrong_field_is_named",
        (
            Change(
                "blockchain/node/chain.py",
                "if header.state_root != state.root():\n            raise InvalidBlock(",
                "if False:\n            raise InvalidBlock(",
            ),
        ),
    ),
    Mutant(
        "grinding_by_content",
        "the transactions are mixed in",
        "tests/consensus/test_grinding.py::test_the_next_seed_is_the_same_for_all_of_them",
        (
            Change(
                "blockchain/consensus/pos.py",
                "return next_seed(self._genesis_hash, header.seed, output)",
                "return next_seed(self._genesis_hash, header.seed, output + header.transaction_root)",
            ),
        ),
    ),
    Mutant(
        "grinding_by_proof",
        "the proof is hashed instead of its output",
        "tests/consensus/test_grinding.py::test_other_proofs_of_the_output_are_other_bytes_and_the_same_seed",
        (
            Change(
                "blockchain/consensus/pos.py",
                "return next_seed(self._genesis_hash, header.seed, output)",
                "return next_seed(self._genesis_hash, header.seed, header.vrf_proof)",
            ),
        ),
    ),
    Mutant(
        "grinding_by_stake",
        "stake counts with the next block",
        "tests/ledger/test_stake.py::test_stake_waits_until_the_end_of_its_block_and_counts_after_the_delay",
        (
            Change(
                "blockchain/ledger/terms.py",
                "return height + 1 + parameters.stake_delay",
                "return height + 1",
            ),
        ),
    ),
    Mutant(
        "short_stake_delay",
        "any delay will do",
        "tests/test_genesis.py::test_what_is_unsafe_or_stuck_is_refused_with_the_reason",
        (
            Change(
                "blockchain/genesis.py",
                "if parameters.stake_delay < STAKE_DELAY_MIN and not is_demo:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "forged_vrf_proof",
        "the output is read from the proof without verifying it",
        "tests/node/test_chain.py::test_the_proof_is_the_forgers_own",
        (
            Change(
                "blockchain/consensus/pos.py",
                "output = vrf.verify(forger.key, alpha, header.vrf_proof)",
                "output = vrf.output(header.vrf_proof)",
            ),
        ),
    ),
    Mutant(
        "undrawn_forger",
        "anybody may propose",
        "tests/node/test_verify.py::test_a_bad_proposal_is_its_peers_fault",
        (
            Change(
                "blockchain/node/verify.py",
                "if proposal.forger != context.forger(proposal.round):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "small_order_keys",
        "a key is not looked at",
        "tests/primitives/test_vrf.py::test_key_and_gamma_are_points_of_prime_order",
        (
            Change(
                "blockchain/primitives/vrf.py",
                "return len(public_key) == PUBLIC_KEY_BYTES and crypto_core_ed25519_is_valid_point(public_key)",
                "return len(public_key) == PUBLIC_KEY_BYTES",
            ),
        ),
    ),
    Mutant(
        "key_that_never_forges",
        "any 32 bytes will do",
        "tests/ledger/test_accounts.py::test_an_account_whose_own_key_proves_nothing_cannot_stake_with_it",
        (
            Change(
                "blockchain/ledger/stake.py",
                "if not vrf.is_key(key):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "rogue_key",
        "the key's own proof is not verified",
        "tests/primitives/test_transaction.py::test_a_validator_key_that_is_named_signs_too",
        (
            Change(
                "blockchain/primitives/transaction.py",
                "if not verify(PublicKey(key), message, proof):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "time_warp",
        "any time will do",
        "tests/consensus/test_bft.py::test_a_block_ahead_of_the_clock_gets_nil",
        (
            Change(
                "blockchain/consensus/proposals.py",
                "if proposal.valid_round >= 0 or ahead <= drift_ms or block.header.time_ms == parent_time_ms + 1:",
                "if True:",
            ),
        ),
    ),
    Mutant(
        "time_backwards",
        "times may go back",
        "tests/node/test_chain.py::test_each_wrong_field_is_named",
        (
            Change(
                "blockchain/node/chain.py",
                "if header.time_ms <= self.head.time_ms:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "lying_clocks",
        "answers that nobody asked for count",
        "tests/node/test_clocks.py::test_only_the_newest_question_is_answered_and_once",
        (
            Change(
                "blockchain/node/clocks.py",
                "if answer.asked_ms != peer.clock.asked_ms:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "forged_evidence",
        "the signatures are not verified",
        "tests/node/test_block_evidence.py::test_evidence_that_proves_nothing_makes_a_block_invalid",
        (
            Change(
                "blockchain/node/evidence_rules.py",
                "if not verify_message(message, key, self.genesis_hash):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "innocent_evidence",
        "any two messages will do",
        "tests/node/test_block_evidence.py::test_evidence_that_proves_nothing_makes_a_block_invalid",
        (
            Change(
                "blockchain/node/evidence_rules.py",
                "if not contradicts(evidence):",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "replayed_evidence",
        "a second piece in a block passes",
        "tests/node/test_block_evidence.py::test_a_second_piece_against_the_same_validator_is_one_too_many",
        (
            Change(
                "blockchain/node/evidence_rules.py",
                "if offender in offenders:",
                "if False:",
            ),
        ),
    ),
    Mutant(
        "evidence_flood",
        "what it finds itself has no room of its own",
        "tests/node/test_block_evidence.py::test_a_flood_from_peers_leaves_room_for_what_a_node_finds_itself",
        (
            Change(
                "blockchain/node/evidence_pool.py",
                "if self._key_of(offence, offender, POOL_MAX + OWN_MAX if is_own else POOL_MAX) is None:",
                "if self._key_of(offence, offender, POOL_MAX) is None:",
            ),
        ),
    ),
    Mutant(
        "stale_evidence",
        "what is too old stays",
        "tests/node/test_block_evidence.py::test_evidence_that_is_too_old_leaves_the_pool_and_triggers_nothing",
        (
            Change(
                "blockchain/node/evidence_pool.py",
                "            self.add(evidence, is_own=True)  # there was room for it",
                "            self._pieces[accused(evidence)[1]] = evidence",
            ),
        ),
    ),
)
