"""A sender's transactions in the pool, by nonce (docs/protocol.md §10.1)."""

from __future__ import annotations

from msgspec import Struct

from blockchain.node.entry import Entry
from blockchain.primitives.crypto import Address


class Queue(Struct, eq=False):
    """From `final` up to, not including, `next` every nonce is here and ready; what has a later one waits."""

    final: int  # the first nonce of this sender that is not final
    next: int  # the first one that is not ready
    entries: dict[int, Entry]
    spent: int = 0  # what all that is ready takes from the sender's balance

    @property
    def head(self) -> Entry | None:
        """What could stand next in a block, ready or not."""
        return self.entries.get(self.final)

    @property
    def following(self) -> Entry | None:
        """What could become ready next."""
        return self.entries.get(self.next)


Queues = dict[Address, Queue]


def empty_queue(final: int) -> Queue:
    """Of a sender whose first nonce that is not final is this one."""
    return Queue(final, final, {})
