"""Looking at a store from outside, also while a node writes to it: read-only, and all of one moment.

A long look keeps the node's WAL from being cut back, so the file grows meanwhile; nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import apsw
from msgspec import Struct

from blockchain.errors import StoreError
from blockchain.primitives.block import decode_block
from blockchain.primitives.crypto import HASH_BYTES
from blockchain.runtime.folder_lock import is_locked
from blockchain.runtime.sqlite_file import (
    SCHEMA_VERSION,
    STORE_FILE,
    InWords,
    check_owner,
    check_program,
    check_size,
    damaged,
    is_empty,
    open_reader,
)
from blockchain.runtime.sqlite_pending import read_pending
from blockchain.runtime.sqlite_rows import read_block, read_halted

GROWTH_BLOCKS: Final = 10_000  # the newest, of which it is told how fast a store grows
GROWTH_BLOCKS_MIN: Final = 100
GROWTH_SPAN_MIN_MS: Final = 3_600_000
_DAY_MS: Final = 86_400_000


class StoreFacts(Struct, frozen=True):
    """What a store holds, in a few numbers. `head_time_ms` is None before the first block."""

    path: Path
    format: int
    height: int
    head: bytes
    head_time_ms: int | None
    transactions: int
    pending: int
    state_records: int
    file_bytes: int
    wal_bytes: int
    is_in_use: bool
    halted: str  # why the node votes no more, or ""


class Snapshot(Struct, frozen=True):
    """A read-only connection to a store, which sees one moment of it."""

    connection: apsw.Connection
    path: Path
    format: int


@contextmanager
def snapshot(folder: Path, genesis_hash: bytes) -> Iterator[Snapshot]:
    """The moment of the folder's store at the first read, until it is left.

    Raises StoreError when there is none, or when it is another chain's, of a newer version or damaged.
    """
    path = folder / STORE_FILE
    if not path.is_file():
        raise StoreError(f"there is no store in {folder}: name the data folder of a node that has run (--data_dir)")
    with InWords(path, "cannot read the store"):
        check_size(path)
        with closing(open_reader(path, None)) as connection:
            check_program(connection, path)
            if is_empty(connection):
                raise StoreError(f"store {path} is empty: the node that made it has not written anything yet")
            with connection:  # one transaction, which begins with the next read
                version = check_owner(connection, path, genesis_hash)
                yield Snapshot(connection, path, version)


def read_facts(folder: Path, genesis_hash: bytes) -> StoreFacts:
    """Raises StoreError as `snapshot` does."""
    with snapshot(folder, genesis_hash) as found:
        connection, path = found.connection, found.path
        row: tuple[object, ...] | None = connection.execute("SELECT height, id, state_count FROM head").fetchone()
        match row:
            case (int(height), bytes(head), int(records)):
                pass
            case _:
                raise damaged(path, "without its head")
        (ids_bytes,) = connection.execute("SELECT sum(length(transaction_ids)) FROM blocks").fetchone() or (0,)
        return StoreFacts(
            path=path,
            format=found.format,
            height=height,
            head=head,
            head_time_ms=_time_of(connection, path, height),
            transactions=(ids_bytes or 0) // HASH_BYTES,
            pending=_count_pending(found),
            state_records=records,
            file_bytes=path.stat().st_size,
            wal_bytes=_size(path.with_name(f"{path.name}-wal")),
            is_in_use=is_locked(folder),
            halted=read_halted(connection),
        )


def read_growth(folder: Path, genesis_hash: bytes) -> int:
    """By how many bytes a day the file has grown with its newest blocks; 0 when they are too few, or of an hour.

    Raises StoreError as `snapshot` does.
    """
    with snapshot(folder, genesis_hash) as found:
        row: tuple[object, ...] | None = found.connection.execute("SELECT height FROM head").fetchone()
        height = row[0] if row else 0
        if not isinstance(height, int) or height <= GROWTH_BLOCKS_MIN:
            return 0
        first = max(height - GROWTH_BLOCKS, 1)
        newest, oldest = (_time_of(found.connection, found.path, at) or 0 for at in (height, first))
        if newest - oldest < GROWTH_SPAN_MIN_MS:
            return 0
        grown = found.path.stat().st_size * (height - first) // height
        return grown * _DAY_MS // (newest - oldest)


def _count_pending(found: Snapshot) -> int:
    if found.format == SCHEMA_VERSION:
        return len(read_pending(found.connection))
    (count,) = found.connection.execute("SELECT count(*) FROM pending").fetchone() or (0,)
    return int(count)  # up to format 4 they had a row each


def _time_of(connection: apsw.Connection, path: Path, height: int) -> int | None:
    if height == 0:
        return None
    block = read_block(connection, height)
    if block is None:
        raise damaged(path, f"without block {height}")
    return decode_block(block.raw).header.time_ms


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
