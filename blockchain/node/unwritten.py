"""Transactions of the pool that are not on the disk yet (docs/protocol.md §10.3 rule 3).

Nobody was promised what a peer brought: its node holds it, and offers it again. Most of it stands in a final block a
moment later, and to write it down first, only to strike it out again, would be a third of what a node writes. So it is
written when it has waited for long, or when much of it waits; and before a client is answered who handed in the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from msgspec.structs import replace

from blockchain.node.mempool import Mempool
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.seams import Batch, Effect, PendingTransaction, Reply, Write

WAIT_MS: Final = 10_000  # longer than what is ready waits for its block, while blocks are made
UNWRITTEN_MAX: Final = 10_000  # what arrives in some seconds at the highest rate
AT_ONCE: Final = 2_000  # of the oldest, where there are more: a write of half a megabyte, some 10 ms


class Unwritten:
    """Those of one pool, in the order in which they came. What has left the pool meanwhile is never written."""

    def __init__(self, pool: Mempool) -> None:
        self._pool = pool
        self._waiting: dict[Hash32, VerifiedTransaction] = {}

    def __contains__(self, transaction_id: Hash32) -> bool:
        """Whether it is in no write yet."""
        return transaction_id in self._waiting

    def add(self, transactions: Iterable[VerifiedTransaction]) -> None:
        self._waiting.update((one.id, one) for one in transactions)

    def flush(self, now: int) -> list[Effect]:
        """A write of all that has waited for too long."""
        due: list[Hash32] = []
        for transaction_id in self._waiting:
            received_ms = self._pool.received_ms(transaction_id)
            if received_ms is not None and 0 <= now - received_ms < WAIT_MS:  # else the clock was set
                break
            due.append(transaction_id)
        return self._written(due)

    def settle(self, effects: list[Effect]) -> list[Effect]:
        """The effects of an input, with a write of what a client is told of, and of the oldest where there are many."""
        if not self._waiting:
            return effects
        settled: list[Effect] = []
        for effect in effects:
            if isinstance(effect, Write) and effect.batch.pending_removed:
                settled.append(Write(self._without_waiting(effect.batch)))
                continue
            if isinstance(effect, Reply):
                told = dict.fromkeys(result.id for result in effect.results)
                settled += self._written([one for one in told if one in self._waiting])
            settled.append(effect)
        if len(self._waiting) > UNWRITTEN_MAX:
            settled += self._written(list(islice(self._waiting, AT_ONCE)))
        return settled

    def _without_waiting(self, batch: Batch) -> Batch:
        """What leaves the pool now and was not written yet is not to be removed; most of what peers brought is so."""
        waiting = self._waiting
        left = tuple([each for each in batch.pending_removed if waiting.pop(each, None) is not None])
        if not left:
            return batch
        unwritten = frozenset(left)
        removed = tuple([each for each in batch.pending_removed if each not in unwritten])
        return replace(batch, pending_removed=removed, left_unwritten=left)

    def _written(self, ids: Iterable[Hash32]) -> list[Effect]:
        """A write of those of these that are still in the pool; none waits any more."""
        pool = self._pool
        taken = [(each, self._waiting.pop(each)) for each in ids]
        pending = tuple(PendingTransaction(i, one.raw, pool.story(i)) for i, one in taken if pool.get(i) is not None)
        return [Write(Batch(pending_added=pending))] if pending else []
