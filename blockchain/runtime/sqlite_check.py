"""What is checked when a store is opened: bounded, so that a node with years of blocks starts as fast as a new one.

What lies beyond these bounds is checked when it is read (`sqlite_rows`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from blockchain.runtime.sorted_runs import missing
from blockchain.runtime.sqlite_file import SCHEMA_VERSION, damaged
from blockchain.runtime.sqlite_index import entries_of
from blockchain.runtime.sqlite_rows import read_block

QUICK_CHECK_BYTES_MAX: Final = 64 * 1024 * 1024  # all of a store up to here is walked by SQLite: about 0.2 s
SMALL_TABLES: Final = (
    "meta", "head", "index_runs", "round_record", "round_blocks", "pending", "pending_gone", "stories", "refusals",
    "evidence"
)  # fmt: skip
INDEX_VERSION: Final = 4  # of the store, since which the index is as it is now
CHECKED_BLOCKS: Final = 16  # the newest: what a crash or a torn page would have hit


def check_store(connection: apsw.Connection, path: Path) -> None:
    """The file is whole, its pages make sense, and head, newest blocks and their index agree, or StoreError."""
    frames, applied = connection.wal_checkpoint()
    size = connection.pragma("page_count") * connection.pragma("page_size")
    if frames == applied and path.stat().st_size < size:  # no page may be missing now; SQLite would read zeros there
        raise damaged(path, f"cut off at {path.stat().st_size} bytes of {size}")
    for answer in _quick_check(connection, size):
        check_pages(path, answer)
    check_head(connection, path)


def _quick_check(connection: apsw.Connection, size: int) -> list[object]:
    if size <= QUICK_CHECK_BYTES_MAX:
        return [connection.pragma("quick_check", 1)]
    return [connection.pragma("quick_check", table) for table in SMALL_TABLES]


def check_pages(path: Path, answer: object) -> None:
    """What SQLite answered to a check of pages has to be "ok", or StoreError with what it found."""
    if answer != "ok":
        raise damaged(path, str(answer))


def check_head(connection: apsw.Connection, path: Path, version: int = SCHEMA_VERSION) -> None:
    """Head, newest blocks and the index of the newest one's transactions agree, or StoreError.

    An index of a version before 4 is not looked at: the upgrade makes it anew from the blocks.
    """
    head: tuple[int, bytes] | None = connection.execute("SELECT height, id FROM head").fetchone()
    bounds: tuple[int | None, int | None] | None = connection.execute(
        "SELECT (SELECT min(height) FROM blocks), (SELECT max(height) FROM blocks)"
    ).fetchone()
    if head is None or bounds not in ((1, head[0]), (None, None)) or (bounds == (None, None) and head[0] != 0):
        raise damaged(path, "its head is not its newest block")
    height, head_id = head
    for checked in range(height, max(0, height - CHECKED_BLOCKS), -1):
        block = read_block(connection, checked)
        if block is None:
            raise damaged(path, f"without block {checked}")
        if checked == height and block.id != head_id:
            raise damaged(path, "its head is not its newest block")
        if checked == height and version >= INDEX_VERSION:
            _check_index(connection, path, height, block.transaction_ids)


def _check_index(connection: apsw.Connection, path: Path, height: int, transaction_ids: tuple[bytes, ...]) -> None:
    if missing(connection, entries_of(height, transaction_ids, ())):
        raise damaged(path, f"a transaction of block {height} is not in its index")
