"""The state in the store: a log of what changed and of slices of the whole, a row or a few a block.

Theory of operation. A row maps keys to values, or to nil for a record that was deleted. Rows are only appended. To
read the state is to go through the log from its first row on: a later value replaces an earlier one. With its changes
each block brings the next slice of the state (`node.state_slices`), and its rows say where that slice ended. Once
the slices since some block make a full lap, each record is in one of them or was changed after it, so that what is
before can go: the log stays about twice as large as the state.

A row has a check sum, of where its slice ended, too: from a wrong place on, records would be let go of that were not
written again. `head` says which rows there are, so that a lost one is noticed, and the chain compares the root of all
records with the state_root of the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final, cast
from zlib import crc32

import apsw

from blockchain.errors import MalformedMessage
from blockchain.primitives import codec
from blockchain.runtime.sqlite_file import damaged
from blockchain.seams import SliceEnd, StateSlice

ROW_RECORDS: Final = 10_000  # a megabyte or so: the state of genesis is many rows
ROW_BYTES_MAX: Final = 1024 * 1024 * 1024  # SQLite's own limit, 1 GB


def change_state(connection: apsw.Connection, changes: Mapping[bytes, bytes | None], part: StateSlice | None) -> None:
    """Append changes and the next slice, and let go of what it makes superfluous."""
    records = {**changes, **({} if part is None else part.records)}
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
        (lap, key, check_sum(lap, key, raw), raw),
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
        "SELECT lap, key, raw, crc FROM state_log WHERE lap IS NOT NULL ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    if row is None:
        return SliceEnd()
    lap, key, _ = _sound(connection, *row)
    return SliceEnd(lap or 0, key or b"")


def read_state(connection: apsw.Connection) -> dict[bytes, bytes]:
    """Every record, in any order, of one moment. Raises StoreError where a row is lost or damaged."""
    state: dict[bytes, bytes | None] = {}
    with connection:  # one transaction: `head` and the rows are of the same moment
        first, last = connection.execute("SELECT state_first, state_last FROM head").fetchone() or (1, 0)
        expected = first
        for seq, *row in connection.execute("SELECT seq, lap, key, raw, crc FROM state_log ORDER BY seq"):
            if seq != expected:
                break
            state.update(_records(connection, *row))
            expected += 1
        if expected != last + 1:
            raise damaged(connection.filename, f"without row {expected} of its state")
    for key in [key for key, value in state.items() if value is None]:
        del state[key]
    return cast(dict[bytes, bytes], state)  # a copy would be a second table of a million records


def _records(connection: apsw.Connection, *row: object) -> dict[bytes, bytes | None]:
    *_, raw = _sound(connection, *row)
    try:
        return codec.decode(raw, dict[bytes, bytes | None], bytes_max=ROW_BYTES_MAX)
    except MalformedMessage:
        raise damaged(connection.filename, "a row of its state") from None


def _sound(connection: apsw.Connection, *row: object) -> tuple[int | None, bytes | None, bytes]:
    """Lap, key and records of a row whose check sum is right."""
    match row:
        case (int() | None as lap, bytes() | None as key, bytes(raw), crc) if check_sum(lap, key, raw) == crc:
            return lap, key, raw
        case _:
            raise damaged(connection.filename, "a row of its state")


def check_sum(lap: int | None, key: bytes | None, raw: bytes) -> int:
    """Of a row: the records, and where the slice among them ended."""
    return crc32(raw, crc32(key or b"", lap or 0))
