"""Blocks that were read lately: readers ask for the same ones, and a page of an account's history names twenty.

The row is read each time. While it is equal, in every byte, to one whose check sum was right, the block is the one that
was made of it: nothing is hashed or taken apart again.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import apsw

from blockchain.runtime.sqlite_rows import block_of_row, read_block_row
from blockchain.seams import FinalBlock

KEPT_BYTES_MAX: Final = 4 * 1024 * 1024  # of rows; with the ids of their transactions half as much again

_Row = tuple[object, ...]


class BlocksRead:
    """Used from the one thread that reads on the connection."""

    def __init__(self, connection: apsw.Connection, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._connection = connection
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[int, tuple[_Row, FinalBlock]] = OrderedDict()  # by height; those asked for last

    def at(self, height: int) -> FinalBlock | None:
        """The block, or None when there is none. Raises StoreError when a byte of its row has changed."""
        row = read_block_row(self._connection, height)
        if row is None:
            return None
        kept = self._kept.get(height)
        if kept is not None and kept[0] == row:
            self._kept.move_to_end(height)
            return kept[1]
        block = block_of_row(self._connection, height, row)
        self._keep(row, block)
        return block

    def _keep(self, row: _Row, block: FinalBlock) -> None:
        self._bytes += _size(block)
        before = self._kept.pop(block.height, None)
        if before is not None:
            self._bytes -= _size(before[1])
        self._kept[block.height] = row, block
        while self._bytes > self._bytes_max:
            _, (_, oldest) = self._kept.popitem(last=False)
            self._bytes -= _size(oldest)


def _size(block: FinalBlock) -> int:
    return len(block.raw) + len(block.certificate)
