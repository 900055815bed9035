"""The life of a transaction at one node, as values: the stages that it went through, each with its time."""

from __future__ import annotations

from msgspec import Struct

from blockchain.primitives.crypto import Hash32


class Stage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One stage (protocol §10.2); `time_ms` is wall time. Height 0, round −1 and empty texts mean none."""

    name: str  # received, waiting, proposed; then one of final, refused, replaced, evicted, expired
    time_ms: int
    height: int = 0
    round: int = -1
    code: str = ""  # stable, protocol §3.4
    why: str = ""


Story = tuple[Stage, ...]


class TransactionStory(Struct, frozen=True):
    """What became of one transaction, oldest stage first."""

    id: Hash32
    stages: Story


class PendingTransaction(Struct, frozen=True):
    """A transaction of the pool as the store keeps it, with its story when it came in."""

    id: Hash32
    raw: bytes
    story: Story = ()
