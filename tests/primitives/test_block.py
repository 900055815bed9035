"""Blocks: a body that is not its header's is the peer's fault, and an id covers every field of the header."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from blockchain.errors import MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.block import (
    BLOCK_BYTES_MAX,
    BLOCK_EVIDENCE_MAX,
    BLOCK_TRANSACTIONS_MAX,
    Block,
    Header,
    VerifiedBlock,
    block_id,
    check_body,
    decode_block,
    evidence_root,
    header_of,
    transaction_root,
)
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.merkle import EMPTY_ROOT
from blockchain.primitives.transaction import transaction_id
from blockchain.primitives.vote import Certificate, ConflictingVotes, Evidence, certificate_hash
from tests.samples import (
    BLOCK_A,
    BLOCK_B,
    GENESIS_HASH,
    OTHER_CHAIN,
    PREVOTE,
    TIME_MS,
    address,
    certificate_of,
    key,
    keys_in_order,
    vote,
    wallet,
)

RAWS = tuple(wallet("a").transfer(address("b"), 1, nonce).raw for nonce in range(3))
CERTIFICATE = certificate_of(dict(enumerate(keys_in_order(3))), 6, BLOCK_A)
EVIDENCE = ConflictingVotes(vote(key("v"), 5, PREVOTE, BLOCK_A), vote(key("v"), 5, PREVOTE, BLOCK_B))


def block_of(
    raws: tuple[bytes, ...] = RAWS, evidence: tuple[Evidence, ...] = (), certificate: Certificate = CERTIFICATE
) -> Block:
    header = Header(
        version=1,
        height=7,
        round=0,
        seed=Hash32(b"\x01" * 32),
        time_ms=TIME_MS,
        parent=BLOCK_A,
        forger=address("v"),
        vrf_proof=b"\x02" * 80,
        transaction_root=transaction_root([transaction_id(GENESIS_HASH, raw) for raw in raws]),
        state_root=Hash32(b"\x03" * 32),
        validators_hash=Hash32(b"\x04" * 32),
        next_validators_hash=Hash32(b"\x05" * 32),
        evidence_root=evidence_root(evidence, GENESIS_HASH),
        parent_certificate_hash=certificate_hash(certificate, GENESIS_HASH),
        transaction_count=len(raws),
        evidence_count=len(evidence),
    )
    return Block(header, raws, evidence, certificate)


BLOCK = block_of()


def refused(block: Block, genesis_hash: bytes = GENESIS_HASH) -> str:
    with pytest.raises(MalformedMessage) as caught:
        check_body(block, genesis_hash)
    return caught.value.why


# ------------------------------------------------------------------------------------------------ ids


@pytest.mark.parametrize("name", [name for name in Header.__struct_fields__ if name != "version"])
def test_the_id_covers_every_field_of_the_header(name: str) -> None:
    value = getattr(BLOCK.header, name)
    other = value + 1 if isinstance(value, int) else bytes([value[0] ^ 1]) + value[1:]
    assert block_id(replace(BLOCK.header, **{name: other}), GENESIS_HASH) != block_id(BLOCK.header, GENESIS_HASH)


def test_the_id_is_one_chains() -> None:
    assert block_id(BLOCK.header, GENESIS_HASH) != block_id(BLOCK.header, OTHER_CHAIN)


def test_roots_of_nothing() -> None:
    assert transaction_root(()) == evidence_root((), GENESIS_HASH) == EMPTY_ROOT


def test_the_root_of_evidence_is_one_chains_and_in_order() -> None:
    swapped = ConflictingVotes(EVIDENCE.second, EVIDENCE.first)
    roots = {evidence_root(items, GENESIS_HASH) for items in [(EVIDENCE,), (swapped,), (EVIDENCE, swapped)]}
    assert len(roots | {evidence_root((EVIDENCE,), OTHER_CHAIN)}) == 4


def test_a_verified_block_has_its_header_at_hand() -> None:
    assert VerifiedBlock(BLOCK_A, codec.encode(BLOCK), BLOCK, ()).header is BLOCK.header


# ------------------------------------------------------------------------------------------------ bodies


@pytest.mark.parametrize("block", [BLOCK, block_of(()), block_of(RAWS, (EVIDENCE,))])
def test_a_body_that_is_its_headers_passes_and_comes_back(block: Block) -> None:
    check_body(block, GENESIS_HASH)
    assert decode_block(codec.encode(block)) == block


def test_another_order_of_transactions_is_another_body() -> None:
    assert "transactions" in refused(replace(BLOCK, transactions=RAWS[::-1]))


def test_another_transaction_is_another_body() -> None:
    other = wallet("a").transfer(address("b"), 2, 0).raw
    assert "transactions" in refused(replace(BLOCK, transactions=(other, *RAWS[1:])))


def test_the_same_transaction_with_another_signature_is_another_body() -> None:
    changed = RAWS[0][:-1] + bytes([RAWS[0][-1] ^ 1])
    assert "transactions" in refused(replace(BLOCK, transactions=(changed, *RAWS[1:])))


@pytest.mark.parametrize("raws", [RAWS[:2], (*RAWS, RAWS[2]), ()])
def test_another_number_of_transactions_is_another_body(raws: tuple[bytes, ...]) -> None:
    assert "number" in refused(replace(BLOCK, transactions=raws))


def test_the_header_says_how_many_there_are() -> None:
    assert "number" in refused(replace(BLOCK, header=replace(BLOCK.header, transaction_count=4)))
    assert "number" in refused(replace(BLOCK, header=replace(BLOCK.header, evidence_count=1)))


def test_repeating_the_last_leaf_does_not_keep_the_root() -> None:
    """The flaw of trees that pad with their last leaf (CVE-2012-2459)."""
    header = replace(BLOCK.header, transaction_count=4)
    assert "transactions" in refused(Block(header, (*RAWS, RAWS[2]), (), CERTIFICATE))


@pytest.mark.parametrize("block", [BLOCK, block_of(RAWS, (EVIDENCE,))])
def test_the_header_is_read_without_the_rest(block: Block) -> None:
    assert header_of(codec.encode(block)) == block.header
    with pytest.raises(MalformedMessage):
        header_of(codec.encode(block)[:-1])


def test_other_evidence_is_another_body() -> None:
    block = block_of(RAWS, (EVIDENCE,))
    swapped = ConflictingVotes(EVIDENCE.second, EVIDENCE.first)
    assert "evidence" in refused(replace(block, evidence=(swapped,)))


def test_another_certificate_is_another_body() -> None:
    """Even one that proves the same: what a child holds has effects, so its bytes are committed to."""
    fewer = replace(CERTIFICATE, precommits=CERTIFICATE.precommits[:2])
    assert "certificate" in refused(replace(BLOCK, parent_certificate=fewer))


def test_a_body_is_one_chains() -> None:
    refused(BLOCK, OTHER_CHAIN)


# ------------------------------------------------------------------------------------------------ bounds

REFUSED: dict[str, tuple[int, Any]] = {
    "version 2": (0, 2),
    "a negative height": (1, -1),
    "a round of 2^31": (2, 2**31),
    "a short seed": (3, bytes(31)),
    "a time of 2^53": (4, 2**53),
    "a long parent": (5, bytes(33)),
    "a short forger": (6, bytes(31)),
    "a short proof": (7, bytes(79)),
    "a long proof": (7, bytes(81)),
    "no root": (8, None),
    "a text as root": (9, "x" * 32),
    "a negative count": (14, -1),
    "a count of 2^31": (15, 2**31),
}


@pytest.mark.parametrize("at, value", REFUSED.values(), ids=REFUSED.keys())
def test_a_field_of_the_header_out_of_bounds_is_malformed(at: int, value: Any) -> None:
    plain = msgspec.msgpack.decode(codec.encode(BLOCK))
    assert decode_block(msgspec.msgpack.encode(plain)) == BLOCK
    plain[0][at] = value
    with pytest.raises(MalformedMessage):
        decode_block(msgspec.msgpack.encode(plain))


@pytest.mark.parametrize(
    "body",
    [
        {"transactions": (b"",)},
        {"transactions": (bytes(1_025),)},
        {"transactions": (b"\x00",) * (BLOCK_TRANSACTIONS_MAX + 1)},
        {"evidence": (EVIDENCE,) * (BLOCK_EVIDENCE_MAX + 1)},
    ],
    ids=["an empty transaction", "a long transaction", "too many transactions", "too much evidence"],
)
def test_a_body_out_of_bounds_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        decode_block(codec.encode(replace(BLOCK, **body)))


def test_transactions_are_not_decoded_with_the_block() -> None:
    """They stay bytes: whether one is a transaction is for its own check, with its own fault."""
    assert decode_block(codec.encode(block_of((b"\xc1",)))).transactions == (b"\xc1",)


def test_too_many_bytes_are_refused_before_decoding() -> None:
    with pytest.raises(MalformedMessage, match="more than"):
        decode_block(bytes(BLOCK_BYTES_MAX + 1))
