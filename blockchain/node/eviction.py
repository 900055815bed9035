"""Who makes room in a full pool (docs/protocol.md §10.5): what waits first, then the lowest fee, the newest of equals.

The two heaps are made when the pool is full for the first time, and forgotten when much of it changes: as long as
there is room, nobody pays for them.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

from blockchain.node.entry import Entry
from blockchain.node.readiness import Readiness
from blockchain.primitives.crypto import Hash32

STALE_FACTOR: Final = 2  # a heap with so many times the entries of the pool holds mostly what has left it

Rank = tuple[int, int, Hash32]


class Candidates:
    """The entries of a pool by the order in which they would be evicted."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._waiting: list[Rank] | None = None
        self._ready: list[Rank] | None = None

    def forget(self) -> None:
        self._waiting = self._ready = None

    def add(self, entry: Entry) -> None:
        """A new entry of the pool; nothing to do while the pool was never full."""
        if self._waiting is None or self._ready is None:
            return
        held = len(self._readiness.waiting) + len(self._readiness.ready)
        if len(self._waiting) + len(self._ready) > STALE_FACTOR * held:
            self.forget()
        elif entry.id in self._readiness.ready:
            heappush(self._ready, _rank(entry))
        else:
            heappush(self._waiting, _rank(entry))

    def choose(self, newcomer: Entry, count: int, size: int, protected: frozenset[Hash32]) -> list[Entry]:
        """The entries to evict so that `count` entries and `size` bytes go; empty where that is not to be had.

        The newcomer applies now. What is ready goes only for a higher fee; nobody loses to another of its own sender.
        """
        if self._waiting is None or self._ready is None:
            self._waiting = [_rank(entry) for entry in self._readiness.waiting.values()]
            self._ready = [_rank(entry) for entry in self._readiness.ready.values()]
            heapify(self._waiting)
            heapify(self._ready)
        chosen: list[Entry] = []
        for heap, held in ((self._waiting, self._readiness.waiting), (self._ready, self._readiness.ready)):
            passed: list[Rank] = []
            while heap and (len(chosen) < count or sum(len(entry.verified.raw) for entry in chosen) < size):
                rank = heappop(heap)
                entry = held.get(rank[2])
                if entry is None:
                    continue  # gone, or in the other heap
                passed.append(rank)
                if held is self._readiness.ready and entry.fee >= newcomer.fee:
                    break
                if entry.id not in protected and entry.sender != newcomer.sender:
                    chosen.append(entry)
            for rank in passed:
                heappush(heap, rank)
        is_enough = len(chosen) >= count and sum(len(entry.verified.raw) for entry in chosen) >= size
        return chosen if is_enough else []


def _rank(entry: Entry) -> Rank:
    return entry.fee, -entry.arrival, entry.id
