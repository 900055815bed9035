"""Where transactions lie: of each its place, and of each account the places of those that name it, in `sorted_runs`.

An entry is a byte for its kind, the whole id or address, so that nobody can make two that are taken for one, and the
place: a height and a position in its block.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final

import apsw

from blockchain.runtime import sorted_runs
from blockchain.seams import FinalBlock

_ADDRESS, _ID = b"a", b"t"
_HEIGHT_BYTES: Final = 5  # 30,000 years of a block a second
_POSITION_BYTES: Final = 3  # a thousand times what fits into a block
_PLACE: Final = Struct(">Q")
_POSITION_MAX: Final = 2 ** (8 * _POSITION_BYTES) - 1
_ABOVE_ALL: Final = (2 ** (8 * _HEIGHT_BYTES) - 1, _POSITION_MAX)  # no place: the last of a block that never comes


def add_block(connection: apsw.Connection, block: FinalBlock, parties: Sequence[Sequence[bytes]]) -> None:
    """`parties`: of each transaction, whose history it belongs to; () where that is not to be kept."""
    sorted_runs.add(connection, entries_of(block.height, block.transaction_ids, parties))


def entries_of(height: int, ids: Sequence[bytes], parties: Sequence[Sequence[bytes]]) -> list[bytes]:
    """The entries of one block."""
    first = height << 8 * _POSITION_BYTES
    places = list(map(_PLACE.pack, range(first, first + len(ids))))  # as `_packed`, in a third of the time
    entries = [_ID + each + place for each, place in zip(ids, places, strict=True)]
    entries += [_ADDRESS + address + place for named, place in zip(parties, places, strict=False) for address in named]
    return entries


def height_of(entry: bytes) -> int:
    """Of the block that an entry is of."""
    return int.from_bytes(entry[-_HEIGHT_BYTES - _POSITION_BYTES : -_POSITION_BYTES], "big")


def read_place(connection: apsw.Connection, transaction_id: bytes) -> tuple[int, int] | None:
    """The height and the position in its block of a final transaction."""
    entry = sorted_runs.find(connection, _ID + transaction_id)
    return None if entry is None else _place(entry)


def read_history(
    connection: apsw.Connection, address: bytes, before: tuple[int, int] | None, count: int
) -> list[tuple[int, int]]:
    """The newest places, strictly before one, of the transactions that name an account; at most `count`.

    `before` is the word of whoever asks: it may be any two numbers from 0 on.
    """
    prefix = _ADDRESS + address
    height, position = _ABOVE_ALL if before is None else min(before, _ABOVE_ALL)
    end = prefix + _packed(height, min(position, _POSITION_MAX))
    return [_place(entry) for entry in sorted_runs.newest(connection, prefix, end, count)]


def _packed(height: int, position: int) -> bytes:
    return (height << 8 * _POSITION_BYTES | position).to_bytes(_HEIGHT_BYTES + _POSITION_BYTES, "big")


def _place(entry: bytes) -> tuple[int, int]:
    return height_of(entry), int.from_bytes(entry[-_POSITION_BYTES:], "big")
