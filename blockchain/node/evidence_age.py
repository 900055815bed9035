"""How long evidence counts: by heights and by the times of final headers (docs/protocol.md §5.8)."""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict
from typing import Final

from blockchain.primitives.block import header_of
from blockchain.primitives.chain import Parameters
from blockchain.seams import Store

TIMES_MAX: Final = 64  # newest heights whose times are remembered: more than become final before they are stored
LOOK_AFTER: Final = 128  # heights after which it is looked anew which is the first in date: some twenty headers read


class EvidenceAge:
    """Which offences are in date. Times only grow with the heights, so that there is a first height in date."""

    def __init__(self, parameters: Parameters, store: Store, height: int, time_ms: int) -> None:
        """`height` and `time_ms` are the head's."""
        self._blocks = parameters.unbonding_blocks
        self._ms = parameters.unbonding_ms
        self._store = store
        self._times: OrderedDict[int, int] = OrderedDict()
        self._looked_at = -LOOK_AFTER
        self.first = 1  # no offence below this height is in date; some at or above it may not be either
        self.on_final(height, time_ms)

    def on_final(self, height: int, time_ms: int) -> None:
        """A block is the head now."""
        self._times[height] = time_ms
        while len(self._times) > TIMES_MAX:
            self._times.popitem(last=False)
        if height >= self._looked_at + LOOK_AFTER:
            self._looked_at = height
            self.first = self.first_in_date(height + 1, time_ms + 1)

    def is_in_date(self, offence: int, height: int, time_ms: int) -> bool:
        """Whether a block with this height and time may hold evidence of an offence at `offence`, from 1 to `height`.

        Raises StoreError where the header of the offence's height cannot be read.
        """
        return height <= offence + self._blocks or time_ms <= self._time_of(offence) + self._ms

    def first_in_date(self, height: int, time_ms: int) -> int:
        """The lowest height whose offences a block with this height and time may hold."""
        heights = range(self.first, height)
        return self.first + bisect_left(heights, True, key=lambda offence: self.is_in_date(offence, height, time_ms))

    def _time_of(self, height: int) -> int:
        time_ms = self._times.get(height)
        if time_ms is None:
            stored = self._store.block(height)
            assert stored is not None, "a final height without its block"
            time_ms = header_of(stored.raw).time_ms
        return time_ms
