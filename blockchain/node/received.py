"""Which of the ready transactions has waited longest (docs/protocol.md §5.3).

Nearly all become ready in the order in which they were received, and leave so too: they stand in a line. One that
became ready later than what was received after it stands in a heap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Final

from blockchain.node.entry import Entry

STALE_FACTOR: Final = 2  # a line and a heap with so many times the ready hold mostly what has left them
STALE_MIN: Final = 1_000  # fewer are not worth making them anew

Ranked = tuple[int, int, Entry]


class Received:
    """The ready by when they were received; one that is not ready any more is dropped when it comes first."""

    def __init__(self, ready: Mapping[int, Entry]) -> None:
        self._ready = ready
        self._line = deque[Ranked]()
        self._heap: list[Ranked] = []

    def add(self, entry: Entry) -> None:
        line, heap = self._line, self._heap
        ranked = _ranked(entry)
        if not line or line[-1] < ranked:
            line.append(ranked)
        else:
            heappush(heap, ranked)
        if len(line) + len(heap) > STALE_FACTOR * len(self._ready) + STALE_MIN:
            self._line = deque(sorted(map(_ranked, self._ready.values())))
            self._heap = []

    @property
    def length(self) -> int:
        """How many are kept, with those that have left."""
        return len(self._line) + len(self._heap)

    @property
    def oldest(self) -> Entry | None:
        while self._line and self._line[0][2].place < 0:
            self._line.popleft()
        while self._heap and self._heap[0][2].place < 0:
            heappop(self._heap)
        if self._line and not (self._heap and self._heap[0] < self._line[0]):
            return self._line[0][2]
        return self._heap[0][2] if self._heap else None


def _ranked(entry: Entry) -> Ranked:
    return entry.story[0].time_ms, entry.arrival, entry
