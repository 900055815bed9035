"""Who makes room in a full pool (docs/protocol.md §10.5): what waits first, then the lowest fee, the newest of equals.

The heap is made when the pool is full for the first time, and told of all that comes, becomes ready or waits again from
then on: as long as there is room, nobody pays for it. What has left or is of another rank by now is passed over.
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import heapify, heappop, heappush
from typing import Final

from blockchain.node.entry import GONE, Entry

STALE_FACTOR: Final = 2  # a heap with so many times the entries of the pool holds mostly what has left it
STALE_MIN: Final = 1_000  # fewer are not worth making it anew

Ranked = tuple[bool, int, int, Entry]


class Candidates:
    """The entries of a pool by the order in which they would be evicted."""

    def __init__(self) -> None:
        self._heap: list[Ranked] | None = None
        self._length_max = 0

    def note(self, entry: Entry) -> None:
        """It has come, became ready, or waits again; nothing to do while the pool was never full."""
        if self._heap is None:
            return
        heappush(self._heap, _ranked(entry))
        if len(self._heap) > self._length_max:
            self._heap = None

    def choose(
        self, newcomer: Entry, count: int, size: int, held: Collection[Entry], protected: Collection[bytes]
    ) -> list[Entry]:
        """The entries to evict so that `count` entries and `size` bytes go; empty where that is not to be had.

        The newcomer applies now. What is ready goes only for a higher fee; nobody loses to another of its own sender.
        `held` are all entries of the pool.
        """
        if self._heap is None:
            self._length_max = STALE_FACTOR * len(held) + STALE_MIN
            self._heap = [(entry.place >= 0, entry.fee, -entry.arrival, entry) for entry in held]
            heapify(self._heap)
        chosen: list[Entry] = []
        passed: list[Ranked] = []
        while self._heap and (len(chosen) < count or size > 0):
            ranked = heappop(self._heap)
            was_ready, _, _, entry = ranked
            if entry.place == GONE or was_ready != (entry.place >= 0):
                continue
            passed.append(ranked)
            if was_ready and entry.fee >= newcomer.fee:
                break
            if entry.id not in protected and entry.sender != newcomer.sender:
                chosen.append(entry)
                size -= entry.size
        for ranked in passed:
            heappush(self._heap, ranked)
        return chosen if len(chosen) >= count and size <= 0 else []


def _ranked(entry: Entry) -> Ranked:
    return entry.place >= 0, entry.fee, -entry.arrival, entry
