"""Bugs in what a node takes for good: blocks, evidence, messages, what it syncs, what it answers."""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

_CHAIN: Final = "blockchain/node/chain.py"
_LOADING: Final = "blockchain/node/loading.py"
_VERIFY: Final = "blockchain/node/verify.py"
_STATELESS: Final = "blockchain/node/stateless.py"
_RULES: Final = "blockchain/node/evidence_rules.py"
_AGE: Final = "blockchain/node/evidence_age.py"
_SYNC: Final = "blockchain/node/sync.py"
_TRUST: Final = "blockchain/node/trust.py"
_ADMISSION: Final = "blockchain/node/admission.py"
_MEMPOOL: Final = "blockchain/node/mempool.py"
_LOOKOUT: Final = "blockchain/node/lookout.py"
_AGREEMENT: Final = "blockchain/node/agreement.py"
_CORE: Final = "blockchain/node/core.py"

_WRONG_FIELD: Final = "tests/node/test_chain.py::test_each_wrong_field_is_named"

MUTANTS: Final = (
    Mutant(
        "state_root_not_compared",
        "a forger writes any state into its header, and proofs of money that is not there are good",
        _WRONG_FIELD,
        (
            Change(
                _CHAIN,
                "        if header.state_root != state.root():\n            raise InvalidBlock(",
                "        if not state.root():\n            raise InvalidBlock(",
            ),
        ),
    ),
    Mutant(
        "stored_state_not_compared",
        "a node whose disk lost records goes on with another state than everybody's, and votes against good blocks",
        "tests/node/test_chain.py::test_a_store_whose_state_is_not_the_heads_is_refused",
        (
            Change(
                _LOADING,
                "    if header.state_root != state.root():\n        raise StoreError(",
                "    if not state.root():\n        raise StoreError(",
            ),
        ),
    ),
    Mutant(
        "next_set_not_compared",
        "a forger names another next set, and light clients believe it",
        _WRONG_FIELD,
        (
            Change(
                _CHAIN,
                "if header.next_validators_hash != following.hash(self.genesis_hash):",
                "if not following.hash(self.genesis_hash):",
            ),
        ),
    ),
    Mutant(
        "set_not_compared",
        "a header names another set for its height, and light clients believe it",
        _WRONG_FIELD,
        (
            Change(
                _CHAIN,
                "if header.validators_hash != self._validators.hash(self.genesis_hash):",
                "if not self._validators.hash(self.genesis_hash):",
            ),
        ),
    ),
    Mutant(
        "seed_of_a_header_not_compared",
        "a forger writes a seed into its header that makes it forge the next block too",
        _WRONG_FIELD,
        (Change(_CHAIN, "if header.seed != self._seed:", "if not header.seed:"),),
    ),
    Mutant(
        "parent_not_compared",
        "a block of another past is good here",
        _WRONG_FIELD,
        (Change(_CHAIN, "if header.parent != self.head.id:", "if not header.parent:"),),
    ),
    Mutant(
        "forger_of_a_header_not_compared",
        "somebody who was not drawn forges, and names itself for the fees",
        _WRONG_FIELD,
        (
            Change(
                _CHAIN,
                "if header.forger != forgers.forger(header.round):",
                "if header.forger not in self._validators.index:",
            ),
        ),
    ),
    Mutant(
        "time_may_stand_still",
        "blocks of one time: what unbonds never comes back, and the oldest of evidence never gets too old",
        _WRONG_FIELD,
        (Change(_CHAIN, "if header.time_ms <= self.head.time_ms:", "if header.time_ms < self.head.time_ms:"),),
    ),
    Mutant(
        "certificate_in_a_block_not_verified",
        "a forger writes a certificate of its own: absent it makes whom it likes, and pays whom it likes",
        "tests/node/test_chain.py::test_the_parents_certificate_is_verified",
        (
            Change(
                _CHAIN,
                "            verify_certificate(certificate, self.head.validators, self.genesis_hash)\n"
                "        except InvalidCertificate as error:\n",
                "            assert certificate.precommits\n        except InvalidCertificate as error:\n",
            ),
        ),
    ),
    Mutant(
        "synced_blocks_judged_by_the_set_of_the_wrong_height",
        "who has left the set, and has nothing to lose, signs the blocks that a syncing node takes",
        "tests/node/test_changing_sets.py::test_synced_blocks_are_proved_by_the_sets_of_their_heights",
        (
            Change(
                _SYNC,
                "self._engine.verify_seal(block, seal, self._chain.validators)",
                "self._engine.verify_seal(block, seal, self._chain.parent_validators)",
            ),
        ),
    ),
    Mutant(
        "votes_judged_by_the_set_of_the_wrong_height",
        "who comes into the set is no validator to anybody until a height later, and who left still is one",
        "tests/node/test_changing_sets.py::test_votes_are_verified_with_the_sets_of_their_heights",
        (
            Change(
                "blockchain/node/context.py",
                "sets={chain.height: chain.validators, chain.height - 1: chain.parent_validators},",
                "sets={chain.height: chain.parent_validators, chain.height - 1: chain.parent_validators},",
            ),
        ),
    ),
    Mutant(
        "a_fork_goes_unnoticed",
        "a certificate for another block at the head's height is just another bad one: nobody learns of the fork",
        "tests/node/test_chain.py::test_a_certificate_for_another_block_at_the_heads_height_is_a_fork",
        (
            Change(
                _CHAIN,
                "            raise ForkFound(held.height, codec.encode(Fork(held, certificate)))\n",
                "            ForkFound(held.height, codec.encode(Fork(held, certificate)))\n",
            ),
        ),
    ),
    Mutant(
        "a_certificate_for_the_head_is_good_whoever_signed_it",
        "a forger puts a certificate of its own making into its block: nobody who reads the chain can check it later",
        "tests/node/test_chain.py::test_the_parents_certificate_is_verified",
        (
            Change(
                _CHAIN,
                "if certificate == self.head.certificate:",
                "if certificate.block_id == self.head.certificate.block_id:",
            ),
        ),
    ),
    Mutant(
        "what_a_pool_held_stays_behind_when_it_is_empty",
        "what others mint while the pool is empty is not counted in it: it takes more than may be minted",
        "tests/node/test_mempool_books.py::test_an_empty_pool_follows_blocks_without_looking_at_what_is_in_them",
        (
            Change(
                "blockchain/node/readiness.py",
                "as in a sync: a block changes nothing of what nobody has here\n            self._scratch.clear()\n",
                "as in a sync: a block changes nothing of what nobody has here\n",
            ),
        ),
    ),
    Mutant(
        "a_transaction_that_does_not_apply_is_passed_over",
        "nodes that skip it and nodes that refuse the block part for good",
        "tests/node/test_chain.py::test_a_block_with_a_transaction_that_does_not_apply_is_invalid",
        (
            Change(
                "blockchain/ledger/accounts.py",
                'raise InvalidBlock("transactions", f"number {position} does not apply: {error}") from None',
                'InvalidBlock("transactions", f"number {position} does not apply: {error}")',
            ),
        ),
    ),
    Mutant(
        "any_number_of_transactions_in_a_block",
        "a forger makes empty blocks for the rewards alone, or larger ones than others can check in time",
        "tests/node/test_chain.py::test_how_full_a_block_must_be",
        (
            Change(
                _CHAIN,
                "        self._fullness.check(header, self.head.time_ms)\n        next_seed =",
                "        next_seed =",
            ),
        ),
    ),
    Mutant(
        "evidence_twice_in_a_block",
        "a forger punishes one offence twice, and is paid twice; nodes end on an assertion",
        "tests/node/test_block_evidence.py::test_a_second_piece_against_the_same_validator_is_one_too_many",
        (Change(_RULES, "if offender in offenders:", "if offender in offenders and not position:"),),
    ),
    Mutant(
        "evidence_twice_on_a_chain",
        "each block punishes the same offence again; nodes end on an assertion",
        "tests/node/test_block_evidence.py::test_evidence_makes_a_block_due_without_transactions_and_counts_once",
        (Change(_RULES, "if self.ledger.is_out(state, offender):", "if not offender:"),),
    ),
    Mutant(
        "evidence_of_which_one_signature_is_good",
        "one vote of an honest validator, and another that somebody makes up, cost it its stake",
        "tests/node/test_block_evidence.py::test_evidence_that_proves_nothing_makes_a_block_invalid",
        (Change(_RULES, "for message in (first, second):", "for message in (first,):"),),
    ),
    Mutant(
        "evidence_of_which_one_signature_is_good_from_peers",
        "a peer's made-up evidence against an honest validator is kept, passed on and built into blocks",
        "tests/node/test_verify.py::test_bad_evidence_is_its_peers_fault",
        (Change(_VERIFY, "for message in (first, second):", "for message in (first,):"),),
    ),
    Mutant(
        "evidence_that_contradicts_nothing",
        "any two votes of an honest validator cost it its stake",
        "tests/node/test_block_evidence.py::test_evidence_that_proves_nothing_makes_a_block_invalid",
        (Change(_RULES, "if not contradicts(evidence):", "if evidence is None:"),),
    ),
    Mutant(
        "evidence_of_two_validators",
        "the votes of two honest validators for different blocks cost one of them its stake",
        "tests/node/test_block_evidence.py::test_evidence_that_proves_nothing_makes_a_block_invalid",
        (
            Change(
                _RULES, "if (second.height, author_of(second)) != (offence, offender):", "if second.height != offence:"
            ),
        ),
    ),
    Mutant(
        "evidence_never_too_old",
        "an old key that somebody finds costs its owner's new stake; and headers have to be kept for ever",
        "tests/node/test_block_evidence.py::test_evidence_counts_for_so_many_blocks_or_so_long",
        (
            Change(
                _AGE,
                "return height <= offence + self._blocks or time_ms <= self._time_of(offence) + self._ms",
                "return offence > 0",
            ),
        ),
    ),
    Mutant(
        "evidence_counts_for_blocks_only",
        "an offender that forges fast enough is out of reach within the hour",
        "tests/node/test_block_evidence.py::test_evidence_counts_for_so_many_blocks_or_so_long",
        (
            Change(
                _AGE,
                "return height <= offence + self._blocks or time_ms <= self._time_of(offence) + self._ms",
                "return height <= offence + self._blocks",
            ),
        ),
    ),
    Mutant(
        "id_of_a_proposed_block_not_compared",
        "votes for one id, another body behind it: nodes decide what they have never checked",
        "tests/node/test_verify.py::test_a_bad_proposal_is_its_peers_fault",
        (Change(_VERIFY, "if identifier != message.proposal.block_id:", "if not identifier:"),),
    ),
    Mutant(
        "body_of_a_block_not_compared_with_its_header",
        "a relay swaps transactions in a block, and it has the same id",
        "tests/node/test_verify.py::test_a_bad_block_is_its_peers_fault",
        (
            Change(_STATELESS, "import check_transaction\n", "import check_transaction, transaction_id\n"),
            Change(
                _STATELESS,
                "ids = check_body(block, genesis_hash)",
                "ids = tuple(transaction_id(genesis_hash, each) for each in block.transactions)",
            ),
        ),
    ),
    Mutant(
        "transactions_not_checked_by_who_checks_bytes_alone",
        "whoever serves blocks, or asks for nothing else, spends everybody's money",
        "tests/node/test_verify.py::test_a_block_with_a_transaction_that_is_not_signed",
        (Change(_STATELESS, "            check_transaction(raw, asked.genesis_hash)\n", "            bytes(raw)\n"),),
    ),
    Mutant(
        "flaws_that_a_worker_found_in_transactions_not_heeded",
        "with workers a node takes what nobody signed",
        "tests/node/test_stateless.py::test_what_nobody_signed_is_a_fault_with_and_without_workers",
        (Change(_VERIFY, 'raise PeerFault("bad_transaction", flaw.why)', "bytes()"),),
    ),
    Mutant(
        "signatures_of_votes_not_checked",
        "one node votes for everybody",
        "tests/node/test_verify.py::test_one_bad_vote_is_its_peers_fault",
        (
            Change(
                _VERIFY, "if not verify_message(message, validator.key, context.genesis_hash):", "if not validator.key:"
            ),
        ),
    ),
    Mutant(
        "messages_of_other_chains_taken",
        "two chains of one genesis file and another version talk to each other, and ban each other for it",
        "tests/node/test_verify.py::test_a_frame_of_another_chain",
        (Change(_VERIFY, "if envelope.genesis_hash != context.genesis_hash:", "if not envelope.genesis_hash:"),),
    ),
    Mutant(
        "all_that_is_offered_is_asked_for",
        "a flood of transactions waits to be verified, and what a block lacks behind it",
        "tests/node/test_wanted.py::test_no_more_is_asked_for_than_is_verified_in_a_moment_and_the_rest_when_some_came",
        (
            Change(
                "blockchain/node/wanted.py",
                "return max(AT_ONCE // peers, OF_ONE_MIN) - self._counts[peer]",
                "return OFFERED_MAX",
            ),
        ),
    ),
    Mutant(
        "blocks_that_nobody_asked_for_are_verified",
        "a peer keeps a node busy with blocks of its choice",
        "tests/node/test_verify.py::test_what_nobody_asked_for_is_not_verified",
        (Change(_VERIFY, "    if cost > context.owed(kind):\n", "    if cost > context.owed(kind) + 1_000_000:\n"),),
    ),
    Mutant(
        "synced_blocks_not_proved",
        "the first peer to answer gives a new node a chain of its own",
        "tests/node/test_sync.py::test_a_certificate_that_proves_nothing_is_its_peers_fault",
        (Change(_SYNC, "            self._engine.verify_seal(block, seal, self._chain.validators)\n", ""),),
    ),
    Mutant(
        "certificate_of_another_block_proves_a_synced_one",
        "one certificate serves for every block that a lying peer makes up",
        "tests/consensus/test_bft.py::test_a_seal_is_a_certificate_of_that_very_block",
        (
            Change(
                "blockchain/consensus/bft.py",
                "if certificate.height != block.header.height or certificate.block_id != block.id:",
                "if certificate.height != block.header.height:",
            ),
        ),
    ),
    Mutant(
        "a_wrong_block_of_the_validators_is_its_peers_fault",
        "where two thirds have signed what is wrong, a node bans all honest peers one by one and says nothing",
        "tests/node/test_sync.py::test_a_wrong_block_that_the_validators_signed_stops_the_node_and_blames_no_peer",
        (
            Change(
                _SYNC,
                "return [Write(Batch(halted=why)), Emit(Halted(why)), Halt(why)]",
                'return self._blame(Penalize(kept.peer, "bad_certificate", why))',
            ),
        ),
    ),
    Mutant(
        "trust_age_not_asked",
        "a node that was away for a year takes the chain of those who have nothing to lose any more, and votes on it",
        "tests/node/test_trust.py::test_a_chain_that_is_too_old_is_followed_without_voting",
        (
            Change(
                _TRUST,
                "is_old = marked is not None or head.time_ms + spec.parameters.unbonding_ms < now",
                "is_old = marked is not None",
            ),
        ),
    ),
    Mutant(
        "trust_forgotten_at_the_next_start",
        "what was synced without trust is trusted after a restart",
        "tests/node/test_trust.py::test_what_was_synced_without_trust_stays_untrusted_after_a_new_start",
        (
            Change(
                _TRUST,
                "mark: list[Effect] = [Write(Batch(untrusted_above=newest))] if marked is None else []",
                "mark: list[Effect] = []",
            ),
        ),
    ),
    Mutant(
        "checkpoint_not_compared",
        "the block that a person vouched for is passed over for another one",
        "tests/node/test_trust.py::test_another_block_than_the_checkpoints_is_no_block_for_agreement_either",
        (
            Change(
                "blockchain/node/checkpoint.py",
                "return height == self.height and block_id != self.id",
                "return height != self.height and block_id == self.id",
            ),
        ),
    ),
    Mutant(
        "answered_before_it_is_durable",
        "a power cut takes away what a client was told is safe",
        "tests/node/test_admission.py::test_peers_are_told_while_it_is_written_and_then_the_client_is_answered",
        (
            Change(
                _ADMISSION,
                "*told, *self._kept(entered), reply]",
                "*told, reply, *self._kept(entered)]",
            ),
        ),
    ),
    Mutant(
        "answered_before_what_a_peer_brought_is_durable",
        "a client hands in what its node has of a peer and has not written, and a power cut takes it away",
        "tests/node/test_unwritten.py::test_a_client_who_hands_in_the_same_is_answered_when_it_is_durable",
        (
            Change(
                "blockchain/node/unwritten.py",
                "            if isinstance(effect, Reply):\n",
                "            if isinstance(effect, Reply) and not effect.results:\n",
            ),
        ),
    ),
    Mutant(
        "told_of_a_block_before_it_is_durable",
        "after a power cut a node is behind what it has told everybody, and may vote against it",
        "tests/node/test_chain.py::test_a_final_block_is_one_write_and_one_event",
        (
            Change(
                _CHAIN,
                "return [Write(batch), event, *(refusal_event(story) for story in ended), *seen]",
                "return [event, Write(batch), *(refusal_event(story) for story in ended), *seen]",
            ),
        ),
    ),
    Mutant(
        "evidence_told_before_it_is_kept",
        "the only node that has seen an offence forgets it in a crash",
        "tests/simulator/test_evidence.py::test_evidence_outlives_a_restart_of_the_only_node_that_has_it",
        (Change(_AGREEMENT, "            Write(Batch(evidence=(codec.encode(evidence),))),\n", ""),),
    ),
    Mutant(
        "round_in_progress_not_restored",
        "a restarted node has forgotten its lock, whatever its record holds",
        "tests/simulator/test_scripts.py::test_all_four_killed_at_once_in_the_middle_of_a_height_decide_the_block_they_were_at",
        (Change(_CORE, "        self._restore_round()\n", ""),),
    ),
    Mutant(
        "pending_transactions_not_restored",
        "what was acknowledged is forgotten by a restart",
        "tests/node/test_attacks_pool.py::test_a_restart_keeps_what_was_far_ahead_of_one_that_was_replaced",
        (Change(_CORE, "        self._out.extend(self.admission.restore(now))\n", ""),),
    ),
    Mutant(
        "a_halt_is_forgotten_by_a_restart",
        "an operator's supervisor starts the node again, and it signs on at a fork",
        "tests/node/test_trust.py::test_a_halt_outlasts_a_new_start",
        (
            Change(
                _CORE,
                "            self._agreement.halt(self.halted)\n            self._out.append(Emit(Halted(",
                "            self._out.append(Emit(Halted(",
            ),
        ),
    ),
    Mutant(
        "a_second_process_with_the_key_goes_unnoticed",
        "two machines run one validator until both have signed against each other",
        "tests/node/test_lookout.py::test_a_vote_that_the_record_does_not_hold_stops_this_run",
        (
            Change(
                _LOOKOUT,
                "if self._is_past(key, message.height) or _is_held(record, message) or",
                "if self._is_past(key, message.height) or record.height >= 0 or",
            ),
        ),
    ),
    Mutant(
        "a_silent_validator_votes",
        "what the lookout or the trust age says is written in the log, and signed over",
        "tests/node/test_trust.py::test_a_chain_that_is_too_old_is_followed_without_voting",
        (
            Change(
                _CORE,
                "        if self.trust.why or self.lookout.is_silent:\n            self.engine.voice.mute()\n",
                "",
            ),
            Change(
                _CORE,
                "        if is_silent:\n            self.engine.voice.mute()\n        elif",
                "        if",
            ),
        ),
    ),
    Mutant(
        "replacing_costs_nothing",
        "one account with one unit makes every pool and every line busy for ever",
        "tests/node/test_eviction.py::test_a_replacement_pays_a_tenth_more_and_at_least_one",
        (Change(_MEMPOOL, "is_full_step = new.fee >= minimum", "is_full_step = new.fee >= old.fee"),),
    ),
    Mutant(
        "nonces_kept_however_far_ahead",
        "accounts without money fill every pool with what can never apply",
        "tests/node/test_mempool.py::test_what_can_never_apply_is_refused_from_anybody",
        (Change(_MEMPOOL, "if nonce > queue.next + NONCE_GAP_MAX:", "if nonce < 0:"),),
    ),
    Mutant(
        "what_is_proposed_may_be_replaced",
        "a client pays for one transaction, replaces it while it is being decided, and both are told as final",
        "tests/node/test_eviction.py::test_what_stands_in_a_proposed_block_is_not_replaced",
        (Change(_MEMPOOL, "if old.id in self.protected:", "if old.id in ():"),),
    ),
)
