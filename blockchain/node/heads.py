"""What a block takes of the pool: the highest fee first, nonces in order (docs/protocol.md §10.1).

Theory of operation. Of each sender only its first transaction can stand next in a block: its head. The heads that are
ready are kept in a heap from block to block, and only a sender whose head is another one comes into it anew; a
selection works on a copy, since selecting changes nothing. Then each that was taken puts its sender's next one into
the heap, and whom it pays may get back what it could not pay before. What has left or waits again is passed over when
it comes to the top.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heapify, heappop, heappush
from typing import Final

from blockchain.errors import InvalidTransaction
from blockchain.node.entry import Entry
from blockchain.node.queues import Queues
from blockchain.primitives.crypto import Address
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.seams import Ledger, State

STALE_FACTOR: Final = 2  # a heap with so many times the senders of the pool holds mostly what has left it
STALE_MIN: Final = 1_000  # fewer are not worth making it anew

Ranked = tuple[int, int, Entry]


class Heads:
    """The heads of all queues by their rank in a block."""

    def __init__(self, ledger: Ledger, queues: Queues) -> None:
        self._ledger = ledger
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
        self, state: State, height: int, stakes: Iterable[Entry], count_max: int, bytes_max: int
    ) -> list[VerifiedTransaction]:
        """Apply to `state`, a child of the final one, what a block takes.

        A payment that waits cannot apply before what is ready. One of the `stakes`, which wait, may: its fee may be
        the higher one.
        """
        heap = self._heap.copy()
        reached: dict[Address, int] = {}  # the nonces that senders have come to
        failed: dict[Address, Entry] = {}  # what would apply if its sender were paid
        for sender in {entry.sender for entry in stakes}:
            self._push_waiting(sender, heap, reached)
        chosen: list[VerifiedTransaction] = []
        size = 0
        while heap and len(chosen) < count_max:
            entry = heappop(heap)[2]
            sender, verified = entry.sender, entry.verified
            nonce = reached.get(sender)
            if nonce != entry.nonce and (nonce is not None or entry.place < 0):
                continue  # it has left, or stood in the heap twice
            if size + len(verified.raw) > bytes_max:
                continue
            try:
                self._ledger.apply(state, verified.transaction, height)
            except InvalidTransaction:
                failed[sender] = entry
                continue
            chosen.append(verified)
            size += len(verified.raw)
            reached[sender] = entry.nonce + 1
            following = self._queues[sender].entries.get(entry.nonce + 1)
            if following is not None:
                heappush(heap, _ranked(following))
            if entry.recipient is None:
                continue
            if entry.recipient in failed:
                heappush(heap, _ranked(failed.pop(entry.recipient)))
            elif entry.place < 0:
                self._push_waiting(entry.recipient, heap, reached)
        return chosen

    def _push_waiting(self, sender: Address, heap: list[Ranked], reached: dict[Address, int]) -> None:
        """The head of this sender, if it waits and was not come to yet."""
        queue = self._queues.get(sender)
        head = None if queue is None or sender in reached else queue.entries.get(queue.final)
        if head is not None and head.place < 0:
            reached[sender] = head.nonce
            heappush(heap, _ranked(head))


def _ranked(entry: Entry) -> Ranked:
    return -entry.fee, entry.arrival, entry
