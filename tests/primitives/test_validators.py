"""Validator sets, and what makes a certificate prove something."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from blockchain.errors import InvalidCertificate
from blockchain.primitives import codec
from blockchain.primitives.crypto import Address, Signature
from blockchain.primitives.validators import Validator, ValidatorSet, changes_between, verify_certificate
from blockchain.primitives.vote import Certificate, CommitSignature
from tests.samples import (
    BLOCK_A,
    BLOCK_B,
    GENESIS_HASH,
    OTHER_CHAIN,
    PRECOMMIT,
    PREVOTE,
    address,
    certificate_of,
    deterministic,
    key,
    set_of,
    vote,
)

HEIGHT = 7
FOUR, KEYS = set_of([1, 1, 1, 1])


def certificate(*indexes: int) -> Certificate:
    return certificate_of({index: KEYS[index] for index in indexes}, HEIGHT, BLOCK_A)


def with_entry(good: Certificate, at: int, signature: Signature) -> Certificate:
    entries = list(good.precommits)
    entries[at] = CommitSignature(entries[at].index, signature)
    return replace(good, precommits=tuple(entries))


def refused(bad: Certificate, validators: ValidatorSet = FOUR, genesis_hash: bytes = GENESIS_HASH) -> str:
    with pytest.raises(InvalidCertificate) as caught:
        verify_certificate(bad, validators, genesis_hash)
    assert caught.value.code == "invalid_certificate"
    return caught.value.why


# ------------------------------------------------------------------------------------------------ the set


def test_members_stand_in_address_order_whatever_order_they_came_in() -> None:
    members = [Validator(address(n), key(n).public_key, n + 1) for n in range(5)]
    one, other = ValidatorSet(members), ValidatorSet(reversed(members))
    assert one == other and hash(one) == hash(other) and one.encoded == other.encoded
    assert [member.address for member in one.validators] == sorted(address(n) for n in range(5))
    assert all(one.validators[at].address == who for who, at in one.index.items())
    assert one != ValidatorSet(members[:4])
    assert one != "a set"


def test_stakes_are_summed() -> None:
    validators, _ = set_of([5, 0 + 1, 10])
    assert validators.cumulative == (5, 6, 16) and validators.total == 16 and len(validators) == 3


def test_members_are_found_by_address() -> None:
    validators, keys = set_of([5, 1])
    found = validators.get(Address(keys[0].public_key))
    assert found is not None and found.stake == validators.stake_of(found.address) == 5
    assert validators.get(address("nobody")) is None
    assert validators.stake_of(address("nobody")) == 0


def test_each_key_signs_for_one_validator() -> None:
    own, votes = Validator(address("v"), key("v").public_key, 1), key("votes").public_key
    validators = ValidatorSet([own, Validator(address("w"), votes, 1)])
    assert validators.by_key == {key("v").public_key: address("v"), votes: address("w")}
    with pytest.raises(AssertionError):
        ValidatorSet([own, Validator(address("w"), key("v").public_key, 1)])


def test_an_empty_set_has_nothing_and_no_quorum() -> None:
    empty = ValidatorSet([])
    assert (len(empty), empty.total) == (0, 0)
    assert not empty.is_quorum(0) and not empty.is_honest_minority(0)


def test_a_validator_stands_once_in_a_set() -> None:
    member = Validator(address("v"), key("v").public_key, 1)
    with pytest.raises(AssertionError):
        ValidatorSet([member, replace(member, stake=2)])


@deterministic
@given(st.integers(1, 2**53 - 1), st.integers(0, 2**53 - 1))
def test_the_thresholds_are_exact_for_any_stake(total: int, stake: int) -> None:
    validators = ValidatorSet([Validator(address("v"), key("v").public_key, total)])
    assert validators.is_quorum(stake) is (stake * 3 > total * 2)
    assert validators.is_honest_minority(stake) is (stake * 3 > total)


@pytest.mark.parametrize(
    "total, quorum, minority", [(1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 3, 2), (6, 5, 3), (9, 7, 4), (10, 7, 4)]
)
def test_the_least_stake_above_each_threshold(total: int, quorum: int, minority: int) -> None:
    validators = ValidatorSet([Validator(address("v"), key("v").public_key, total)])
    assert next(stake for stake in range(total + 1) if validators.is_quorum(stake)) == quorum
    assert validators.quorum_stake == quorum
    assert next(stake for stake in range(total + 1) if validators.is_honest_minority(stake)) == minority


def test_the_hash_covers_address_key_and_stake_on_one_chain() -> None:
    base = Validator(address("v"), key("v").public_key, 5)
    others = [
        ValidatorSet([replace(base, address=address("w"))]),
        ValidatorSet([replace(base, key=key("w").public_key)]),
        ValidatorSet([replace(base, stake=6)]),
        ValidatorSet([]),
    ]
    hashes = {one.hash(GENESIS_HASH) for one in [ValidatorSet([base]), *others]}
    assert len(hashes) == 5
    assert ValidatorSet([base]).hash(OTHER_CHAIN) not in hashes
    assert codec.decode(ValidatorSet([base]).encoded, tuple[Validator, ...], bytes_max=1_000) == (base,)


# ------------------------------------------------------------------------------------------------ certificates


@pytest.mark.parametrize("signers", [(0, 1, 2), (1, 2, 3), (0, 1, 2, 3)])
def test_more_than_two_thirds_prove_a_block(signers: tuple[int, ...]) -> None:
    assert verify_certificate(certificate(*signers), FOUR, GENESIS_HASH) == len(signers)


@pytest.mark.parametrize("signers", [(), (0,), (0, 3)])
def test_fewer_prove_nothing(signers: tuple[int, ...]) -> None:
    assert "not more than two thirds" in refused(certificate(*signers))


@pytest.mark.parametrize("stakes, signers", [([1, 1, 1], (0, 1)), ([4, 2], (0,)), ([2**52, 2**51], (0,))])
def test_exactly_two_thirds_are_not_enough(stakes: list[int], signers: tuple[int, ...]) -> None:
    validators, keys = set_of(stakes)
    assert 3 * sum(stakes[index] for index in signers) == 2 * validators.total
    refused(certificate_of({index: keys[index] for index in signers}, HEIGHT, BLOCK_A), validators)


def test_one_unit_above_two_thirds_is_enough() -> None:
    validators, keys = set_of([2**52 + 1, 2**51])
    assert verify_certificate(certificate_of({0: keys[0]}, HEIGHT, BLOCK_A), validators, GENESIS_HASH) == 2**52 + 1


def test_stake_counts_and_not_heads() -> None:
    validators, keys = set_of([1, 1, 1, 7])
    assert verify_certificate(certificate_of({3: keys[3]}, HEIGHT, BLOCK_A), validators, GENESIS_HASH) == 7
    refused(certificate_of({index: keys[index] for index in (0, 1, 2)}, HEIGHT, BLOCK_A), validators)


def test_nobody_counts_twice() -> None:
    good = certificate(0, 1, 2)
    twice = replace(good, precommits=(*good.precommits[:2], good.precommits[1]))
    assert "one twice" in refused(twice)
    assert "one twice" in refused(replace(good, precommits=(good.precommits[0], *good.precommits)))


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 2, 1), (2, 1, 0)])
def test_another_order_is_refused(order: tuple[int, ...]) -> None:
    good = certificate(0, 1, 2)
    assert "order" in refused(replace(good, precommits=tuple(good.precommits[at] for at in order)))


def test_an_index_outside_the_set_is_refused() -> None:
    good = certificate(0, 1, 2)
    stranger = CommitSignature(4, vote(key("stranger"), HEIGHT, PRECOMMIT, BLOCK_A).signature)
    assert "no validator has index 4" in refused(replace(good, precommits=(*good.precommits, stranger)))


BAD_SIGNATURES = {
    "zeros": Signature(bytes(64)),
    "for nil": vote(KEYS[3], HEIGHT, PRECOMMIT, None).signature,
    "for another block": vote(KEYS[3], HEIGHT, PRECOMMIT, BLOCK_B).signature,
    "for another height": vote(KEYS[3], HEIGHT + 1, PRECOMMIT, BLOCK_A).signature,
    "for another round": vote(KEYS[3], HEIGHT, PRECOMMIT, BLOCK_A, round=1).signature,
    "with a polka round": vote(KEYS[3], HEIGHT, PRECOMMIT, BLOCK_A, polka_round=0).signature,
    "a prevote": vote(KEYS[3], HEIGHT, PREVOTE, BLOCK_A).signature,
    "of another validator": vote(KEYS[2], HEIGHT, PRECOMMIT, BLOCK_A).signature,
    "of another chain": vote(KEYS[3], HEIGHT, PRECOMMIT, BLOCK_A, genesis_hash=OTHER_CHAIN).signature,
}


@pytest.mark.parametrize("signature", BAD_SIGNATURES.values(), ids=BAD_SIGNATURES.keys())
def test_one_bad_signature_spoils_the_whole_beyond_two_thirds_too(signature: Signature) -> None:
    assert "validator 3 does not verify" in refused(with_entry(certificate(0, 1, 2, 3), 3, signature))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_each_signature_is_checked(at: int) -> None:
    refused(with_entry(certificate(0, 1, 2), at, Signature(bytes(64))))


@pytest.mark.parametrize("change", [{"height": 8}, {"round": 1}, {"block_id": BLOCK_B}])
def test_a_certificate_is_for_one_height_round_and_block(change: dict[str, int]) -> None:
    refused(replace(certificate(0, 1, 2, 3), **change))


def test_a_certificate_is_for_one_chain_and_one_set() -> None:
    good = certificate(0, 1, 2, 3)
    refused(good, genesis_hash=OTHER_CHAIN)
    first, *others = FOUR.validators
    refused(good, ValidatorSet([replace(first, key=key("x").public_key), *others]))
    refused(good, ValidatorSet(FOUR.validators[:3]))


def test_the_validator_key_signs_and_not_the_account() -> None:
    member = Validator(address("v"), key("votes").public_key, 1)
    unsigned = vote(key("v"), HEIGHT, PRECOMMIT, BLOCK_A)
    of_account = Certificate(HEIGHT, 0, BLOCK_A, (CommitSignature(0, unsigned.signature),))
    refused(of_account, ValidatorSet([member]))


def test_what_changes_from_one_set_to_the_next() -> None:
    stays, richer, rekeyed, gone, new = (
        FOUR.validators[0],
        *(Validator(address(n), key(n).public_key, 5) for n in "efgh"),
    )
    before = ValidatorSet([stays, richer, rekeyed, gone])
    now = (replace(richer, stake=6), replace(rekeyed, key=key("x").public_key), new)
    come, left = changes_between(before, ValidatorSet([stays, *now]))
    assert (set(come), left) == (set(now), (gone,))
    assert changes_between(before, before) == ((), ())
