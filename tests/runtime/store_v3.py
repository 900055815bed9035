"""A store as version 3 of the format had it, for the tests of its upgrade: a row a record, a transaction, a party.

All other tables are the same in version 4. So it is made from a store of today, by taking back what 5 and 4 changed.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw

from blockchain.runtime.sorted_runs import read_all
from blockchain.runtime.sqlite_state import read_state
from tests.runtime.store_v4 import take_back_pending

TABLES_3 = (
    "CREATE TABLE transactions (id BLOB PRIMARY KEY, height INTEGER NOT NULL, position INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE history (address BLOB NOT NULL, height INTEGER NOT NULL, position INTEGER NOT NULL, "
    "PRIMARY KEY (address, height, position)) WITHOUT ROWID",
    "CREATE TABLE state (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
)
LATER = ("index_runs", "index_pages", "state_log")


def take_back(path: Path, version: int = 3) -> None:
    """Make the file of a store that is not open one of version 3; of 2, which had no sets, turns and prevotes."""
    with closing(apsw.Connection(str(path))) as connection:
        take_back_pending(connection)
        records = list(read_state(connection).items())
        entries = [entry for page in read_all(connection) for entry in page]
        for statement in TABLES_3:
            connection.execute(statement)
        connection.executemany("INSERT INTO state VALUES (?, ?)", records)
        for table, kind in (("transactions", b"t"), ("history", b"a")):
            rows = [row(entry) for entry in entries if entry[:1] == kind]
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)
        connection.execute("UPDATE head SET state_count = ?", (len(records),))
        for column in ("state_first", "state_last"):
            connection.execute(f"ALTER TABLE head DROP COLUMN {column}")
        for name in (*LATER, *(("validator_sets", "turns", "prevotes") if version < 3 else ())):
            connection.execute(f"DROP TABLE {name}")
        recorded = version.to_bytes(4, "big")
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (recorded,))


def row(entry: bytes) -> tuple[bytes, int, int]:
    return entry[1:33], int.from_bytes(entry[33:38], "big"), int.from_bytes(entry[38:], "big")
