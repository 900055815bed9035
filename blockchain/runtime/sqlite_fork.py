"""What a node's store knows of a fork: read-only, also while its node runs or has halted (docs/protocol.md §5.9)."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from blockchain.consensus.evidence import accused
from blockchain.errors import MalformedMessage, StoreError
from blockchain.node.fork_case import PROOF_BYTES_MAX, ForkCase, votes_in
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Certificate, Evidence, Fork, Vote
from blockchain.runtime.sqlite_file import SCHEMA_VERSION, damaged
from blockchain.runtime.sqlite_look import Snapshot, snapshot
from blockchain.runtime.sqlite_rows import read_block, read_evidence, read_prevotes
from blockchain.runtime.sqlite_validators import read_set

T = TypeVar("T")


def find_fork(folder: Path, genesis_hash: Hash32) -> int | None:
    """The height of the fork that the folder's store has proof of; None: it knows of none. Raises StoreError."""
    with snapshot(folder, genesis_hash) as found:
        return next((each.first.height for each in _proofs(found) if isinstance(each, Fork)), None)


def read_stored_case(folder: Path, genesis_hash: Hash32, height: int) -> ForkCase:
    """All that the folder's store knows of a height. Raises StoreError."""
    with snapshot(folder, genesis_hash) as found:
        if found.format != SCHEMA_VERSION:
            raise StoreError(
                f"store {found.path} is of format {found.format}: start its node once to bring it up to date"
            )
        proofs = _proofs(found)
        forks = [each for each in proofs if isinstance(each, Fork) and each.first.height == height]
        pieces = [each for each in proofs if not isinstance(each, Fork) and accused(each)[0] == height]
        certificates = [*_own(found, height), *(one for fork in forks for one in (fork.first, fork.second))]
        prevotes = _decoded(found, read_prevotes(found.connection, height), tuple[Vote, ...], BLOCK_BYTES_MAX)
        return ForkCase(
            genesis_hash,
            height,
            tuple(dict.fromkeys(certificates)),
            read_set(found.connection, height),
            (*(prevotes or ()), *votes_in(pieces, height)),
        )


def _own(found: Snapshot, height: int) -> list[Certificate]:
    """The certificate with which the store's block of this height is final there."""
    block = read_block(found.connection, height)
    certificate = _decoded(found, None if block is None else block.certificate, Certificate, BLOCK_BYTES_MAX)
    return [] if certificate is None else [certificate]


def _proofs(found: Snapshot) -> list[Evidence | Fork]:
    raws = read_evidence(found.connection)
    decoded = (_decoded(found, raw, Evidence | Fork, PROOF_BYTES_MAX) for raw in raws)  # type: ignore[arg-type]
    return [each for each in decoded if each is not None]


def _decoded(found: Snapshot, raw: bytes | None, kind: type[T], bytes_max: int) -> T | None:
    try:
        return None if raw is None else codec.decode(raw, kind, bytes_max=bytes_max)
    except MalformedMessage as error:
        raise damaged(found.path, str(error)) from None
