"""The simulated network: delays, loss and partitions, all drawn from one seed."""

from __future__ import annotations

from random import Random

from msgspec import Struct


class Links(Struct, frozen=True, kw_only=True):
    """How messages travel. `delay_ms` is a range; `loss` the share of messages that never arrive."""

    delay_ms: tuple[int, int] = (5, 60)
    loss: float = 0.0
    duplicates: float = 0.0


class Network:
    """Decides what becomes of each message. Partitions are sets of nodes that hear each other."""

    def __init__(self, rng: Random, links: Links) -> None:
        self._rng = rng
        self.links = links
        self.groups: tuple[frozenset[int], ...] = ()

    def heal(self) -> None:
        """From now on everything arrives."""
        self.groups = ()
        self.links = Links(delay_ms=self.links.delay_ms)

    def deliveries(self, sender: int, receiver: int) -> list[int]:
        """The delays in ms after which a message arrives: none when it is lost, two when it is duplicated."""
        if self.groups and not any({sender, receiver} <= group for group in self.groups):
            return []
        if self._rng.random() < self.links.loss:
            return []
        times = 2 if self._rng.random() < self.links.duplicates else 1
        return [self._rng.randint(*self.links.delay_ms) for _ in range(times)]
