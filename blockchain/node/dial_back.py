"""Can others reach a node where it says that it listens? A peer that is asked dials it once (docs/protocol.md §8.9).

Whoever asks can name no place but the one that it advertises, and that no nearer than it is itself (§8.3): nobody
outside makes a node knock inside its own network. Who asks, which address and how many of a host are bounded in an
interval, and so are all together, so that nobody makes a node knock much at somebody else's door either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final

from msgspec import Struct

from blockchain.node.messages import Dialled
from blockchain.node.peers import Peer
from blockchain.node.reach import Reach, host_of, is_exchanged, reach_of_host
from blockchain.primitives.host_port import parse_host_port
from blockchain.seams import DialBack, DialOutcome, PeerId

INTERVAL_MS: Final = 60_000  # in which one who asks, and one address, is dialled once
DIALS_MAX: Final = 64  # in an interval, for all who ask: about one a second
HOST_DIALS_MAX: Final = 8  # of one host's ports, but for this machine's own; as of addresses that peers tell of
ASK_MS: Final = 300_000  # a peer is asked again after so long
ASKED_MAX: Final = 4  # peers that are asked: enough to tell one that lies, or that cannot dial, from the others

_FAILED: Final[dict[DialOutcome, str]] = {
    "no_answer": "nobody answered where it says that it listens",
    "other_node": "somebody else answers where it says that it listens",
    "not_near": "it says that it listens at an address that only nearer nodes could dial",
}


class Asked(Struct, frozen=True):
    """One dial that was made for somebody."""

    at_ms: int
    peer: PeerId
    address: str
    host: str


class DialBacks:
    """What this node dials for those who ask."""

    def __init__(self) -> None:
        self._lately: list[Asked] = []  # at most DIALS_MAX, of the last interval

    def on_asked(self, peer: Peer, now: int) -> DialBack | Dialled:
        """What to do: to dial, or to answer at once."""
        self._lately = [one for one in self._lately if now - INTERVAL_MS < one.at_ms <= now]
        if not peer.address:
            return Dialled("no_address")
        if not is_exchanged(peer.address, peer.remote):
            return Dialled("not_near")
        asked = Asked(now, peer.id, peer.address, host_of(parse_host_port(peer.address).host))
        if not self._has_room(asked):
            return Dialled("busy")
        self._lately.append(asked)
        return DialBack(peer.id, peer.address, peer.remote)

    def _has_room(self, new: Asked) -> bool:
        if len(self._lately) >= DIALS_MAX:
            return False
        if any(one.peer == new.peer or one.address == new.address for one in self._lately):
            return False
        of_host = sum(one.host == new.host for one in self._lately)
        return of_host < HOST_DIALS_MAX or reach_of_host(new.host) is Reach.MACHINE


class Reachable(Struct, frozen=True):
    """Whether others reach this node: "yes", "no" or "unknown", and why."""

    verdict: str
    why: str


def to_ask(peers: Iterable[Peer], now: int) -> Peer | None:
    """The peer to be asked now, if there is one; it is noted that it was. Call it once a tick."""
    for peer in _chosen(peers):
        asked_ms = peer.dialled.asked_ms
        if asked_ms is None or not now - ASK_MS < asked_ms <= now:
            peer.dialled.asked_ms = now
            return peer
    return None


def reachable(peers: Iterable[Peer]) -> Reachable:
    """By the newest answers of those that are asked."""
    return reachable_by(peer.dialled.outcome for peer in _chosen(peers))


def reachable_by(answers: Iterable[DialOutcome | None]) -> Reachable:
    """By most of those that could try; where they are even, somebody did get through. None: no answer."""
    outcomes = Counter(outcome for outcome in answers if outcome is not None)
    failed = sum(outcomes[code] for code in _FAILED)
    tried = outcomes["reached"] + failed
    if tried:
        why = f"{outcomes['reached']} of {tried} peers that tried reached this node"
        if outcomes["reached"] * 2 >= tried:
            return Reachable("yes", why)
        worst = max(_FAILED, key=lambda code: outcomes[code])
        return Reachable("no", f"{why}: {_FAILED[worst]}")
    if outcomes["no_address"]:
        return Reachable("unknown", "it tells no peer where it listens")
    return Reachable("unknown", "no peer has tried yet")


def _chosen(peers: Iterable[Peer]) -> list[Peer]:
    """Those that this node dialled before those that came by themselves, whoever is connected longest first."""
    return list(islice(sorted(peers, key=lambda peer: peer.inbound), ASKED_MAX))
