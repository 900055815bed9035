"""Proof of stake as the engine's parameters: who forges by the lottery, and the seed that only an output changes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.consensus.lottery import Lottery, first_seed, next_seed, vrf_alpha
from blockchain.consensus.pos import ProofOfStake
from blockchain.errors import InvalidBlock
from blockchain.primitives import vrf
from blockchain.primitives.block import Header
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.validators import Validator, ValidatorSet
from tests.consensus.bench import HEIGHT, KEYS, SEED, SET, WHO, block_of
from tests.samples import GENESIS_HASH, OTHER_CHAIN, address, key

POS = ProofOfStake(GENESIS_HASH)
ALPHA = vrf_alpha(GENESIS_HASH, SEED, HEIGHT)
PROOF = vrf.prove(KEYS[0].seed, ALPHA)
HEADER: Header = replace(block_of().header, vrf_proof=PROOF)


def refused(header: Header, validators: ValidatorSet = SET) -> str:
    with pytest.raises(InvalidBlock) as caught:
        POS.seed_after(header, validators)
    return caught.value.field


def test_the_first_seed_and_the_forgers_are_the_lotterys() -> None:
    assert POS.first_seed() == first_seed(GENESIS_HASH)
    lottery, forgers = Lottery(GENESIS_HASH, SEED, HEIGHT, SET), POS.forgers(SEED, HEIGHT, SET)
    assert [forgers.forger(round) for round in range(8)] == [lottery.forger(round) for round in range(8)]


def test_the_next_seed_is_of_the_output() -> None:
    assert POS.seed_after(HEADER, SET) == next_seed(GENESIS_HASH, SEED, vrf.output(PROOF)) != SEED


def test_a_proof_of_this_nodes_own_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    after = POS.seed_after(HEADER, SET)
    monkeypatch.setattr(vrf, "verify", lambda *_: pytest.fail("it was made a moment ago"))
    assert POS.seed_after_own(HEADER) == after


def test_it_is_the_validator_key_that_proves() -> None:
    other = ValidatorSet(
        replace(member, key=key("votes").public_key) if member.address == WHO[0] else member
        for member in SET.validators
    )
    assert refused(HEADER, other) == "vrf_proof"
    proof = vrf.prove(key("votes").seed, ALPHA)
    assert POS.seed_after(replace(HEADER, vrf_proof=proof), other)


@pytest.mark.parametrize(
    "change",
    [
        {"forger": WHO[1]},
        {"seed": GENESIS_HASH},
        {"height": HEIGHT + 1},
        {"vrf_proof": bytes(80)},
        {"vrf_proof": PROOF[:-1] + bytes([PROOF[-1] ^ 1])},
        {"vrf_proof": vrf.prove(KEYS[1].seed, ALPHA)},
        {"vrf_proof": vrf.prove(KEYS[0].seed, vrf_alpha(OTHER_CHAIN, SEED, HEIGHT))},
    ],
    ids=["forger", "seed", "height", "zeros", "a bit", "another's", "another chain's"],
)
def test_a_proof_is_of_one_key_seed_height_and_chain(change: dict[str, bytes]) -> None:
    assert refused(replace(HEADER, **change)) == "vrf_proof"


def test_a_stranger_forges_nothing() -> None:
    assert refused(replace(HEADER, forger=address("stranger"))) == "forger"


def test_a_validator_with_a_key_that_proves_nothing_is_refused_and_breaks_nothing() -> None:
    bad = ValidatorSet([Validator(Address(WHO[0]), PublicKey(bytes(32)), 1)])
    assert refused(HEADER, bad) == "vrf_proof"
