"""The tables of validators: the set from each height on where it changed, and whose turn it was at the newest blocks.

A set of 10,000 takes 750 KB, and one account that stakes changes it. So a change is written as what is new in it; each
64th is the whole set. To read the set of a height is to read one whole one and at most 63 changes.
"""

from __future__ import annotations

from typing import Final, TypeVar
from zlib import crc32

import apsw
from msgspec import Struct

from blockchain.errors import MalformedMessage
from blockchain.node.store import TURNS_MAX
from blockchain.primitives import codec
from blockchain.primitives.scalars import AddressField
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.runtime.sqlite_file import damaged
from blockchain.seams import SetChange, Turn

T = TypeVar("T")

CHANGES_BETWEEN_WHOLE: Final = 63
SETS_READ_MAX: Final = 8  # some 25 MB where there are 10,000 validators
ROW_BYTES_MAX: Final = 4 * 1024 * 1024  # twice two sets of 10,000, all of whose members changed


class StoredChange(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A row: members that are new or another, and the addresses of those that left."""

    come: tuple[Validator, ...]
    gone: tuple[AddressField, ...]


def add_sets(connection: apsw.Connection, changes: tuple[SetChange, ...]) -> None:
    for change in changes:
        is_whole = _is_whole_due(connection)
        come = change.members.validators if is_whole else change.come
        gone = () if is_whole else tuple(one.address for one in change.gone)
        raw = codec.encode(StoredChange(come, gone))
        row = (change.height, is_whole, raw, crc32(raw))
        connection.execute("INSERT INTO validator_sets VALUES (?, ?, ?, ?)", row)


def _is_whole_due(connection: apsw.Connection) -> bool:
    row = connection.execute("SELECT max(height) FROM validator_sets WHERE is_full").fetchone()
    if row is None or row[0] is None:
        return True
    (count,) = connection.execute("SELECT count(*) FROM validator_sets WHERE height > ?", row).fetchone() or (0,)
    return int(count) >= CHANGES_BETWEEN_WHOLE


def changed_at(connection: apsw.Connection, height: int) -> int | None:
    """The height from which on the set of this height holds; None where no row is as low."""
    row = connection.execute("SELECT max(height) FROM validator_sets WHERE height <= ?", (height,)).fetchone()
    return None if row is None else row[0]


class SetsRead:
    """The sets that were read lately: to read one of 10,000 takes 50 ms, and readers ask for a few again and again."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._read: dict[int, ValidatorSet | None] = {}  # by the height from which on it holds

    def at(self, height: int) -> ValidatorSet | None:
        since = changed_at(self._connection, height)
        if since is None:
            return None
        if since not in self._read:
            while len(self._read) >= SETS_READ_MAX:
                del self._read[next(iter(self._read))]
            self._read[since] = read_set(self._connection, since)
        return self._read[since]


def read_set(connection: apsw.Connection, height: int) -> ValidatorSet | None:
    """The set of a height; None where no row is as low. Raises StoreError for a damaged row."""
    found = connection.execute(
        "SELECT height, is_full, raw, crc FROM validator_sets WHERE height <= ?1 AND height >= "
        "(SELECT max(height) FROM validator_sets WHERE height <= ?1 AND is_full) ORDER BY height",
        (height,),
    )
    members: dict[bytes, Validator] = {}
    for at, is_full, raw, crc in found:
        change = _read(connection, f"the validator set of height {at}", raw, crc, StoredChange)
        if is_full:
            members = {}
        for address in change.gone:
            members.pop(address, None)
        members.update((one.address, one) for one in change.come)
    return ValidatorSet(members.values()) if members else None


def add_turn(connection: apsw.Connection, turn: Turn) -> None:
    """Keeps those of the newest blocks."""
    raw = codec.encode(turn)
    connection.execute("INSERT INTO turns VALUES (?, ?, ?)", (turn.height, raw, crc32(raw)))
    connection.execute("DELETE FROM turns WHERE height <= ?", (turn.height - TURNS_MAX,))


def read_turns(connection: apsw.Connection) -> list[Turn]:
    rows = connection.execute("SELECT height, raw, crc FROM turns ORDER BY height")
    return [_read(connection, f"the turns of height {height}", raw, crc, Turn) for height, raw, crc in rows]


def read_heights(connection: apsw.Connection) -> list[int]:
    """At which the set changed."""
    return [row[0] for row in connection.execute("SELECT height FROM validator_sets ORDER BY height")]


def _read(connection: apsw.Connection, what: str, raw: object, crc: object, kind: type[T]) -> T:
    if not isinstance(raw, bytes) or crc32(raw) != crc:
        raise damaged(connection.filename, what)
    try:
        return codec.decode(raw, kind, bytes_max=ROW_BYTES_MAX)
    except MalformedMessage:
        raise damaged(connection.filename, what) from None
