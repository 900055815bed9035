"""The simulated network: delays, loss, bandwidth and partitions, all drawn from one seed.

Theory of operation. A message that is not cut off first waits for its sender's uplink, which sends one after the other
at `bytes_per_s`, and then travels for a time of its own: so messages overtake each other, as they do when a node has
several peers between which they pass. Nothing here holds a message back for later: what a partition swallows is gone,
which is harsher than a connection that comes back, and is what the gossip has to make good.
"""

from __future__ import annotations

from random import Random
from typing import Final

from msgspec import Struct

QUEUE_MS_MAX: Final = 30_000  # what would wait longer for its uplink is lost; nodes cut such a connection
TAIL_SIGMA: Final = 0.8  # of the log-normal share that a journey between regions takes more: 95 of 100 less than 1.9


class Links(Struct, frozen=True, kw_only=True):
    """How messages travel. The delays are ranges; `loss` is the share of messages that never arrive.

    `regions` is a matrix of one-way delays in ms, from row to column; node n is in region n modulo its size. Such a
    delay comes on top, with a tail: some messages take a multiple. `bytes_per_s` is what one node can send; 0: no end.
    """

    delay_ms: tuple[int, int] = (5, 60)
    loss: float = 0.0
    duplicates: float = 0.0
    late: float = 0.0  # the share of messages that take `late_ms` more
    late_ms: tuple[int, int] = (300, 3_000)
    regions: tuple[tuple[int, ...], ...] = ()
    tail: float = 0.0  # of a delay between regions: the median of what it takes more, as a share
    bytes_per_s: int = 0


# One-way ms between data centres, half of round trips as large cloud providers publish them, rounded: east and west of
# North America, Ireland, Frankfurt, Singapore, Tokyo, São Paulo, Sydney.
WIDE_AREA: Final = Links(
    delay_ms=(0, 3),
    tail=0.1,
    regions=(
        (1, 33, 35, 45, 110, 78, 58, 100),
        (33, 1, 68, 75, 85, 53, 88, 70),
        (35, 68, 1, 13, 88, 105, 90, 130),
        (45, 75, 13, 1, 80, 115, 102, 143),
        (110, 85, 88, 80, 1, 35, 163, 47),
        (78, 53, 105, 115, 35, 1, 130, 53),
        (58, 88, 90, 102, 163, 130, 1, 158),
        (100, 70, 130, 143, 47, 53, 158, 1),
    ),
)


class Network:
    """Decides what becomes of each message.

    `groups` is a partition: sets of nodes that hear each other (none: all do). `cut` holds one-way links that are
    down, (sender, receiver). `narrow` holds what single nodes can send, in bytes a second, where it is less than usual.
    """

    def __init__(self, rng: Random, links: Links) -> None:
        self._rng = rng
        self.links = links
        self.groups: tuple[frozenset[int], ...] = ()
        self.cut: frozenset[tuple[int, int]] = frozenset()
        self.narrow: dict[int, int] = {}
        self.era = 0  # what was sent in an earlier one does not arrive
        self._arrives_ms: dict[tuple[int, int], int] | None = None  # by link that keeps the order: the newest message
        self._free_us: dict[int, int] = {}  # when each sender's uplink has sent what is asked of it

    def heal(self, delay_ms: tuple[int, int] | None = None) -> None:
        """From now on everything arrives.

        With `delay_ms` it takes so long, and links keep the order, as one connection does; what is on its way is lost.
        """
        self.groups = ()
        self.cut = frozenset()
        self.narrow = {}
        self._free_us = {}
        links = self.links
        self.links = Links(delay_ms=delay_ms or links.delay_ms, regions=links.regions, tail=links.tail)
        if delay_ms is not None:
            self.era += 1
            self._arrives_ms = {}

    def deliveries(self, sender: int, receiver: int, size: int, time_ms: int) -> list[int]:
        """The delays in ms after which a message of `size` bytes arrives: none when it is lost, two when duplicated."""
        if (sender, receiver) in self.cut:
            return []
        if self.groups and not any(sender in group and receiver in group for group in self.groups):
            return []
        waits_ms = self._uplink_ms(sender, size, time_ms)
        draw, links = self._rng.random, self.links
        if waits_ms > QUEUE_MS_MAX or draw() < links.loss:
            return []
        if draw() < links.duplicates:
            return [waits_ms + self._delay_ms(sender, receiver) for _ in range(2)]
        return [self._in_order(sender, receiver, waits_ms + self._delay_ms(sender, receiver), time_ms)]

    def _in_order(self, sender: int, receiver: int, delay_ms: int, time_ms: int) -> int:
        """No sooner than what was sent before on this link, where links keep the order."""
        if self._arrives_ms is None:
            return delay_ms
        link = sender, receiver
        arrives_ms = self._arrives_ms[link] = max(time_ms + delay_ms, self._arrives_ms.get(link, 0))
        return arrives_ms - time_ms

    def _uplink_ms(self, sender: int, size: int, time_ms: int) -> int:
        """How long it takes until the message has left its sender."""
        bytes_per_s = self.narrow.get(sender, self.links.bytes_per_s)
        if bytes_per_s == 0:
            return 0
        now_us = time_ms * 1_000
        free_us = max(self._free_us.get(sender, 0), now_us) + size * 1_000_000 // bytes_per_s
        waits_ms = (free_us - now_us) // 1_000
        if waits_ms <= QUEUE_MS_MAX:
            self._free_us[sender] = free_us
        return waits_ms

    def _delay_ms(self, sender: int, receiver: int) -> int:
        links, rng = self.links, self._rng
        least_ms, most_ms = links.delay_ms
        delay_ms = least_ms + int(rng.random() * (most_ms - least_ms + 1))  # a third of what `randint` takes
        if links.regions:
            delay_ms += self._journey_ms(links.regions, sender, receiver)
        return delay_ms + rng.randint(*links.late_ms) if rng.random() < links.late else delay_ms

    def _journey_ms(self, regions: tuple[tuple[int, ...], ...], sender: int, receiver: int) -> int:
        least_ms = regions[sender % len(regions)][receiver % len(regions)]
        return round(least_ms * (1 + self.links.tail * self._rng.lognormvariate(0, TAIL_SIGMA)))
