"""A disk that says that it has written and has not: after a power cut its last writes are gone.

Production forces each batch to the disk before it goes on, so that on an honest disk a crash loses the write that was
under way, wholly (`World.crash_before`). This is the other kind. The signer's record is another file: it may survive
what the store loses, and the other way round (docs/protocol.md §5.6 rules 7 and 14).
"""

from __future__ import annotations

from blockchain.node.store import MemoryStore
from blockchain.seams import Batch


class Disk(MemoryStore):
    """The store in memory that can still tell what was written last."""

    def __init__(self) -> None:
        super().__init__()
        self._written: list[Batch] = []  # as many as the store holds anyway: they share what they hold

    def write(self, batch: Batch) -> None:
        super().write(batch)
        self._written.append(batch)

    @property
    def writes(self) -> int:
        """How many there were."""
        return len(self._written)

    def batch_of(self, height: int) -> Batch | None:
        """What was written with the block of this height; cheap where that was lately."""
        return next((batch for batch in reversed(self._written) if batch.block and batch.block.height == height), None)

    def without_last(self, count: int) -> Disk:
        """The same disk as if its last `count` writes had never been."""
        earlier = Disk()
        for batch in self._written[: max(len(self._written) - count, 0)]:
            earlier.write(batch)
        return earlier
