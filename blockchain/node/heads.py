"""What a block takes of the pool: the highest fee first, nonces in order (docs/protocol.md §10.1).

Theory of operation. Of each sender only its first transaction can stand next in a block: its head. The heads that are
ready are kept in a heap from block to block, and only a sender whose head is another one comes into it anew. A
selection takes heads out and puts them back at its end, since it changes nothing; beside them, in a heap of its own,
stand what follows one that was taken, and what can be paid now that somebody was paid. A head that has left, or waits
again, is found at the top and dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Final

from blockchain.errors import InvalidTransaction
from blockchain.node.entry import Entry
from blockchain.node.queues import Queues
from blockchain.node.scratch import Scratch
from blockchain.primitives.crypto import Address
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.seams import State

STALE_FACTOR: Final = 2  # a heap with so many times the senders of the pool holds mostly what has left it
STALE_MIN: Final = 1_000  # fewer are not worth making it anew

Ranked = tuple[int, int, Entry]


class Heads:
    """The heads of all queues by their rank in a block."""

    def __init__(self, scratch: Scratch, queues: Queues) -> None:
        self._scratch = scratch
        self._queues = queues
        self._heap: list[Ranked] = []

    def add(self, head: Entry) -> None:
        """It is ready, and its sender's first."""
        heappush(self._heap, _ranked(head))
        if len(self._heap) > STALE_FACTOR * len(self._queues) + STALE_MIN:
            heads = {entry.sender: entry for _, _, entry in self._heap if self._is_head(entry)}
            self._heap = [_ranked(entry) for entry in heads.values()]
            heapify(self._heap)

    def _is_head(self, entry: Entry) -> bool:
        return entry.place >= 0 and self._queues[entry.sender].final == entry.nonce

    def select(
        self, state: State, stakes: Iterable[Entry], count_max: int, bytes_max: int
    ) -> list[VerifiedTransaction]:
        """Apply to `state`, a child of the final one, what a block takes.

        A payment that waits cannot apply before what is ready. One of the `stakes`, which wait, may: its fee may be
        the higher one.
        """
        reached: set[Address] = set()  # whose head was come to
        more: list[Ranked] = []  # a heap of what may be next and is not in the other one
        for sender in {entry.sender for entry in stakes}:
            self._push_waiting(sender, more, reached)
        chosen: list[VerifiedTransaction] = []
        taken: list[Ranked] = []  # out of the heap
        failed: dict[Address, Entry] = {}  # what would apply if its sender were paid
        size = 0
        apply_to, queues = self._scratch.apply_to, self._queues
        while len(chosen) < count_max and (entry := self._pop(more, taken, reached)) is not None:
            verified, sender = entry.verified, entry.sender
            if size + len(verified.raw) > bytes_max:
                continue
            try:
                apply_to(state, entry)
            except InvalidTransaction:
                failed[sender] = entry
                continue
            chosen.append(verified)
            size += len(verified.raw)
            following = queues[sender].entries.get(entry.nonce + 1)
            if following is not None:
                heappush(more, _ranked(following))
            if entry.recipient is None:
                continue
            if failed and entry.recipient in failed:
                heappush(more, _ranked(failed.pop(entry.recipient)))
            elif entry.place < 0:
                self._push_waiting(entry.recipient, more, reached)
        for ranked in taken:
            heappush(self._heap, ranked)
        self._scratch.collect(state, chosen)
        return chosen

    def _pop(self, more: list[Ranked], taken: list[Ranked], reached: set[Address]) -> Entry | None:
        """The first of both heaps. Of the kept one it is noted, to be put back."""
        heap = self._heap
        while heap and not (more and more[0] < heap[0]):
            ranked = heappop(heap)
            entry = ranked[2]
            if entry.place >= 0 and entry.sender not in reached:  # else it left, waits, or stood there twice
                reached.add(entry.sender)
                taken.append(ranked)
                return entry
        return heappop(more)[2] if more else None

    def _push_waiting(self, sender: Address, more: list[Ranked], reached: set[Address]) -> None:
        """The head of this sender, if it waits and was not come to yet."""
        queue = self._queues.get(sender)
        head = None if queue is None or sender in reached else queue.entries.get(queue.final)
        if head is not None and head.place < 0:
            reached.add(sender)
            heappush(more, _ranked(head))


def _ranked(entry: Entry) -> Ranked:
    return -entry.fee, entry.arrival, entry
