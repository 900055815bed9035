"""A store of an earlier version is brought up to date where it lies, when it is opened: nobody deletes a folder for it.

All of it is one transaction. A power cut leaves the store as it was, and the next start begins again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

import apsw

from blockchain.node.entry import ending
from blockchain.primitives.block import decode_block
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.transaction import decode_transaction, parties_of
from blockchain.runtime import sqlite_rows as rows
from blockchain.runtime.sqlite_file import SCHEMA_VERSION, TABLES, added_since, damaged, transaction
from blockchain.runtime.sqlite_stories import add_ended
from blockchain.seams import TransactionStory

_LOG: Final = logging.getLogger("blockchain.store")


def bring_up_to_date(connection: apsw.Connection, path: Path) -> None:
    """Upgrade a store of an earlier version, if it is one. Raises StoreError where a block of it is damaged.

    What nobody wrote down stays unknown: a store of version 2 or below has the validator sets and the turns of the
    blocks from its next one on (the chain writes those of its head with it), and says of earlier ones that it has not.
    """
    (recorded,) = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchone() or (b"",)
    found = int.from_bytes(recorded, "big")
    if found == SCHEMA_VERSION:
        return
    with transaction(connection):
        for name in sorted(added_since(found)):
            connection.execute(f"CREATE TABLE {name} {TABLES[name]}")
        done = _from_version_1(connection, path) if found < 2 else ""
        version = SCHEMA_VERSION.to_bytes(4, "big")
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (version,))
    _LOG.info("store %s: upgraded to format %d%s", path, SCHEMA_VERSION, done)


def _from_version_1(connection: apsw.Connection, path: Path) -> str:
    connection.execute("ALTER TABLE pending ADD COLUMN story BLOB NOT NULL DEFAULT x''")
    _move_refusals(connection)
    return f", the history of {_rebuild_history(connection, path)} blocks made"


def _move_refusals(connection: apsw.Connection) -> None:
    """What version 1 kept of a transaction that was acknowledged and ended: the last stage of its story."""
    refused = connection.execute("SELECT id, code, why, time_ms FROM refused ORDER BY seq")
    told = [TransactionStory(Hash32(each), (ending(code, why, time_ms),)) for each, code, why, time_ms in refused]
    add_ended(connection, told)
    connection.execute("DROP TABLE refused")


def _rebuild_history(connection: apsw.Connection, path: Path) -> int:
    """From the blocks, by height; returns how many there are."""
    head = rows.read_height(connection)
    for height in range(1, head + 1):
        stored = rows.read_block(connection, height)
        if stored is None:
            raise damaged(path, f"without block {height}")
        raws = decode_block(stored.raw).transactions
        rows.add_history(connection, height, [parties_of(decode_transaction(raw)) for raw in raws])
    return head
