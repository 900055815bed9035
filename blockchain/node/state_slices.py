"""The slices of the state that the store gets beside each block's changes, so that it can forget old changes.

The store keeps what each block changed, and the whole state is what remains of all changes. So that these need not be
kept for ever, each block also brings the next records in key order, changed or not, as many bytes as it changed:
when they have gone once round the state, everything is told again and what is older can go. So the store holds about
twice the state, whatever the length of the chain, and no block is much dearer than its own changes. The first slice
is the state of block 1, whole: that is how genesis reaches the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from blockchain.ledger.state import FinalState
from blockchain.seams import SliceEnd, StateSlice

SLICE_BYTES_MIN: Final = 4_096  # of keys and values: a page of the store, so that blocks that change little get round


class StateSlices:
    """Cuts the state into slices, one a block, from where the newest one in the store ended."""

    def __init__(self, end: SliceEnd) -> None:
        self._end = end

    def next(self, state: FinalState, changes: Mapping[bytes, bytes | None]) -> StateSlice:
        """The next slice of the state after a block that made these changes."""
        wanted = max(_size(changes), SLICE_BYTES_MIN) if self._end.lap > 0 else None
        unchanged: dict[bytes, bytes] = {}
        for key, value in state.since(self._end.key):
            if wanted is not None:
                if wanted <= 0:
                    self._end = SliceEnd(self._end.lap, key)
                    break
                wanted -= len(key) + len(value)
            if key not in changes:
                unchanged[key] = value
        else:
            self._end = SliceEnd(self._end.lap + 1, b"")
        return StateSlice(self._end, unchanged, len(state))


def _size(records: Mapping[bytes, bytes | None]) -> int:
    """Of keys and values, in bytes."""
    return sum(map(len, records)) + sum(map(len, filter(None, records.values())))
