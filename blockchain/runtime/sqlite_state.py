"""The state in the store: a log of what changed and of slices of the whole, a row or a few a block.

Theory of operation. A row maps keys to values, or to nil for a record that was deleted. Rows are only appended. To
read the state is to go through the log from its first row on: a later value replaces an earlier one. With its changes
each block brings the next slice of the state (`node.state_slices`), and its rows say where that slice ended. Once
the slices since some block make a full lap, each record is in one of them or was changed after it, so that what is
before can go: the log stays about twice as large as the state.

A row has a check sum, `head` says which rows there are, so that a lost one is noticed, and the chain compares the root
of all records with the state_root of the head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final
from zlib import crc32

import apsw

from blockchain.errors import MalformedMessage
from blockchain.primitives import codec
from blockchain.runtime.sqlite_file import damaged
from blockchain.seams import SliceEnd, StateSlice

ROW_RECORDS: Final = 10_000  # a megabyte or so: the state of genesis is many rows
ROW_BYTES_MAX: Final = 1024 * 1024 * 1024  # SQLite's own limit, 1 GB


def change_state(
    connection: apsw.Connection, changes: Sequence[tuple[bytes, bytes | None]], part: StateSlice | None
) -> None:
    """Append changes and the next slice, and let go of what it makes superfluous."""
    records = dict(changes)
    records.update(() if part is None else part.records)
    rest = iter(records.items())
    for _ in range(0, max(len(records), 1), ROW_RECORDS):
        _append(connection, dict(islice(rest, ROW_RECORDS)), None if part is None else part.end)
    if part is not None:
        connection.execute("UPDATE head SET state_count = ?", (part.count,))
        _forget(connection, part.end)


def _append(connection: apsw.Connection, records: dict[bytes, bytes | None], end: SliceEnd | None) -> None:
    raw = codec.encode(records)
    lap, key = (None, None) if end is None else (end.lap, end.key)
    connection.execute("UPDATE head SET state_last = state_last + 1")
    connection.execute(
        "INSERT INTO state_log (seq, lap, key, crc, raw) SELECT state_last, ?, ?, ?, ? FROM head",
        (lap, key, crc32(raw), raw),
    )


def _forget(connection: apsw.Connection, end: SliceEnd) -> None:
    """The rows before the first whose slice ends less than a lap ago."""
    connection.execute(
        "UPDATE head SET state_first = (SELECT seq FROM state_log WHERE (lap, key) > (?, ?) ORDER BY seq LIMIT 1)",
        (end.lap - 1, end.key),
    )
    connection.execute("DELETE FROM state_log WHERE seq < (SELECT state_first FROM head)")


def read_slice_end(connection: apsw.Connection) -> SliceEnd:
    row: tuple[object, ...] | None = connection.execute(
        "SELECT lap, key FROM state_log WHERE lap IS NOT NULL ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    match row:
        case None:
            return SliceEnd()
        case (int(lap), bytes(key)):
            return SliceEnd(lap, key)
        case _:
            raise damaged(connection.filename, "where a slice of the state ended")


def read_state(connection: apsw.Connection) -> Iterator[tuple[bytes, bytes]]:
    """Every record, in any order, of one moment. Raises StoreError where a row is lost or damaged."""
    state: dict[bytes, bytes | None] = {}
    with connection:  # one transaction: `head` and the rows are of the same moment
        first, last = connection.execute("SELECT state_first, state_last FROM head").fetchone() or (1, 0)
        expected = first
        for seq, crc, raw in connection.execute("SELECT seq, crc, raw FROM state_log ORDER BY seq"):
            if seq != expected:
                break
            state.update(_records(connection, crc, raw))
            expected += 1
        if expected != last + 1:
            raise damaged(connection.filename, f"without row {expected} of its state")
    return ((key, value) for key, value in state.items() if value is not None)


def _records(connection: apsw.Connection, crc: object, raw: object) -> dict[bytes, bytes | None]:
    if not isinstance(raw, bytes) or crc32(raw) != crc:
        raise damaged(connection.filename, "a row of its state")
    try:
        return codec.decode(raw, dict[bytes, bytes | None], bytes_max=ROW_BYTES_MAX)
    except MalformedMessage:
        raise damaged(connection.filename, "a row of its state") from None
