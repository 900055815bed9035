"""Which of the ready transactions has waited longest (docs/protocol.md §5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from typing import Final

from blockchain.node.entry import Entry

STALE_FACTOR: Final = 2  # a heap with so many times the ready holds mostly what has left it
STALE_MIN: Final = 1_000  # fewer are not worth making it anew


class Received:
    """A heap of the ready by when they were received; one that is not ready any more is dropped at the top."""

    def __init__(self, ready: Mapping[int, Entry]) -> None:
        self._ready = ready
        self._heap: list[tuple[int, int, Entry]] = []

    def add(self, entry: Entry) -> None:
        heappush(self._heap, (entry.received_ms, entry.arrival, entry))
        if len(self._heap) > STALE_FACTOR * len(self._ready) + STALE_MIN:
            self._heap = [(one.received_ms, one.arrival, one) for one in self._ready.values()]
            heapify(self._heap)

    @property
    def oldest(self) -> Entry | None:
        while self._heap and self._heap[0][2].place < 0:
            heappop(self._heap)
        return self._heap[0][2] if self._heap else None
