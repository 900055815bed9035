"""Bugs in the lottery, and in what is signed and hashed."""

from __future__ import annotations

from typing import Final

from tests.mutants.planted import Change, Mutant

_LOTTERY: Final = "blockchain/consensus/lottery.py"
_POS: Final = "blockchain/consensus/pos.py"
_VOTE: Final = "blockchain/primitives/vote.py"
_TRANSACTION: Final = "blockchain/primitives/transaction.py"
_BLOCK: Final = "blockchain/primitives/block.py"
_CODEC: Final = "blockchain/primitives/codec.py"
_VRF: Final = "blockchain/primitives/vrf.py"

_SIGNED_VOTE: Final = "return tagged(_TAGS[type(message)], genesis_hash, codec.encode(message)[:-SIGNATURE_TAIL_BYTES])"

MUTANTS: Final = (
    Mutant(
        "seed_not_mixed",
        "the next seed hangs on one output alone: whoever forges a height chooses the rest of the chain's draws",
        "tests/consensus/test_lottery.py::test_the_next_seed_hangs_on_seed_and_output",
        (
            Change(
                _LOTTERY,
                "return tagged_hash(_SEED_TAG, genesis_hash, seed + output)",
                "return tagged_hash(_SEED_TAG, genesis_hash, output + output)",
            ),
        ),
    ),
    Mutant(
        "seed_never_changes",
        "all draws of all heights are known to everybody from the first block on",
        "tests/consensus/test_lottery.py::test_the_next_seed_hangs_on_seed_and_output",
        (
            Change(
                _LOTTERY,
                "return tagged_hash(_SEED_TAG, genesis_hash, seed + output)",
                "return tagged_hash(_SEED_TAG, genesis_hash, seed + bytes(len(output)))",
            ),
        ),
    ),
    Mutant(
        "proof_hashed_instead_of_output",
        "one output has as many proofs as one likes: its forger grinds them until it is drawn again",
        "tests/consensus/test_pos.py::test_the_next_seed_is_of_the_output",
        (
            Change(
                _POS,
                "return next_seed(self._genesis_hash, header.seed, output)",
                "return next_seed(self._genesis_hash, header.seed, output and header.vrf_proof)",
            ),
        ),
    ),
    Mutant(
        "proof_not_checked",
        "a forger sends any point of the curve for its output, and grinds the next draw",
        "tests/consensus/test_pos.py::test_a_proof_is_of_one_key_seed_height_and_chain",
        (
            Change(
                _POS,
                "output = vrf.verify(forger.key, alpha, header.vrf_proof)",
                "output = vrf.output(header.vrf_proof if alpha else alpha)",
            ),
        ),
    ),
    Mutant(
        "challenge_of_the_proof_not_compared",
        "the proof is decoded and computed with, and any one is good",
        "tests/primitives/test_vrf.py::test_another_key_or_input_does_not_verify",
        (Change(_VRF, "if _challenge(public_key, point, gamma, u, v) != challenge:", "if u + v == challenge:"),),
    ),
    Mutant(
        "draw_without_the_seed",
        "who forges when is known for ever in advance: to who wants to bribe or to silence a forger as well",
        "tests/consensus/test_lottery.py::test_a_draw_hangs_on_chain_seed_height_and_round",
        (
            Change(
                _LOTTERY,
                "message = codec.encode((self._seed, self._height, round))",
                "message = codec.encode((self._seed[:0], self._height, round))",
            ),
        ),
    ),
    Mutant(
        "proof_without_the_height",
        "one proof serves at every height with the same seed",
        "tests/consensus/test_lottery.py::test_what_the_forger_proves_has_no_round",
        (
            Change(
                _LOTTERY,
                "return tagged(_ALPHA_TAG, genesis_hash, codec.encode((seed, height)))",
                "return tagged(_ALPHA_TAG, genesis_hash, codec.encode((seed, height * 0)))",
            ),
        ),
    ),
    Mutant(
        "every_validator_has_the_same_chance",
        "a thousand accounts with one unit each forge nearly every block",
        "tests/consensus/test_lottery.py::test_over_a_million_draws_wins_match_the_stakes",
        (
            Change(
                _LOTTERY,
                "winner = bisect_right(self._validators.cumulative, point)",
                "winner = bisect_right(self._validators.cumulative, point) if self._left_out else "
                "int.from_bytes(reference, 'big') % len(self._validators)",
            ),
        ),
    ),
    Mutant(
        "earlier_forgers_drawn_again",
        "a dead validator with half of the stake is drawn round after round",
        "tests/consensus/test_lottery.py::test_nobody_is_drawn_twice_until_all_were_and_then_all_come_back",
        (
            Change(
                _LOTTERY,
                "        insort(self._left_out, winner)\n        self._left_out_stake += validator.stake\n",
                "",
            ),
        ),
    ),
    Mutant(
        "chain_of_a_vote_not_signed",
        "votes of a test chain with the same keys are votes, and evidence, on this one",
        "tests/primitives/test_vote.py::test_a_signed_message_verifies_with_its_key_on_its_chain_only",
        (Change(_VOTE, _SIGNED_VOTE, _SIGNED_VOTE.replace("genesis_hash", "bytes(len(genesis_hash))")),),
    ),
    Mutant(
        "polka_round_not_signed",
        "whoever passes a prevote on writes in what it claims: the honest are framed for amnesia",
        "tests/primitives/test_vote.py::test_every_field_is_signed",
        (
            Change(
                _VOTE,
                _SIGNED_VOTE,
                "if isinstance(message, Vote):\n"
                "        message = msgspec.structs.replace(message, polka_round=-1)\n    " + _SIGNED_VOTE,
            ),
        ),
    ),
    Mutant(
        "kind_of_a_message_not_signed",
        "a signature for one kind of message serves for another whose fields read the same",
        "tests/primitives/test_vote.py::test_a_signature_under_another_tag_is_nothing",
        (Change(_VOTE, _SIGNED_VOTE, _SIGNED_VOTE.replace("_TAGS[type(message)]", "_TAGS[Vote]")),),
    ),
    Mutant(
        "transactions_replayed_across_chains",
        "a payment on a test chain is one here too, with the same keys",
        "tests/primitives/test_transaction.py::test_a_signature_for_one_chain_is_nothing_on_another",
        (
            Change(
                _TRANSACTION,
                "message = tagged(_SIGN_TAG, genesis_hash, codec.encode(unsigned)[:-SIGNATURE_TAIL_BYTES])",
                "message = tagged(_SIGN_TAG, bytes(32), codec.encode(unsigned)[:-SIGNATURE_TAIL_BYTES])",
            ),
            Change(
                _TRANSACTION,
                "message = tagged(_SIGN_TAG, genesis_hash, raw[:-SIGNATURE_TAIL_BYTES])",
                "message = tagged(_SIGN_TAG, bytes(32), raw[:-SIGNATURE_TAIL_BYTES])",
            ),
        ),
    ),
    Mutant(
        "transaction_signature_not_checked",
        "everybody spends everybody's money",
        "tests/primitives/test_transaction.py::test_somebody_elses_signature_is_refused",
        (
            Change(
                _TRANSACTION,
                "if not verify(PublicKey(transaction.sender), message, transaction.signature):",
                "if not message:",
            ),
        ),
    ),
    Mutant(
        "anybodys_key_may_be_named",
        "who names the key of another as its validator key makes that one sign for two, and be accused for both",
        "tests/primitives/test_transaction.py::test_a_validator_key_that_is_named_signs_too",
        (Change(_TRANSACTION, "if not verify(PublicKey(key), message, proof):", "if not key + message + proof:"),),
    ),
    Mutant(
        "other_encodings_taken",
        "the same transaction has many ids: who waits for one never sees it become final",
        "tests/primitives/test_codec.py::test_what_is_not_canonical_is_refused",
        (Change(_CODEC, "if _ENCODER.encode(value) != raw:", "if not _ENCODER.encode(value):"),),
    ),
    Mutant(
        "cap_before_decoding_dropped",
        "how much memory one message takes is up to its sender",
        "tests/primitives/test_codec.py::test_the_size_is_capped_before_anything_is_decoded",
        (Change(_CODEC, "if len(raw) > bytes_max:", "if bytes_max < 0:"),),
    ),
    Mutant(
        "transactions_of_a_body_not_compared",
        "a good header with another body: the honest forger is blamed for what a relay put in",
        "tests/primitives/test_block.py::test_another_transaction_is_another_body",
        (
            Change(
                _BLOCK,
                "if header.transaction_root != transaction_root(ids):",
                "if not header.transaction_root:",
            ),
        ),
    ),
    Mutant(
        "evidence_of_a_body_not_compared",
        "a relay takes the evidence out of a block, and half of the nodes hold another state",
        "tests/primitives/test_block.py::test_other_evidence_is_another_body",
        (
            Change(
                _BLOCK,
                "if header.evidence_root != evidence_root(evidence, genesis_hash):",
                "if not header.evidence_root:",
            ),
        ),
    ),
    Mutant(
        "certificate_of_a_body_not_compared",
        "a relay leaves precommits out of the body: who signed is not paid, and is counted as absent",
        "tests/primitives/test_block.py::test_another_certificate_is_another_body",
        (
            Change(
                _BLOCK,
                "if header.parent_certificate_hash != certificate_hash(parent_certificate, genesis_hash):",
                "if not header.parent_certificate_hash:",
            ),
        ),
    ),
)
