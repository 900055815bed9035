"""A store as version 1 of the format wrote it, for the tests of its upgrade: its tables, and rows as it put them."""

from __future__ import annotations

from contextlib import closing
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import apsw

from blockchain.seams import FinalBlock, Store

TABLES_1 = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), height INTEGER NOT NULL, id BLOB NOT NULL, "
    "state_count INTEGER NOT NULL)",
    "CREATE TABLE blocks (height INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, raw BLOB NOT NULL, "
    "certificate BLOB NOT NULL, transaction_ids BLOB NOT NULL, checksum BLOB NOT NULL)",
    "CREATE TABLE transactions (id BLOB PRIMARY KEY, height INTEGER NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE round_record (one INTEGER PRIMARY KEY CHECK (one = 1), raw BLOB NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE round_blocks (id BLOB PRIMARY KEY, raw BLOB NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE pending (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, raw BLOB NOT NULL, crc INTEGER NOT NULL)",
    "CREATE TABLE refused (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, code TEXT NOT NULL, why TEXT NOT NULL, "
    "time_ms INTEGER NOT NULL)",
    "CREATE TABLE evidence (seq INTEGER PRIMARY KEY, raw BLOB NOT NULL UNIQUE, crc INTEGER NOT NULL)",
)


def write_store_1(
    folder: Path,
    source: Store,
    genesis_hash: bytes,
    pending: tuple[tuple[bytes, bytes], ...] = (),
    refused: tuple[tuple[bytes, str, str, int], ...] = (),
) -> Path:
    """The blocks and the state of `source`, with these pending (id, raw) and refused (id, code, why, time in ms)."""
    path = folder / "chain.db"
    with closing(apsw.Connection(str(path))) as connection:
        connection.pragma("journal_mode", "WAL")
        connection.pragma("application_id", 0x706F7362)
        for statement in TABLES_1:
            connection.execute(statement)
        connection.execute("INSERT INTO meta VALUES ('schema_version', ?), ('genesis_hash', ?)", (_ONE, genesis_hash))
        connection.execute("INSERT INTO head VALUES (1, 0, zeroblob(32), 0)")
        for height in range(1, source.head() + 1):
            block = source.block(height)
            assert block is not None
            _append(connection, block)
        records = list(source.state_records().items())
        connection.executemany("INSERT INTO state VALUES (?, ?)", records)
        connection.execute("UPDATE head SET state_count = ?", (len(records),))
        rows = [(identifier, raw, crc32(raw)) for identifier, raw in pending]
        connection.executemany("INSERT INTO pending (id, raw, crc) VALUES (?, ?, ?)", rows)
        connection.executemany("INSERT INTO refused (id, code, why, time_ms) VALUES (?, ?, ?, ?)", refused)
    return path


_ONE = (1).to_bytes(4, "big")


def _append(connection: apsw.Connection, block: FinalBlock) -> None:
    ids = b"".join(block.transaction_ids)
    digest = sha256(block.height.to_bytes(8, "big"))
    for part in (block.id, block.raw, block.certificate, ids):
        digest.update(len(part).to_bytes(8, "big") + part)
    row = (block.height, block.id, block.raw, block.certificate, ids, digest.digest())
    connection.execute("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)", row)
    connection.execute("UPDATE head SET height = ?, id = ?", (block.height, block.id))
    places = [(identifier, block.height, position) for position, identifier in enumerate(block.transaction_ids)]
    connection.executemany("INSERT INTO transactions VALUES (?, ?, ?)", places)
