"""The store in memory: what the simulator and the tests put under a core in the place of SQLite.

It outlives the core that writes to it, so that a simulated restart finds what was durable. A batch is checked before
anything changes, and applying it cannot fail half way, which makes it atomic. The bounds below belong to every store;
`blockchain.runtime.sqlite` keeps the same ones, and one set of contract tests runs over both (protocol §11).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Final, Generic, TypeVar

from blockchain.primitives.crypto import Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.seams import Batch, FinalBlock, HeightVotes, PendingTransaction, SetChange, SliceEnd, Story, Turn

STORIES_MAX: Final = 100_000  # the newest, of final transactions, and as many of ended ones; some 30 MB on disk
REFUSALS_MAX: Final = 20_000  # the newest stories of what never came in, apart: they push out nobody else's
TURNS_MAX: Final = 1_000  # the newest blocks: the window over which validators are told apart by what they did
PREVOTES_BYTES_MAX: Final = 64 * 1024 * 1024  # the newest: 20,000 heights of two rounds where ten validators vote
EVIDENCE_MAX: Final = 10_000  # the newest; two signed messages each, so some 5 MB: the evidence age of a hostile third


T = TypeVar("T")


class MemoryStore:
    """Implements `seams.Store`. Nothing that it returns changes with a later write."""

    def __init__(self) -> None:
        self._blocks: list[FinalBlock] = []  # the block of height h at h - 1
        self._heights: dict[bytes, int] = {}
        self._locations: dict[bytes, tuple[int, int]] = {}
        self._history: dict[bytes, list[tuple[int, int]]] = {}  # by account, oldest first
        self._sets: list[SetChange] = []
        self._turns: dict[int, Turn] = {}
        self._state: dict[bytes, bytes] = {}
        self._slice_end = SliceEnd()
        self._round_record: bytes | None = None
        self._round_blocks: dict[bytes, bytes] = {}
        self._pending: dict[bytes, PendingTransaction] = {}
        self._block_stories: dict[int, tuple[int, tuple[Story, ...]]] = {}  # with the number of all so far
        self._ended = _Newest[Story](STORIES_MAX)
        self._refused = _Newest[Story](REFUSALS_MAX)
        self._evidence = _Newest[bytes](EVIDENCE_MAX)
        self._prevotes: dict[int, bytes] = {}
        self._halted = ""
        self._untrusted_above: int | None = None

    def head(self) -> int:
        return len(self._blocks)

    def block(self, height: int) -> FinalBlock | None:
        return self._blocks[height - 1] if 1 <= height <= len(self._blocks) else None

    def height_of(self, block_id: bytes) -> int | None:
        return self._heights.get(block_id)

    def locate(self, transaction_id: bytes) -> tuple[int, int] | None:
        return self._locations.get(transaction_id)

    def history(self, address: bytes, before: tuple[int, int] | None, count: int) -> list[tuple[int, int]]:
        places = self._history.get(address, [])
        end = len(places) if before is None else bisect_left(places, before)
        return places[max(end - count, 0) : end][::-1]

    def story(self, transaction_id: bytes) -> Story:
        ended = self._ended.get(transaction_id) or self._refused.get(transaction_id) or ()
        height, position = self._locations.get(transaction_id, (0, 0))
        _, stories = self._block_stories.get(height, (0, ()))
        return (*ended, *(stories[position] if stories else ()))

    def validators(self, height: int) -> ValidatorSet | None:
        end = bisect_right(self._sets, height, key=lambda change: change.height)
        return self._sets[end - 1].members if end else None

    def turns(self) -> list[Turn]:
        return list(self._turns.values())

    def state_records(self) -> dict[bytes, bytes]:
        return dict(self._state)

    def slice_end(self) -> SliceEnd:
        return self._slice_end

    def round_record(self) -> bytes | None:
        return self._round_record

    def round_block(self, block_id: bytes) -> bytes | None:
        return self._round_blocks.get(block_id)

    def pending(self) -> list[PendingTransaction]:
        return list(self._pending.values())

    def evidence(self) -> list[bytes]:
        return self._evidence.values()

    def prevotes(self, height: int) -> bytes | None:
        return self._prevotes.get(height)

    def halted(self) -> str:
        return self._halted

    def untrusted_above(self) -> int | None:
        return self._untrusted_above

    def write(self, batch: Batch) -> None:
        """Apply the whole batch; one whose block is not the head's child is an assert, and changes nothing."""
        assert batch.block is None or batch.block.height == self.head() + 1, "a block that is not the head's child"
        if batch.block is not None:
            self._append(batch.block)
            for position, parties in enumerate(batch.parties):
                for address in parties:
                    self._history.setdefault(address, []).append((batch.block.height, position))
            if batch.block_stories:
                self._add_block_stories(batch.block.height, batch.block_stories)
        self._sets.extend(batch.sets)
        if batch.turn is not None:
            self._turns[batch.turn.height] = batch.turn
            self._turns.pop(batch.turn.height - TURNS_MAX, None)
        self._change_state(batch.state)
        if batch.slice is not None:
            self._state.update(batch.slice.records)  # of these, only those of genesis are news
            self._slice_end = batch.slice.end
        if batch.clear_round:
            self._round_record = None
            self._round_blocks.clear()
        if batch.round_record is not None:
            self._round_record = batch.round_record
        for block_id, raw in batch.round_blocks:
            self._round_blocks.setdefault(block_id, raw)
        self._change_pending(batch.pending_added, batch.pending_removed)
        for told in batch.ended:
            self._ended.replace(told.id, told.stages)
        for told in batch.refused:
            self._refused.replace(told.id, told.stages)
        for evidence in batch.evidence:
            self._evidence.add(evidence, evidence)
        if batch.prevotes is not None:
            self._keep_prevotes(batch.prevotes)
        for height in [number for number in self._prevotes if number < batch.prevotes_first]:
            del self._prevotes[height]
        self._halted = self._halted or batch.halted
        if batch.untrusted_above is not None:
            self._untrusted_above = batch.untrusted_above
        if batch.is_trusted:
            self._untrusted_above = None

    def _append(self, block: FinalBlock) -> None:
        self._blocks.append(block)
        self._heights[block.id] = block.height
        for position, transaction_id in enumerate(block.transaction_ids):
            self._locations[transaction_id] = (block.height, position)

    def _change_state(self, changes: Mapping[bytes, bytes | None]) -> None:
        for key, value in changes.items():
            if value is None:
                self._state.pop(key, None)
            else:
                self._state[key] = value

    def _add_block_stories(self, height: int, stories: tuple[Story, ...]) -> None:
        before = next(reversed(self._block_stories.values()))[0] if self._block_stories else 0
        total = before + len(stories)
        self._block_stories[height] = (total, stories)
        while self._block_stories[oldest := next(iter(self._block_stories))][0] <= total - STORIES_MAX:
            del self._block_stories[oldest]

    def _keep_prevotes(self, kept: HeightVotes) -> None:
        """They are of the newest height that has any; the oldest make room for them."""
        self._prevotes[kept.height] = kept.raw
        left = PREVOTES_BYTES_MAX
        for height in sorted(self._prevotes, reverse=True):
            left -= len(self._prevotes[height])
            if left < 0:
                del self._prevotes[height]

    def _change_pending(self, added: tuple[PendingTransaction, ...], removed: tuple[Hash32, ...]) -> None:
        for one in added:
            self._pending.setdefault(one.id, one)  # known already: it keeps its place
        for transaction_id in removed:
            self._pending.pop(transaction_id, None)


class _Newest(Generic[T]):
    """Items by key, oldest first, of which those with the `size_max` newest numbers are kept.

    Like the rows of a table: replacing an item gives it a new number and leaves the old one unused.
    """

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._last = 0
        self._items: dict[bytes, tuple[int, T]] = {}

    def get(self, key: bytes) -> T | None:
        found = self._items.get(key)
        return found[1] if found is not None else None

    def values(self) -> list[T]:
        return [item for _, item in self._items.values()]

    def replace(self, key: bytes, item: T) -> None:
        self._items.pop(key, None)
        self.add(key, item)

    def add(self, key: bytes, item: T) -> None:
        if key in self._items:
            return
        self._last += 1
        self._items[key] = (self._last, item)
        oldest = next(iter(self._items))
        if self._items[oldest][0] <= self._last - self._size_max:
            del self._items[oldest]
