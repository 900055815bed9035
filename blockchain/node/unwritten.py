"""Transactions of the pool that are not on the disk yet (docs/protocol.md §10.3 rule 3).

Nobody was promised what a peer brought: its node holds it, and offers it again. So it needs no write of its own before
anything else is done. It goes with the next write, whatever that is of, a second later at most; and before any client
is answered, who may have handed in the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from blockchain.node.mempool import Mempool
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.seams import Batch, Effect, PendingTransaction, Reply, Write

UNWRITTEN_MAX: Final = 2_000  # a write of half a megabyte, some 10 ms


class Unwritten:
    """Those of one pool. What has left the pool meanwhile is never written."""

    def __init__(self, pool: Mempool) -> None:
        self._pool = pool
        self._waiting: dict[Hash32, VerifiedTransaction] = {}

    def add(self, transactions: Iterable[VerifiedTransaction]) -> None:
        self._waiting.update((one.id, one) for one in transactions)

    def flush(self) -> list[Effect]:
        """A write of their own."""
        pending = self._take()
        return [Write(Batch(pending_added=pending))] if pending else []

    def settle(self, effects: list[Effect]) -> list[Effect]:
        """The effects of an input, with all that waits in their first write; before an answer there is one."""
        if not self._waiting:
            return effects
        at = next((at for at, effect in enumerate(effects) if isinstance(effect, Write | Reply)), len(effects))
        first = effects[at] if at < len(effects) else None
        if isinstance(first, Write):
            return [*effects[:at], Write(self._with(first.batch)), *effects[at + 1 :]]
        if isinstance(first, Reply) or len(self._waiting) > UNWRITTEN_MAX:
            return [*effects[:at], *self.flush(), *effects[at:]]
        return effects

    def _with(self, batch: Batch) -> Batch:
        return replace(batch, pending_added=(*self._take(), *batch.pending_added))

    def _take(self) -> tuple[PendingTransaction, ...]:
        waiting, self._waiting = self._waiting, {}
        pool = self._pool
        return tuple(PendingTransaction(i, one.raw, pool.story(i)) for i, one in waiting.items() if pool.get(i))
