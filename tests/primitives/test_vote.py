"""Votes, proposals, announcements: signed for one purpose on one chain; and their bounds."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from blockchain.errors import MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.crypto import Address, Signature, tagged
from blockchain.primitives.scalars import NO_SIGNATURE, SIGNATURE_TAIL_BYTES, VALIDATORS_MAX
from blockchain.primitives.vote import (
    Announcement,
    Certificate,
    CommitSignature,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Proposal,
    Signable,
    Step,
    Vote,
    VoteStep,
    certificate_hash,
    empty_certificate,
    precommit_of,
    sign_message,
    signed_bytes,
    verify_message,
)
from tests.samples import BLOCK_A, BLOCK_B, GENESIS_HASH, OTHER_CHAIN, PRECOMMIT, PREVOTE, address, key, vote

VOTE = Vote(7, 2, PREVOTE, BLOCK_A, 1, address("v"))
PROPOSAL = Proposal(7, 2, -1, BLOCK_A, address("v"))
ANNOUNCEMENT = Announcement(address("v"), 5, 1_000)
MESSAGES: list[Signable] = [VOTE, PROPOSAL, ANNOUNCEMENT]
OTHERS: list[tuple[Signable, dict[str, Any]]] = [
    (VOTE, {"height": 8}),
    (VOTE, {"round": 3}),
    (VOTE, {"step": PRECOMMIT}),
    (VOTE, {"block_id": BLOCK_B}),
    (VOTE, {"block_id": None}),
    (VOTE, {"polka_round": 0}),
    (VOTE, {"polka_round": -1}),
    (VOTE, {"validator": address("w")}),
    (PROPOSAL, {"height": 8}),
    (PROPOSAL, {"round": 3}),
    (PROPOSAL, {"valid_round": 0}),
    (PROPOSAL, {"block_id": BLOCK_B}),
    (PROPOSAL, {"forger": address("w")}),
    (ANNOUNCEMENT, {"validator": address("w")}),
    (ANNOUNCEMENT, {"instance": 6}),
    (ANNOUNCEMENT, {"time_ms": 1_001}),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_signed_message_verifies_with_its_key_on_its_chain_only(message: Signable) -> None:
    done = sign_message(message, key("v"), GENESIS_HASH)
    assert verify_message(done, key("v").public_key, GENESIS_HASH)
    assert not verify_message(done, key("v").public_key, OTHER_CHAIN)
    assert not verify_message(done, key("w").public_key, GENESIS_HASH)
    assert not verify_message(message, key("v").public_key, GENESIS_HASH)


@pytest.mark.parametrize("message, change", OTHERS)
def test_every_field_is_signed(message: Signable, change: dict[str, Any]) -> None:
    done = sign_message(message, key("v"), GENESIS_HASH)
    assert not verify_message(replace(done, **change), key("v").public_key, GENESIS_HASH)


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("tag", ["vote", "proposal", "announcement", "transaction", "handshake"])
def test_a_signature_under_another_tag_is_nothing(message: Signable, tag: str) -> None:
    own = {Vote: "vote", Proposal: "proposal", Announcement: "announcement"}[type(message)]
    body = codec.encode(message)[:-SIGNATURE_TAIL_BYTES]
    done = replace(message, signature=key("v").sign(tagged(tag, GENESIS_HASH, body)))
    assert verify_message(done, key("v").public_key, GENESIS_HASH) is (tag == own)


@pytest.mark.parametrize("message", MESSAGES)
def test_what_is_signed_is_the_encoding_without_its_last_66_bytes(message: Signable) -> None:
    done = sign_message(message, key("v"), GENESIS_HASH)
    assert codec.encode(done)[-SIGNATURE_TAIL_BYTES:] == b"\xc4\x40" + done.signature
    assert signed_bytes(done, GENESIS_HASH) == signed_bytes(message, GENESIS_HASH)
    assert message.signature == NO_SIGNATURE


def test_signing_again_ignores_the_signature_that_is_there() -> None:
    done = sign_message(VOTE, key("v"), GENESIS_HASH)
    assert sign_message(done, key("v"), GENESIS_HASH) == done


def test_the_steps_of_votes_are_those_of_rounds() -> None:
    assert [(step.name, int(step)) for step in VoteStep] == [(step.name, int(step)) for step in list(Step)[1:]]


# ------------------------------------------------------------------------------------------------ bounds

REFUSED_VOTES: dict[str, tuple[int, Any]] = {
    "another kind": (0, "proposal"),
    "a negative height": (1, -1),
    "a height of 2^53": (1, 2**53),
    "a negative round": (2, -1),
    "a round of 2^31": (2, 2**31),
    "step propose": (3, 0),
    "step 3": (3, 3),
    "step true": (3, True),
    "a short block id": (4, bytes(31)),
    "an empty block id": (4, b""),
    "a polka round of -2": (5, -2),
    "a polka round of 2^31": (5, 2**31),
    "a short validator": (6, bytes(31)),
    "nobody": (6, None),
    "a short signature": (7, bytes(63)),
}


def fields_of(message: Signable) -> list[Any]:
    plain = msgspec.msgpack.decode(codec.encode(message))
    assert isinstance(plain, list)
    return plain


def decode_vote(plain: list[Any]) -> Vote:
    return codec.decode(msgspec.msgpack.encode(plain), Vote, bytes_max=1_000)


@pytest.mark.parametrize("at, value", REFUSED_VOTES.values(), ids=REFUSED_VOTES.keys())
def test_a_field_out_of_bounds_is_malformed(at: int, value: Any) -> None:
    plain = fields_of(VOTE)
    assert decode_vote(plain) == VOTE
    plain[at] = value
    with pytest.raises(MalformedMessage):
        decode_vote(plain)


@pytest.mark.parametrize("instance", [-1, 2**63])
def test_an_instance_number_out_of_bounds_is_malformed(instance: int) -> None:
    plain = fields_of(ANNOUNCEMENT)
    plain[2] = instance
    with pytest.raises(MalformedMessage):
        codec.decode(msgspec.msgpack.encode(plain), Announcement, bytes_max=1_000)


def test_evidence_comes_back_as_what_it_was() -> None:
    pair = (vote(key("v"), 7, PREVOTE, BLOCK_A), vote(key("v"), 7, PREVOTE, BLOCK_B))
    for evidence in (ConflictingVotes(*pair), ForgottenLock(*pair)):
        raw = codec.encode(evidence)
        assert codec.decode(raw, Evidence, bytes_max=1_000) == evidence  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------ certificates

CERTIFICATE = Certificate(7, 2, BLOCK_A, (CommitSignature(0, Signature(b"\x01" * 64)),))


def test_an_entry_stands_for_a_precommit_of_its_validator() -> None:
    cast = vote(key("v"), 7, PRECOMMIT, BLOCK_A, round=2)
    entry = Certificate(7, 2, BLOCK_A, (CommitSignature(0, cast.signature),))
    assert precommit_of(entry, Address(key("v").public_key), cast.signature) == cast


@pytest.mark.parametrize(
    "change",
    [
        {"height": 8},
        {"round": 3},
        {"block_id": BLOCK_B},
        {"precommits": ()},
        {"precommits": (CommitSignature(1, Signature(b"\x01" * 64)),)},
        {"precommits": (CommitSignature(0, Signature(b"\x02" * 64)),)},
    ],
)
def test_the_hash_of_a_certificate_covers_all_of_it(change: dict[str, Any]) -> None:
    other = replace(CERTIFICATE, **change)
    assert certificate_hash(other, GENESIS_HASH) != certificate_hash(CERTIFICATE, GENESIS_HASH)


def test_the_hash_of_a_certificate_is_one_chains() -> None:
    assert certificate_hash(CERTIFICATE, GENESIS_HASH) != certificate_hash(CERTIFICATE, OTHER_CHAIN)


def test_the_empty_certificate_is_for_genesis() -> None:
    assert empty_certificate(GENESIS_HASH) == Certificate(0, 0, GENESIS_HASH, ())


@pytest.mark.parametrize("index", [-1, VALIDATORS_MAX])
def test_an_index_beyond_every_set_is_malformed(index: int) -> None:
    raw = codec.encode(replace(CERTIFICATE, precommits=(CommitSignature(index, Signature(bytes(64))),)))
    with pytest.raises(MalformedMessage):
        codec.decode(raw, Certificate, bytes_max=1_000)


def test_a_certificate_holds_no_more_than_the_largest_set() -> None:
    entry = CommitSignature(0, Signature(bytes(64)))
    largest = codec.encode(replace(CERTIFICATE, precommits=(entry,) * VALIDATORS_MAX))
    assert len(codec.decode(largest, Certificate, bytes_max=10**6).precommits) == VALIDATORS_MAX
    with pytest.raises(MalformedMessage):
        codec.decode(
            codec.encode(replace(CERTIFICATE, precommits=(entry,) * (VALIDATORS_MAX + 1))), Certificate, bytes_max=10**6
        )
