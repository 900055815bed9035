"""Outlines: a block in which ids may stand for transactions, for who holds these already (docs/protocol.md §8.4).

It has the shape of a block. An entry of 32 bytes is an id, since no transaction is so short; any other is a
transaction. The header's root is over the ids, so that an outline is held to its header as a block is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, cast

from msgspec import Meta, Struct

from blockchain.primitives import codec
from blockchain.primitives.block import (
    BLOCK_BYTES_MAX,
    BLOCK_EVIDENCE_MAX,
    BLOCK_TRANSACTIONS_MAX,
    Block,
    Header,
    VerifiedBlock,
    check_commitments,
)
from blockchain.primitives.crypto import HASH_BYTES, Hash32
from blockchain.primitives.transaction import TRANSACTION_BYTES_MAX, transaction_ids
from blockchain.primitives.vote import Certificate, Evidence

Entry = Annotated[bytes, Meta(min_length=HASH_BYTES, max_length=TRANSACTION_BYTES_MAX)]


class Outline(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Header and body of a block, each transaction given by its own bytes or by its id."""

    header: Header
    entries: Annotated[tuple[Entry, ...], Meta(max_length=BLOCK_TRANSACTIONS_MAX)]
    evidence: Annotated[tuple[Evidence, ...], Meta(max_length=BLOCK_EVIDENCE_MAX)]
    parent_certificate: Certificate


def is_id(entry: bytes) -> bool:
    """Whether an entry names a transaction; any other is one."""
    return len(entry) == HASH_BYTES


def given_in(outline: Outline) -> list[int]:
    """The positions of the transactions that are there themselves."""
    return [at for at, entry in enumerate(outline.entries) if not is_id(entry)]


def outline_of(block: VerifiedBlock, is_held: Callable[[Hash32], object]) -> bytes:
    """The encoding of the block's outline, with the ids of those transactions for which `is_held` gives something."""
    entries = tuple(each.id if is_held(each.id) else each.raw for each in block.transactions)
    return codec.encode(Outline(block.header, entries, block.block.evidence, block.block.parent_certificate))


def decode_outline(raw: bytes) -> Outline:
    """Canonical bytes (at most BLOCK_BYTES_MAX: it is no longer than its block) to an Outline, or raises
    MalformedMessage."""
    return codec.decode(raw, Outline, bytes_max=BLOCK_BYTES_MAX)


def check_outline(outline: Outline, genesis_hash: bytes) -> tuple[Hash32, ...]:
    """The body is the one that the header commits to, whichever transactions the ids stand for (protocol §4.2).

    Returns the ids of all its transactions. Raises MalformedMessage.
    """
    entries = outline.entries
    ids = list(cast("tuple[Hash32, ...]", entries))
    given = given_in(outline)
    for at, found in zip(given, transaction_ids(genesis_hash, [entries[at] for at in given]), strict=True):
        ids[at] = found
    check_commitments(outline.header, ids, outline.evidence, outline.parent_certificate, genesis_hash)
    return tuple(ids)


def filled(outline: Outline, raws: Sequence[bytes]) -> Block:
    """The block, with these transactions in their order."""
    return Block(outline.header, tuple(raws), outline.evidence, outline.parent_certificate)
