"""Who is not talked to for a while: the score of each peer, and bans of node ids and addresses (docs/protocol.md §8.6).

Small faults add up and fade; a proof of malice is a ban at once. A ban ends by itself; one who is banned again stays
out for longer. An address is banned with the id for a shorter time, since ids cost nothing and addresses are shared.
In memory only: a node that starts again has forgiven everybody, and whoever goes on is banned again with the first
frame. The loopback address and those where the operator's own seeds are, are never banned.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from blockchain.node.views import BanView
from blockchain.seams import PeerId
from blockchain.seams.faults import BAN_POINTS, points_of

BAN_S: Final = 600.0  # of a node id, the first time; each further ban lasts twice as long
BAN_LONGEST_S: Final = 86_400.0
ADDRESS_BAN_S: Final = 60.0
ADDRESS_BAN_LONGEST_S: Final = 3_600.0
REMEMBERED_S: Final = 86_400.0  # so long after its end a ban makes the next one longer
BANS_MAX: Final = 1_000  # of ids, and of addresses; the oldest is forgiven first
FADE_S: Final = 2.0  # for a point to fade
SCORES_MAX: Final = 1_000  # more than are ever connected; the one that is longest without a fault is forgotten first
SPARED_MAX: Final = 256  # addresses of the operator's seeds

K = TypeVar("K", PeerId, str)


@dataclass(frozen=True, slots=True)
class Ban:
    until: float
    times: int  # that this one was banned, this time included
    reason: str
    why: str


class BanList(Generic[K]):
    """Bans by one kind of key. Times are of a monotonic clock, in seconds, and given by the caller."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._bans: dict[K, Ban] = {}  # also some that are over; in the order in which they began

    def ban(self, key: K, reason: str, why: str, now: float) -> None:
        """Begin a ban; one that is in force is left as it is."""
        if self.find(key, now) is not None:
            return
        before = self._bans.pop(key, None)
        times = 1 if before is None or before.until + REMEMBERED_S < now else before.times + 1
        lasts_s = min(self._first_s * 2.0 ** min(times - 1, 64), self._longest_s)
        self._bans[key] = Ban(now + lasts_s, times, reason, why)
        while len(self._bans) > BANS_MAX:
            del self._bans[next(iter(self._bans))]

    def find(self, key: K, now: float) -> Ban | None:
        """The ban of this one that is in force."""
        ban = self._bans.get(key)
        return ban if ban is not None and ban.until > now else None

    def in_force(self, now: float) -> list[tuple[K, Ban]]:
        return [(key, ban) for key, ban in self._bans.items() if ban.until > now]


class Scores:
    """Points of small faults, each fading in FADE_S."""

    def __init__(self) -> None:
        self._scores: dict[PeerId, tuple[float, float]] = {}  # points, and when they were so many

    def add(self, peer: PeerId, points: int, now: float) -> float:
        """The score with these points."""
        score = self.of(peer, now) + points
        self._scores.pop(peer, None)
        self._scores[peer] = (score, now)
        while len(self._scores) > SCORES_MAX:
            del self._scores[next(iter(self._scores))]
        return score

    def of(self, peer: PeerId, now: float) -> float:
        points, since = self._scores.get(peer, (0.0, now))
        return max(points - (now - since) / FADE_S, 0.0)

    def clear(self, peer: PeerId) -> None:
        self._scores.pop(peer, None)


class Bans:
    """The scores and the bans of one node; `clock` gives monotonic seconds.

    With `ids_only`, as where node ids are admitted by name, no address is ever banned: an id cannot be changed there.
    """

    def __init__(self, *, ids_only: bool = False, clock: Callable[[], float] = time.monotonic) -> None:
        self._ids_only = ids_only
        self._clock = clock
        self._scores = Scores()
        self._ids: BanList[PeerId] = BanList(BAN_S, BAN_LONGEST_S)
        self._sources: BanList[str] = BanList(ADDRESS_BAN_S, ADDRESS_BAN_LONGEST_S)
        self._spared: set[str] = set()

    def blame(self, peer: PeerId, source: str, reason: str, why: str) -> bool:
        """Add a fault to the score; True when the peer, and its address `source`, are banned by now."""
        now = self._clock()
        if self._ids.find(peer, now) is None and self._scores.add(peer, points_of(reason), now) < BAN_POINTS:
            return False
        self._scores.clear(peer)
        self._ids.ban(peer, reason, why, now)
        if not self._is_spared(source):
            self._sources.ban(source, reason, why, now)
        return True

    def spare(self, source: str) -> None:
        """Never ban this address: the operator's own choice is there."""
        if len(self._spared) < SPARED_MAX:
            self._spared.add(source)

    def score(self, peer: PeerId) -> int:
        """Points, rounded down; the ban comes with BAN_POINTS."""
        return int(self._scores.of(peer, self._clock()))

    def is_banned(self, peer: PeerId) -> bool:
        return self._ids.find(peer, self._clock()) is not None

    def is_address_banned(self, source: str) -> bool:
        """Whether connections of this address are refused; `source` as in `reach.source_of`."""
        return source not in self._spared and self._sources.find(source, self._clock()) is not None

    def views(self) -> list[BanView]:
        now = self._clock()
        ids = [_view(peer, "", ban, now) for peer, ban in self._ids.in_force(now)]
        return [*ids, *(_view(None, source, ban, now) for source, ban in self._sources.in_force(now))]

    def _is_spared(self, source: str) -> bool:
        return self._ids_only or source in self._spared or not source or is_loopback(source)


def is_loopback(source: str) -> bool:
    """Of this machine: whoever is banned there would take everybody there with it."""
    try:
        return ipaddress.ip_network(source, strict=False).is_loopback or source == "::/64"
    except ValueError:
        return False


def _view(peer: PeerId | None, source: str, ban: Ban, now: float) -> BanView:
    seconds_left = max(int(ban.until - now), 1)
    return BanView(peer, source, ban.reason, ban.why, seconds_left, ban.times)
