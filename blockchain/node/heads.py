"""What a block takes of the pool: the highest fee first, nonces in order (docs/protocol.md §10.1).

Theory of operation. Of each sender only its first transaction can stand next in a block: its head. The queues whose
heads are ready are kept by the head's fee, and those of one fee by its arrival, from block to block. What comes or
leaves changes one place and is compared with nothing; a selection puts in order what it comes to, where something came
out of order since the last one, and looks no further than at what it takes. Beside the heads, in a heap of its own,
stands what follows one that was taken, and what can be paid now that somebody was paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush
from typing import Final

from msgspec import Struct

from blockchain.errors import InvalidTransaction
from blockchain.node.entry import Entry
from blockchain.node.queues import Queue, Queues
from blockchain.node.scratch import Scratch
from blockchain.primitives.crypto import Address
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.seams import State

STALE_FACTOR: Final = 2  # a list of so many times the fees that there are holds mostly what nobody pays any more
STALE_MIN: Final = 1_000  # fewer are not worth making it anew

Ranked = tuple[int, int, Entry, Queue]  # by fee, negative, then arrival; the rest is never compared


class Level(Struct, eq=False):
    """Those whose head pays one fee."""

    rank: int  # the fee, negative: what comes first is less
    queues: dict[int, Queue]  # by the arrival of the head
    newest: int  # the highest arrival that there was
    is_in_order: bool = True


class Heads:
    """The heads of all queues, those that are ready, by their rank in a block."""

    def __init__(self, scratch: Scratch, queues: Queues) -> None:
        self._scratch = scratch
        self._queues = queues
        self._levels: dict[int, Level] = {}  # by fee
        self._fees: list[int] = []  # of the levels, and of some that are gone

    def add(self, head: Entry, queue: Queue) -> None:
        """It is ready, and the first in its sender's queue."""
        arrival = head.arrival
        level = self._levels.get(head.fee)
        if level is None:
            self._levels[head.fee] = Level(-head.fee, {arrival: queue}, arrival)
            self._note_fee(head.fee)
            return
        level.queues[arrival] = queue
        if arrival > level.newest:
            level.newest = arrival
        else:
            level.is_in_order = False

    def discard(self, entry: Entry) -> None:
        """It is not ready any more; its sender's first or not."""
        level = self._levels.get(entry.fee)
        if level is not None and level.queues.pop(entry.arrival, None) is not None and not level.queues:
            del self._levels[entry.fee]

    def clear(self) -> None:
        """Nothing is ready."""
        self._levels.clear()
        self._fees.clear()

    def __iter__(self) -> Iterator[Entry]:
        """By their rank. Not to be gone on with after a change."""
        for level in self._in_order():
            yield from map(_head, level.queues.values())

    @property
    def fees_kept(self) -> int:
        """How many fees are kept, with those that nobody pays any more."""
        return len(self._fees)

    def _note_fee(self, fee: int) -> None:
        """A level has come."""
        self._fees.append(fee)
        if len(self._fees) > STALE_FACTOR * len(self._levels) + STALE_MIN:
            self._fees = list(self._levels)

    def _in_order(self) -> Iterator[Level]:
        """The highest fee first, and each in the order of arrival."""
        self._fees.sort(reverse=True)
        before: Level | None = None
        for fee in self._fees:
            level = self._levels.get(fee)
            if level is None or level is before:  # it is gone, or it was gone and came again
                continue
            if not level.is_in_order:
                level.queues = dict(sorted(level.queues.items()))
                level.is_in_order = True
            yield level
            before = level

    def select(
        self, state: State, stakes: Iterable[Entry], count_max: int, bytes_max: int
    ) -> list[VerifiedTransaction]:
        """Apply to `state`, a child of the final one, what a block takes.

        A payment that waits cannot apply before what is ready. One of the `stakes`, which wait, may: its fee may be
        the higher one.
        """
        waiting: set[Address] = set()  # whose head waits, and was come to
        more: list[Ranked] = []  # a heap of what may be next and is not among the heads that are ready
        for sender in {entry.sender for entry in stakes}:
            self._push_waiting(sender, more, waiting)
        chosen: list[VerifiedTransaction] = []
        failed: dict[Address, Ranked] = {}  # what would apply if its sender were paid
        size = fees = 0
        apply_to = self._scratch.apply_to
        for entry, queue in self._with_more(more):
            if len(chosen) == count_max:
                break
            if size + entry.size > bytes_max:
                continue
            try:
                apply_to(state, entry)
            except InvalidTransaction:
                failed[entry.sender] = _ranked(entry, queue)
                continue
            chosen.append(entry.verified)
            size += entry.size
            fees += entry.fee
            following = queue.entries.get(entry.nonce + 1)
            if following is not None:
                heappush(more, _ranked(following, queue))
            if entry.recipient is None:
                continue
            if failed and entry.recipient in failed:
                heappush(more, failed.pop(entry.recipient))
            elif entry.place < 0:
                self._push_waiting(entry.recipient, more, waiting)
        self._scratch.collect(state, fees)
        return chosen

    def _with_more(self, more: list[Ranked]) -> Iterator[tuple[Entry, Queue]]:
        """The heads, and between them what comes into the heap `more` meanwhile, by rank; each with its queue."""
        for level in self._in_order():
            rank = level.rank
            for arrival, queue in level.queues.items():
                while more and more[0][0] <= rank and more[0] < (rank, arrival):
                    yield heappop(more)[2:]
                yield queue.entries[queue.final], queue
        while more:
            yield heappop(more)[2:]

    def _push_waiting(self, sender: Address, more: list[Ranked], waiting: set[Address]) -> None:
        """The head of this sender, if it waits and was not come to yet."""
        queue = self._queues.get(sender)
        if queue is None or sender in waiting:
            return
        head = queue.head
        if head is not None and head.place < 0:
            waiting.add(sender)
            heappush(more, _ranked(head, queue))


def _ranked(entry: Entry, queue: Queue) -> Ranked:
    return -entry.fee, entry.arrival, entry, queue


def _head(queue: Queue) -> Entry:
    return queue.entries[queue.final]
