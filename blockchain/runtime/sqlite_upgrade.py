"""A store of an earlier version is brought up to date where it lies, when it is opened: nobody deletes a folder for it.

All of it is one transaction. A power cut leaves the store as it was, and the next start begins again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final
from zlib import crc32

import apsw

from blockchain.errors import MalformedMessage
from blockchain.node.entry import ending
from blockchain.primitives import codec
from blockchain.primitives.block import decode_block
from blockchain.primitives.crypto import HASH_BYTES, Hash32
from blockchain.primitives.transaction import decode_transaction, parties_of
from blockchain.runtime import sorted_runs
from blockchain.runtime import sqlite_rows as rows
from blockchain.runtime.sqlite_file import SCHEMA_VERSION, TABLES, added_since, check_shape, damaged, transaction
from blockchain.runtime.sqlite_index import entries_of
from blockchain.runtime.sqlite_pending import STORY_BYTES_MAX, PendingRows
from blockchain.runtime.sqlite_state import ROW_RECORDS, change_state
from blockchain.runtime.sqlite_stories import add_ended
from blockchain.seams import PendingTransaction, SliceEnd, StateSlice, Story, TransactionStory

_LOG: Final = logging.getLogger("blockchain.store")
_ENTRIES_AT_ONCE: Final = 100_000  # of the index, sorted in memory: some 20 MB
_TOLD_BLOCKS: Final = 10_000  # between two signs of progress: half a minute where they are full


def bring_up_to_date(connection: apsw.Connection, path: Path) -> None:
    """Upgrade a store of an earlier version, if it is one. Raises StoreError where it is damaged.

    What nobody wrote down stays unknown: a store of version 2 or below has the validator sets and the turns of the
    blocks from its next one on (the chain writes those of its head with it), and says of earlier ones that it has not.
    """
    (recorded,) = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone() or (b"",)
    found = int.from_bytes(recorded, "big")
    if found == SCHEMA_VERSION:
        return
    with transaction(connection), _in_words(path, found):
        for name in sorted(added_since(found)):
            connection.execute(f"CREATE TABLE {name} {TABLES[name]}")
        if found < 2:
            _from_version_1(connection)
        if found < 4:
            _from_version_3(connection, path)
        _from_version_4(connection, path)
        version = SCHEMA_VERSION.to_bytes(4, "big")
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (version,))
        check_shape(connection, path)
    _LOG.info("store %s: upgraded from format %d to format %d", path, found, SCHEMA_VERSION)


@contextmanager
def _in_words(path: Path, version: int) -> Iterator[None]:
    """What tables an earlier version had is written down nowhere but in the statements that read them."""
    try:
        yield
    except apsw.SQLError as error:
        raise damaged(path, f"not the tables of format {version}: {error}") from error


def _from_version_1(connection: apsw.Connection) -> None:
    connection.execute("ALTER TABLE pending ADD COLUMN story BLOB NOT NULL DEFAULT x''")
    _move_refusals(connection)


def _move_refusals(connection: apsw.Connection) -> None:
    """What version 1 kept of a transaction that was acknowledged and ended: the last stage of its story."""
    refused = connection.execute("SELECT id, code, why, time_ms FROM refused ORDER BY seq")
    told = [TransactionStory(Hash32(each), (ending(code, why, time_ms),)) for each, code, why, time_ms in refused]
    add_ended(connection, told)
    connection.execute("DROP TABLE refused")


def _from_version_3(connection: apsw.Connection, path: Path) -> None:
    """Up to it, state and index were a row for each record and place."""
    connection.execute("ALTER TABLE head ADD COLUMN state_first INTEGER NOT NULL DEFAULT 1")
    connection.execute("ALTER TABLE head ADD COLUMN state_last INTEGER NOT NULL DEFAULT 0")
    _move_state(connection, path)
    _rebuild_index(connection, path)
    for old in ("state", "transactions", "history"):
        connection.execute(f"DROP TABLE IF EXISTS {old}")  # version 1 had no history


def _move_state(connection: apsw.Connection, path: Path) -> None:
    """The whole state becomes one slice."""
    (expected,) = connection.execute("SELECT state_count FROM head").fetchone() or (0,)
    count = 0
    cursor = connection.execute("SELECT key, value FROM state ORDER BY key")
    while found := list(islice(cursor, ROW_RECORDS)):
        records = {key: value for key, value in found if isinstance(key, bytes) and isinstance(value, bytes)}
        if len(records) < len(found):
            raise damaged(path, "a record of state that is not bytes")
        change_state(connection, records, StateSlice(SliceEnd(lap=1), {}, expected))
        count += len(records)
    if count != expected:
        raise damaged(path, f"{count} records of state instead of {expected}")


def _rebuild_index(connection: apsw.Connection, path: Path) -> None:
    """From the blocks, which have check sums."""
    entries: list[bytes] = []
    head = rows.read_height(connection)
    for height in range(1, head + 1):
        entries += _entries_of_block(connection, path, height)
        if len(entries) >= _ENTRIES_AT_ONCE or height == head:
            sorted_runs.add(connection, entries)
            entries.clear()
        if height % _TOLD_BLOCKS == 0:
            _LOG.info("store %s: %d of %d blocks are in the new index", path, height, head)


def _entries_of_block(connection: apsw.Connection, path: Path, height: int) -> list[bytes]:
    stored = rows.read_block(connection, height)
    if stored is None:
        raise damaged(path, f"without block {height}")
    raws = decode_block(stored.raw).transactions
    return entries_of(height, stored.transaction_ids, [parties_of(decode_transaction(raw)) for raw in raws])


def _from_version_4(connection: apsw.Connection, path: Path) -> None:
    """Up to it, a pending transaction had a row of its own."""
    pending = [
        _pending_of_row(path, *row)
        for row in connection.execute("SELECT id, raw, crc, story FROM pending ORDER BY seq")
    ]
    connection.execute("DROP TABLE pending")
    connection.execute(f"CREATE TABLE pending {TABLES['pending']}")
    PendingRows(connection).add(pending)


def _pending_of_row(path: Path, transaction_id: object, raw: object, crc: object, story: object) -> PendingTransaction:
    if not (isinstance(transaction_id, bytes) and isinstance(raw, bytes) and isinstance(story, bytes)):
        raise damaged(path, "a pending transaction that is not bytes")
    if crc32(raw + story) != crc or len(transaction_id) != HASH_BYTES:
        raise damaged(path, "a pending transaction")
    try:
        stages = codec.decode(story, Story, bytes_max=STORY_BYTES_MAX) if story else ()
    except MalformedMessage:
        raise damaged(path, "the story of a pending transaction") from None
    return PendingTransaction(Hash32(transaction_id), raw, stages)
