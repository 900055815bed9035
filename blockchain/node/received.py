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
        self._line = deque[Entry]()
        self._heap: list[Ranked] = []

    def add(self, entry: Entry) -> None:
        line, heap = self._line, self._heap
        if not line or _comes_before(line[-1], entry):
            line.append(entry)
        else:
            heappush(heap, _ranked(entry))
        if len(line) + len(heap) > STALE_FACTOR * len(self._ready) + STALE_MIN:
            self._line = deque(entry for _, _, entry in sorted(map(_ranked, self._ready.values())))
            self._heap = []

    @property
    def length(self) -> int:
        """How many are kept, with those that have left."""
        return len(self._line) + len(self._heap)

    @property
    def oldest(self) -> Entry | None:
        line, heap = self._line, self._heap
        while line and line[0].place < 0:
            line.popleft()
        while heap and heap[0][2].place < 0:
            heappop(heap)
        if line and not (heap and heap[0] < _ranked(line[0])):
            return line[0]
        return heap[0][2] if heap else None


def _comes_before(one: Entry, other: Entry) -> bool:
    times = one.story[0].time_ms, other.story[0].time_ms
    return times[0] < times[1] or (times[0] == times[1] and one.arrival < other.arrival)


def _ranked(entry: Entry) -> Ranked:
    return entry.story[0].time_ms, entry.arrival, entry
