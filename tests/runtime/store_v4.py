"""A store as version 4 of the format had it, for the tests of its upgrade: a row a pending transaction, found by id.

All other tables are the same in version 5. So it is made from a store of today, by taking back what 5 has changed.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from zlib import crc32

import apsw

from blockchain.primitives import codec
from blockchain.runtime.sqlite_pending import read_pending

PENDING_4 = (
    "CREATE TABLE pending (seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, raw BLOB NOT NULL, crc INTEGER NOT NULL, "
    "story BLOB NOT NULL DEFAULT x'')"
)


def take_back_to_4(path: Path) -> None:
    """Make the file of a store that is not open one of version 4."""
    with closing(apsw.Connection(str(path))) as connection:
        take_back_pending(connection)
        connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", ((4).to_bytes(4, "big"),))


def take_back_pending(connection: apsw.Connection) -> None:
    pending = [(one.id, one.raw, codec.encode(one.story) if one.story else b"") for one in read_pending(connection)]
    for name in ("pending", "pending_gone"):
        connection.execute(f"DROP TABLE {name}")
    connection.execute(PENDING_4)
    rows = [(identifier, raw, crc32(story, crc32(raw)), story) for identifier, raw, story in pending]
    connection.executemany("INSERT INTO pending (id, raw, crc, story) VALUES (?, ?, ?, ?)", rows)
