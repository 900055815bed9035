"""Sources: how the connected peers have behaved when they were asked for blocks (docs/protocol.md §8.7).

A peer answers for what it claims. One that tells of a height, does not serve it, tells of it again and does not serve
even a single block of it is banned. An honest one that is slow is asked for less, its late answer is still taken and
clears it; one that was cut off or stopped tells of no height meanwhile, so it is not asked again and not banned.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from blockchain.node.messages import BLOCKS_MAX, GetBlocks
from blockchain.node.peers import ALLOWANCES, Peer
from blockchain.seams import PeerId

REST_TICKS: Final = 10  # for which a peer that did not help is left alone
FAILURES_MAX: Final = 2  # in a row: then it is banned
LEFT_MAX: Final = 100  # peers that left after failing and are remembered: to come back is no new beginning
REQUESTS_MAX: Final = ALLOWANCES[GetBlocks] // 2  # a tick: what a peer would drop is never asked of it


class Conduct(Struct):
    count: int  # to ask for
    asked: int = -1  # in which tick it was asked last
    requests: int = 0  # in that tick
    rests_until: int = 0
    failures: int = 0  # in a row
    why: str = ""  # of the last failure
    has_told: bool = True  # of a height, since it failed
    has_served: bool = False


class Sources:
    """One entry a connected peer that was asked or told of a height, and some of those that failed and left."""

    def __init__(self) -> None:
        self._conducts: dict[PeerId, Conduct] = {}
        self._left: dict[PeerId, Conduct] = {}

    def of(self, peer: PeerId) -> Conduct:
        """For connected peers only: the caller says who leaves."""
        conduct = self._conducts.get(peer)
        if conduct is None:
            conduct = self._left.pop(peer, None) or Conduct(BLOCKS_MAX)
            self._conducts[peer] = conduct
        return conduct

    def on_left(self, peer: PeerId) -> None:
        conduct = self._conducts.pop(peer, None)
        if conduct is not None and conduct.failures:
            self._left[peer] = conduct
        while len(self._left) > LEFT_MAX:
            del self._left[next(iter(self._left))]

    def on_told(self, peer: PeerId) -> None:
        self.of(peer).has_told = True

    def on_asked(self, peer: PeerId, tick: int) -> None:
        conduct = self.of(peer)
        conduct.requests = conduct.requests + 1 if conduct.asked == tick else 1
        conduct.asked = tick

    def on_served(self, peer: PeerId, *, is_late: bool, count: int) -> None:
        """Blocks have come. After a late answer it is asked for a quarter of what it was too slow for."""
        conduct = self.of(peer)
        conduct.failures = 0
        conduct.rests_until = 0
        conduct.has_served = not is_late
        conduct.count = max(count // 4, 1) if is_late else min(conduct.count * 2, BLOCKS_MAX)

    def on_failed(self, peer: PeerId, tick: int, why: str) -> bool:
        """It did not serve what it said it has. True: once too often."""
        conduct = self.of(peer)
        conduct.failures += 1
        conduct.count = 1
        conduct.rests_until = tick + REST_TICKS
        conduct.why = why
        conduct.has_told = False
        conduct.has_served = False
        return conduct.failures >= FAILURES_MAX

    def is_believed(self, peer: Peer) -> bool:
        """Whether what it says of its height counts: it has not failed, or has served since."""
        return self.of(peer.id).failures == 0

    def may_be_asked(self, peer: Peer, tick: int) -> bool:
        conduct = self.of(peer.id)
        is_within = conduct.asked != tick or conduct.requests < REQUESTS_MAX
        return conduct.rests_until <= tick and conduct.has_told and is_within

    def ranked(self, peers: Iterable[Peer]) -> list[Peer]:
        """Those that served before come first, then those that were not asked for longest.

        Not those that say they are furthest: a few peers that say so and never answer would take every turn.
        """
        return sorted(peers, key=self._rank, reverse=True)

    def _rank(self, peer: Peer) -> tuple[bool, int, int, PeerId]:
        conduct = self.of(peer.id)
        return conduct.has_served, -conduct.asked, peer.height, peer.id
