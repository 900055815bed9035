"""The pool's durable transactions: a row for those that came in together, and which of them have left since.

An index on their ids would cost a page for nearly each of them, when it comes and when it goes (docs/decisions/0024).
So nothing is found by id on the disk: where each one lies is known in memory, from the first write on, and that is also
what keeps an id from being there twice. A row ends with the last of its transactions. One of which few are left is
written again without the others, in its place, so that those who wait for long do not keep what has left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar
from zlib import crc32

import apsw
from msgspec import Struct

from blockchain.errors import MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.crypto import HASH_BYTES, Hash32, hashes_in
from blockchain.primitives.transaction import TRANSACTION_BYTES_MAX
from blockchain.runtime.sqlite_file import damaged
from blockchain.seams import PendingTransaction, Story

T = TypeVar("T")

STORY_BYTES_MAX: Final = 64 * 1024  # a few stages of a few hundred bytes
ROW_TRANSACTIONS_MAX: Final = 256  # some 60 KB: cheap to write again, and what a row costs is shared by many
ROW_BYTES_MAX: Final = ROW_TRANSACTIONS_MAX * (HASH_BYTES + TRANSACTION_BYTES_MAX + STORY_BYTES_MAX)
SPARSE: Final = 4  # fewer than one in so many are left: what is written again is less than a third of what has left


class PackedRow(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Transactions as they lie in one row; those that came together share a story."""

    ids: bytes
    raws: tuple[bytes, ...]
    stories: tuple[Story, ...]
    of_positions: tuple[int, ...]  # of each transaction the number of its story


class _Row(Struct):
    """How many lie in a row, and a bit for the position of each of them that has left."""

    held: int
    gone: int

    @property
    def left(self) -> int:
        return self.held - self.gone.bit_count()


class PendingRows:
    """The one that writes them. Some 140 bytes of memory for each transaction that waits."""

    def __init__(self, connection: apsw.Connection) -> None:
        """Reads all rows. Raises StoreError when one is damaged."""
        self._connection = connection
        self._places: dict[Hash32, int] = {}  # the number of its row * ROW_TRANSACTIONS_MAX + its position there
        self._rows: dict[int, _Row] = {}
        self._last = 0
        for seq, held, gone in _read_rows(connection):
            self._rows[seq] = _Row(len(held), gone)
            self._places.update((held[at].id, seq * ROW_TRANSACTIONS_MAX + at) for at in _left(range(len(held)), gone))
            self._last = seq

    def add(self, added: Sequence[PendingTransaction]) -> None:
        """One that is there already keeps its place."""
        new: dict[Hash32, PendingTransaction] = {}
        for one in added:
            if one.id not in self._places:
                new.setdefault(one.id, one)
        rest = iter(new.values())
        while together := list(islice(rest, ROW_TRANSACTIONS_MAX)):
            self._last += 1
            self._put(self._last, together)

    def remove(self, removed: Sequence[Hash32]) -> None:
        """One that is not there is no error."""
        changed: dict[int, _Row] = {}
        for transaction_id in removed:
            place = self._places.pop(transaction_id, None)
            if place is not None:
                seq, position = divmod(place, ROW_TRANSACTIONS_MAX)
                row = changed[seq] = self._rows[seq]
                row.gone |= 1 << position
        ended = [seq for seq, row in changed.items() if not row.left]
        for seq in ended:
            del self._rows[seq], changed[seq]
        self._connection.executemany("DELETE FROM pending WHERE seq = ?", [(seq,) for seq in ended])
        sparse = [seq for seq, row in changed.items() if row.left * SPARSE < row.held]
        for seq in sparse:
            self._thin_out(seq, changed.pop(seq).gone)
        unmarked = [(seq,) for seq in (*ended, *sparse)]
        self._connection.executemany("DELETE FROM pending_gone WHERE seq = ?", unmarked)
        marked = [(seq, bits, _checksum(seq, bits)) for seq, row in changed.items() for bits in (_bits(row),)]
        self._connection.executemany("INSERT OR REPLACE INTO pending_gone VALUES (?, ?, ?)", marked)

    def _thin_out(self, seq: int, gone: int) -> None:
        rows = self._connection.execute("SELECT raw, crc FROM pending WHERE seq = ?", (seq,))
        ((raw, crc),) = rows.fetchall()
        self._put(seq, _left(_unpack(self._connection, seq, raw, crc), gone))

    def _put(self, seq: int, together: list[PendingTransaction]) -> None:
        """As that row, in the place of what it was."""
        raw = _pack(together)
        self._connection.execute("INSERT OR REPLACE INTO pending VALUES (?, ?, ?)", (seq, raw, _checksum(seq, raw)))
        self._rows[seq] = _Row(len(together), 0)
        first = seq * ROW_TRANSACTIONS_MAX
        self._places.update(zip([one.id for one in together], range(first, first + len(together)), strict=True))


def read_pending(connection: apsw.Connection) -> list[PendingTransaction]:
    """Oldest first. Raises StoreError when a row is damaged."""
    found = [one for _, held, gone in _read_rows(connection) for one in _left(held, gone)]
    if len({one.id for one in found}) < len(found):
        raise damaged(connection.filename, "a pending transaction twice")
    return found


def _read_rows(connection: apsw.Connection) -> Iterator[tuple[int, list[PendingTransaction], int]]:
    """Of each row its number, what lies in it, and a bit for each of these that has left."""
    rows = connection.execute(
        "SELECT seq, raw, pending.crc, bits, pending_gone.crc FROM pending LEFT JOIN pending_gone USING (seq) "
        "ORDER BY seq"
    )
    for seq, raw, crc, bits, bits_crc in rows:
        held = _unpack(connection, seq, raw, crc)
        gone = 0 if bits is None else _gone_of(connection, seq, bits, bits_crc)
        if gone >> len(held):
            raise damaged(connection.filename, "more has left a row of pending transactions than lay in it")
        yield seq, held, gone
    if connection.execute("SELECT 1 FROM pending_gone WHERE seq NOT IN (SELECT seq FROM pending)").fetchone():
        raise damaged(connection.filename, "pending transactions have left a row that is not there")


def _checksum(seq: int, raw: bytes) -> int:
    """Of a row and its number: under another one it would tell of other transactions."""
    return crc32(raw, seq)


def _gone_of(connection: apsw.Connection, seq: int, bits: object, crc: object) -> int:
    if not isinstance(bits, bytes) or _checksum(seq, bits) != crc:
        raise damaged(connection.filename, "which pending transactions have left")
    return int.from_bytes(bits, "little")


def _bits(row: _Row) -> bytes:
    return row.gone.to_bytes(ROW_TRANSACTIONS_MAX // 8, "little")


def _left(held: Sequence[T], gone: int) -> list[T]:
    return [one for at, one in enumerate(held) if not gone >> at & 1]


def _pack(together: Sequence[PendingTransaction]) -> bytes:
    """Stories are told apart by identity, as the core shares them."""
    stories = {id(one.story): one.story for one in together}
    number_of = {same: number for number, same in enumerate(stories)}
    return codec.encode(
        PackedRow(
            b"".join([one.id for one in together]),
            tuple([one.raw for one in together]),
            tuple(stories.values()),
            tuple([number_of[id(one.story)] for one in together]),
        )
    )


def _unpack(connection: apsw.Connection, seq: int, raw: object, crc: object) -> list[PendingTransaction]:
    if not isinstance(raw, bytes) or _checksum(seq, raw) != crc:
        raise damaged(connection.filename, "a row of pending transactions")
    try:
        packed = codec.decode(raw, PackedRow, bytes_max=ROW_BYTES_MAX)
        if len(packed.ids) != len(packed.raws) * HASH_BYTES:
            raise MalformedMessage("not an id for each transaction")
        stories = [packed.stories[number] for number in packed.of_positions]
        together = zip(hashes_in(packed.ids), packed.raws, stories, strict=True)
        return [PendingTransaction(*one) for one in together]
    except (MalformedMessage, IndexError, ValueError):  # its check sum is right: not written by a node
        raise damaged(connection.filename, "the contents of a row of pending transactions") from None
