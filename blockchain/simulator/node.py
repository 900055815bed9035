"""One simulated node: what survives a crash of it, and the production core while it runs."""

from __future__ import annotations

from collections.abc import Callable

from blockchain.node.core import Core
from blockchain.node.lookout import CAREFUL
from blockchain.node.store import MemoryStore
from blockchain.primitives.crypto import PublicKey, SigningKey
from blockchain.seams import Effect, PeerId, SigningRecord, TimerKey
from blockchain.simulator.conduct import HONEST, Conduct


class Node:
    """What it does with its core's effects is its `conduct`: honest, unless a test or a scenario says otherwise."""

    def __init__(self, number: int, key: SigningKey | None, skew_ms: int) -> None:
        self.number = number
        self.id = PeerId(number.to_bytes(32, "big"))
        self.keys = {} if key is None else {key.public_key: key}
        self.records: dict[PublicKey, SigningRecord] = {held: SigningRecord(held) for held in self.keys}
        self.skew_ms = skew_ms
        self.caution = CAREFUL  # of its next start
        self.store = MemoryStore()
        self.core: Core | None = None
        self.conduct: Conduct = HONEST
        self.life = 0  # counts starts: events of an earlier life are void
        self.timers: dict[TimerKey, int] = {}  # the newest setting of each
        self.dies_before: Callable[[Effect], bool] | None = None  # holds for the effect that it does not come to

    @property
    def is_honest(self) -> bool:
        """Whether every rule must hold of it; of the others only what they cannot help."""
        return self.conduct.is_honest

    def hold(self, key: SigningKey) -> None:
        """Give a node that does not run a further validator key, as before its rotation."""
        self.keys[key.public_key] = key
        self.records[key.public_key] = SigningRecord(key.public_key)
