"""The simulated network: delays, loss and partitions, all drawn from one seed."""

from __future__ import annotations

from random import Random

from msgspec import Struct


class Links(Struct, frozen=True, kw_only=True):
    """How messages travel. The delays are ranges; `loss` is the share of messages that never arrive."""

    delay_ms: tuple[int, int] = (5, 60)
    loss: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0  # the share of messages that take `late_ms` more
    late_ms: tuple[int, int] = (300, 3_000)


class Network:
    """Decides what becomes of each message.

    `groups` is a partition: sets of nodes that hear each other (none: all do). `cut` holds one-way links that are
    down, (sender, receiver).
    """

    def __init__(self, rng: Random, links: Links) -> None:
        self._rng = rng
        self.links = links
        self.groups: tuple[frozenset[int], ...] = ()
        self.cut: frozenset[tuple[int, int]] = frozenset()

    def heal(self) -> None:
        """From now on everything arrives."""
        self.groups = ()
        self.cut = frozenset()
        self.links = Links(delay_ms=self.links.delay_ms)

    def deliveries(self, sender: int, receiver: int) -> list[int]:
        """The delays in ms after which a message arrives: none when it is lost, two when it is duplicated."""
        if (sender, receiver) in self.cut:
            return []
        if self.groups and not any({sender, receiver} <= group for group in self.groups):
            return []
        if self._rng.random() < self.links.loss:
            return []
        times = 2 if self._rng.random() < self.links.duplicates else 1
        return [self._delay_ms() for _ in range(times)]

    def _delay_ms(self) -> int:
        delay_ms = self._rng.randint(*self.links.delay_ms)
        return delay_ms + self._rng.randint(*self.links.late_ms) if self._rng.random() < self.links.late else delay_ms
