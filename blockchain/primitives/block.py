"""Blocks: header, body and id (docs/protocol.md §4).

A body that does not match its header is the peer's fault, never the block's: `check_body` is what a node runs
before it looks at anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta, Raw, Struct

from blockchain.errors import MalformedMessage
from blockchain.primitives import codec, merkle
from blockchain.primitives.crypto import Hash32, tagged_hash
from blockchain.primitives.scalars import AddressField, Count, HashField, Height, Round, TimeMs
from blockchain.primitives.transaction import RawTransaction, VerifiedTransaction, transaction_ids
from blockchain.primitives.vote import Certificate, Evidence, certificate_hash

BLOCK_TRANSACTIONS_MAX: Final = 10_000  # no chain may ask for more; keeps the largest block near two megabytes
BLOCK_EVIDENCE_MAX: Final = 16
BLOCK_BYTES_MAX: Final = 4 * 1024 * 1024
BODY_BYTES_MAX: Final = BLOCK_BYTES_MAX - 2 * 1024 * 1024  # of transactions: room for the largest set's certificate
_ID_TAG: Final = "block-id"
_EVIDENCE_TAG: Final = "evidence"

VrfProofField = Annotated[bytes, Meta(min_length=80, max_length=80)]


class Header(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Everything a block commits to. `state_root` is the state after this block; `round` the one it was built in."""

    version: Literal[1]
    height: Height
    round: Round
    seed: HashField
    time_ms: TimeMs
    parent: HashField
    forger: AddressField
    vrf_proof: VrfProofField
    transaction_root: HashField
    state_root: HashField
    validators_hash: HashField
    next_validators_hash: HashField
    evidence_root: HashField
    parent_certificate_hash: HashField
    transaction_count: Count
    evidence_count: Count


class Block(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A header and its body, as they travel and are stored. Transactions stay in their own canonical bytes."""

    header: Header
    transactions: Annotated[tuple[RawTransaction, ...], Meta(max_length=BLOCK_TRANSACTIONS_MAX)]
    evidence: Annotated[tuple[Evidence, ...], Meta(max_length=BLOCK_EVIDENCE_MAX)]
    parent_certificate: Certificate


class VerifiedBlock(Struct, frozen=True):
    """A block whose body matches its header and whose transactions are signed: all that needs no state."""

    id: Hash32
    raw: bytes
    block: Block
    transactions: tuple[VerifiedTransaction, ...]

    @property
    def header(self) -> Header:
        return self.block.header


def decode_block(raw: bytes) -> Block:
    """Canonical bytes (at most BLOCK_BYTES_MAX) to a Block. Raises MalformedMessage."""
    return codec.decode(raw, Block, bytes_max=BLOCK_BYTES_MAX)


class _Headed(Struct, frozen=True, array_like=True):
    """A block of which only the header is looked at."""

    header: Header
    transactions: Raw
    evidence: Raw
    parent_certificate: Raw


def header_of(raw: bytes) -> Header:
    """The header of a block whose bytes were checked before, as those in a store. Raises MalformedMessage."""
    return codec.decode(raw, _Headed, bytes_max=BLOCK_BYTES_MAX).header


def block_id(header: Header, genesis_hash: bytes) -> Hash32:
    return tagged_hash(_ID_TAG, genesis_hash, codec.encode(header))


def transaction_root(ids: Sequence[bytes]) -> Hash32:
    """The RFC 6962 root over the transactions' ids, in the order of the block."""
    return merkle.root(ids)


def evidence_root(evidence: Sequence[Evidence], genesis_hash: bytes) -> Hash32:
    """The RFC 6962 root over the evidence's hashes, in the order of the block."""
    return merkle.root([tagged_hash(_EVIDENCE_TAG, genesis_hash, codec.encode(item)) for item in evidence])


def check_body(block: Block, genesis_hash: bytes) -> tuple[Hash32, ...]:
    """The body is the one that the header commits to, or raises MalformedMessage (protocol §4.2).

    Returns the ids of its transactions, which the header's root is over.
    """
    ids = transaction_ids(genesis_hash, block.transactions)
    check_commitments(block.header, ids, block.evidence, block.parent_certificate, genesis_hash)
    return ids


def check_commitments(
    header: Header,
    ids: Sequence[bytes],
    evidence: Sequence[Evidence],
    parent_certificate: Certificate,
    genesis_hash: bytes,
) -> None:
    """The header commits to transactions with these ids, to this evidence and this certificate, or raises
    MalformedMessage (protocol §4.2)."""
    if header.transaction_count != len(ids) or header.evidence_count != len(evidence):
        raise MalformedMessage("the body holds another number of things than its header says")
    if header.transaction_root != transaction_root(ids):
        raise MalformedMessage("the transactions are not those of the header")
    if header.evidence_root != evidence_root(evidence, genesis_hash):
        raise MalformedMessage("the evidence is not that of the header")
    if header.parent_certificate_hash != certificate_hash(parent_certificate, genesis_hash):
        raise MalformedMessage("the parent's certificate is not that of the header")
