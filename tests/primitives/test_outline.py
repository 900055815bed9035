"""Outlines: held to their header as a block is, whichever of its transactions they only name."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.errors import MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.block import VerifiedBlock, block_id
from blockchain.primitives.crypto import HASH_BYTES
from blockchain.primitives.outline import (
    Outline,
    check_outline,
    decode_outline,
    filled,
    given_in,
    is_id,
    outline_of,
)
from blockchain.primitives.transaction import TRANSACTION_BYTES_MAX, VerifiedTransaction, decode_transaction
from blockchain.primitives.transaction import transaction_id as id_of
from tests.primitives.test_block import BLOCK, EVIDENCE, RAWS, block_of
from tests.samples import GENESIS_HASH, OTHER_CHAIN, address, wallet

IDS = tuple(id_of(GENESIS_HASH, raw) for raw in RAWS)
TRANSACTIONS = tuple(
    VerifiedTransaction(each, raw, decode_transaction(raw)) for each, raw in zip(IDS, RAWS, strict=True)
)
VERIFIED = VerifiedBlock(block_id(BLOCK.header, GENESIS_HASH), codec.encode(BLOCK), BLOCK, TRANSACTIONS)
ENTRIES = (*RAWS[:1], *IDS[1:])
OUTLINE = Outline(BLOCK.header, ENTRIES, BLOCK.evidence, BLOCK.parent_certificate)


def refused(outline: Outline, genesis_hash: bytes = GENESIS_HASH) -> str:
    with pytest.raises(MalformedMessage) as caught:
        check_outline(outline, genesis_hash)
    return caught.value.why


@pytest.mark.parametrize("held", [(), IDS[:1], IDS[1:], IDS], ids=len)
def test_what_is_held_goes_by_its_id_and_all_else_whole(held: tuple[bytes, ...]) -> None:
    outline = decode_outline(outline_of(VERIFIED, lambda each: each in held))
    assert outline.entries == tuple(one.id if one.id in held else one.raw for one in TRANSACTIONS)
    assert [is_id(entry) for entry in outline.entries] == [each in held for each in IDS]
    assert [outline.entries[at] for at in given_in(outline)] == [one.raw for one in TRANSACTIONS if one.id not in held]
    assert check_outline(outline, GENESIS_HASH) == IDS
    assert codec.encode(filled(outline, RAWS)) == VERIFIED.raw


def test_the_outline_of_a_block_without_transactions_has_its_evidence_and_certificate() -> None:
    empty = block_of((), (EVIDENCE,))
    verified = VerifiedBlock(block_id(empty.header, GENESIS_HASH), codec.encode(empty), empty, ())
    outline = decode_outline(outline_of(verified, lambda _: True))
    assert check_outline(outline, GENESIS_HASH) == ()
    assert filled(outline, ()) == empty


def test_an_outline_that_holds_everything_is_its_block() -> None:
    assert outline_of(VERIFIED, lambda _: None) == VERIFIED.raw


@pytest.mark.parametrize("entries", [ENTRIES[::-1], (*ENTRIES[:2], IDS[0]), (RAWS[1], *ENTRIES[1:])])
def test_other_transactions_whether_named_or_given_are_refused(entries: tuple[bytes, ...]) -> None:
    assert "transactions" in refused(replace(OUTLINE, entries=entries))


def test_another_number_of_them_is_refused() -> None:
    assert "number" in refused(replace(OUTLINE, entries=ENTRIES[:2]))


def test_what_is_given_on_another_chain_is_another_transaction() -> None:
    assert "transactions" in refused(OUTLINE, OTHER_CHAIN)


def test_other_evidence_and_another_certificate_are_refused() -> None:
    accused = block_of(RAWS, (EVIDENCE,))
    swapped = type(EVIDENCE)(EVIDENCE.second, EVIDENCE.first)
    assert "evidence" in refused(replace(OUTLINE, header=accused.header, evidence=(swapped,)))
    certificate = replace(BLOCK.parent_certificate, round=BLOCK.parent_certificate.round + 1)
    assert "certificate" in refused(replace(OUTLINE, parent_certificate=certificate))


@pytest.mark.parametrize("size", [HASH_BYTES - 1, TRANSACTION_BYTES_MAX + 1])
def test_an_entry_is_an_id_or_as_long_as_a_transaction(size: int) -> None:
    with pytest.raises(MalformedMessage):
        decode_outline(codec.encode(replace(OUTLINE, entries=(bytes(size),))))


def test_no_transaction_is_as_short_as_an_id() -> None:
    least = wallet("a").transfer(address("b"), 1, 0).raw
    assert len(least) > HASH_BYTES and not is_id(least)
