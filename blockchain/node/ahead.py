"""The store as readers see it: what the disk holds, and what it is about to hold.

The core's own picture changes at once when it handles an input, and its writes are on the disk some milliseconds
later. Without this a reader who looks in between finds no block where the status says there is one, and no trace of a
transaction that has left the pool and is not yet in the store. What is shown early is no promise of this node's disk:
a block is final by its certificate. The core itself never reads here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.seams import Effect, FinalBlock, SetChange, Story, Write


class Finals(Protocol):
    """What readers ask a store for."""

    def block(self, height: int) -> FinalBlock | None: ...

    def height_of(self, block_id: bytes) -> int | None: ...

    def locate(self, transaction_id: bytes) -> tuple[int, int] | None: ...

    def history(self, address: bytes, before: tuple[int, int] | None, count: int) -> list[tuple[int, int]]: ...

    def story(self, transaction_id: bytes) -> Story: ...

    def validators(self, height: int) -> ValidatorSet | None: ...


class StoreAhead:
    """Implements `Finals` over another one. It holds the writes of one input, for as long as they are performed."""

    def __init__(self, store: Finals) -> None:
        self._store = store
        self._blocks: dict[int, FinalBlock] = {}
        self._parties: dict[int, tuple[tuple[Address, ...], ...]] = {}
        self._stories: dict[bytes, Story] = {}
        self._sets: list[SetChange] = []

    def expect(self, effects: Iterable[Effect]) -> None:
        """The effects of an input that are about to be performed."""
        self.settle()
        batches = [effect.batch for effect in effects if isinstance(effect, Write)]
        if not batches:  # as with most inputs
            return
        self._blocks = {batch.block.height: batch.block for batch in batches if batch.block is not None}
        self._parties = {batch.block.height: batch.parties for batch in batches if batch.block is not None}
        self._sets = [change for batch in batches for change in batch.sets]
        for batch in batches:
            self._stories.update((told.id, told.stages) for told in (*batch.refused, *batch.ended))
            if batch.block is not None and batch.block_stories:
                self._stories.update(zip(batch.block.transaction_ids, batch.block_stories, strict=True))

    def settle(self) -> None:
        """All of them have been performed."""
        self._blocks, self._parties, self._stories, self._sets = {}, {}, {}, []

    def block(self, height: int) -> FinalBlock | None:
        return self._blocks.get(height) or self._store.block(height)

    def height_of(self, block_id: bytes) -> int | None:
        for block in self._blocks.values():
            if block.id == block_id:
                return block.height
        return self._store.height_of(block_id)

    def locate(self, transaction_id: bytes) -> tuple[int, int] | None:
        """The height and the position in its block of a final transaction."""
        for block in self._blocks.values():
            if transaction_id in block.transaction_ids:
                return block.height, block.transaction_ids.index(Hash32(transaction_id))
        return self._store.locate(transaction_id)

    def history(self, address: bytes, before: tuple[int, int] | None, count: int) -> list[tuple[int, int]]:
        ahead = [
            (height, position)
            for height in sorted(self._parties, reverse=True)
            for position, parties in reversed(list(enumerate(self._parties[height])))
            if address in parties and (before is None or (height, position) < before)
        ][:count]
        if self._parties:  # some of these may be in the store by now
            lowest = (min(self._parties), 0)
            before = lowest if before is None else min(before, lowest)
        return ahead + self._store.history(address, before, count - len(ahead))

    def story(self, transaction_id: bytes) -> Story:
        return self._stories.get(transaction_id) or self._store.story(transaction_id)

    def validators(self, height: int) -> ValidatorSet | None:
        for change in reversed(self._sets):
            if change.height <= height:
                return change.members
        return self._store.validators(height)
