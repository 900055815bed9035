"""One simulated node: what survives a crash of it, and the production core while it runs."""

from __future__ import annotations

from collections.abc import Callable

from blockchain.node.core import Core
from blockchain.node.lookout import CAREFUL
from blockchain.primitives.crypto import PublicKey, SigningKey
from blockchain.seams import Effect, PeerId, SigningRecord, TimerKind
from blockchain.simulator.bans import Scores
from blockchain.simulator.clock import Clock
from blockchain.simulator.conduct import HONEST, Conduct
from blockchain.simulator.disk import Disk
from blockchain.simulator.pace import Pace


class Node:
    """What it does with its core's effects is its `conduct`: honest, unless a test or a scenario says otherwise."""

    def __init__(self, number: int, key: SigningKey | None, skew_ms: int) -> None:
        self.number = number
        self.id = PeerId(number.to_bytes(32, "big"))
        self.keys = {} if key is None else {key.public_key: key}
        self.records: dict[PublicKey, SigningRecord] = {held: SigningRecord(held) for held in self.keys}
        self.skew_ms = skew_ms
        self.caution = CAREFUL  # of its next start
        self.store = Disk()
        self.clock = Clock()  # beyond its skew
        self.pace = Pace()
        self.has_lost_writes = False  # of its store, that it was told were on the disk
        self.lost_up_to = 0  # the newest client's token before that
        self.has_lost_record = False  # of its signatures, or got an old copy of it
        self.copies: tuple[SigningRecord, ...] = ()  # what is put in the place of its records
        self.core: Core | None = None
        self.conduct: Conduct = HONEST
        self.scores = Scores()  # of its peers; a new start forgives everybody
        self.is_absent = False  # for good: nobody starts it
        self.life = 0  # counts starts: events of an earlier life are void
        self.timers: dict[TimerKind, int] = {}  # the newest setting of each
        self.dies_before: Callable[[Effect], bool] | None = None  # holds for the effect that it does not come to

    @property
    def is_honest(self) -> bool:
        """Whether every rule must hold of it; of the others only what they cannot help."""
        return self.conduct.is_honest

    @property
    def is_spoilt(self) -> bool:
        """Whether it has lost what no machine may lose."""
        return self.has_lost_writes or self.has_lost_record

    def hold(self, key: SigningKey) -> None:
        """Give a node that does not run a further validator key, as before its rotation."""
        self.keys[key.public_key] = key
        self.records[key.public_key] = SigningRecord(key.public_key)
