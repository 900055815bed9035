"""Where a node stands among its peers: their clocks, and whether they reach it (docs/protocol.md §8.9).

For people and for `doctor`: nothing of agreement reads it.
"""

from __future__ import annotations

from typing import assert_never

from blockchain.node.clocks import Clocks, median_of, offsets_of
from blockchain.node.connected import Connected
from blockchain.node.dial_back import DialBacks, reachable, to_ask
from blockchain.node.messages import Dialled, DialMe, GetTime, Time
from blockchain.node.peers import Peer
from blockchain.node.views import NetworkView
from blockchain.seams import DialBack, DialledBack, Effect


class Surroundings:
    """Asks the peers, answers them, and tells what they said."""

    def __init__(self, peers: Connected, clock_drift_ms: int) -> None:
        self._peers = peers
        self._clocks = Clocks(clock_drift_ms)
        self._dial_backs = DialBacks()

    def on_connected(self, peer: Peer, now: int) -> list[Effect]:
        return [self._peers.send(peer, self._clocks.ask(peer, now))]

    def on_message(self, peer: Peer, message: GetTime | Time | DialMe | Dialled, now: int) -> list[Effect]:
        match message:
            case GetTime(asked_ms=asked_ms):
                return [self._peers.send(peer, Time(asked_ms, now))]
            case Time():
                self._clocks.on_time(peer, message, now)
                return self._clocks.judge(self._peers.values())
            case DialMe():
                answer = self._dial_backs.on_asked(peer, now)
                peer.dialled.is_waiting |= isinstance(answer, DialBack)
                return [answer if isinstance(answer, DialBack) else self._peers.send(peer, answer)]
            case Dialled(outcome=outcome):
                peer.dialled.outcome = outcome
                return []
            case _:
                assert_never(message)

    def on_dialled_back(self, given: DialledBack) -> list[Effect]:
        """Who asked is told, if it is still there; on a connection that came since, nobody asked."""
        peer = self._peers.get(given.peer)
        if peer is None or not peer.dialled.is_waiting:
            return []
        peer.dialled.is_waiting = False
        return [self._peers.send(peer, Dialled(given.outcome))]

    def on_tick(self, now: int) -> list[Effect]:
        """Each second: one peer at most is asked to dial this node."""
        peer = to_ask(self._peers.values(), now)
        return [] if peer is None else [self._peers.send(peer, DialMe())]

    def on_peers_tick(self, now: int) -> list[Effect]:
        """Each half minute: all are asked for their time."""
        return [self._peers.send(peer, self._clocks.ask(peer, now)) for peer in self._peers.values()]

    def view(self) -> NetworkView:
        offsets = offsets_of(self._peers.values())
        found = reachable(self._peers.values())
        return NetworkView(median_of(offsets), len(offsets), found.verdict, found.why)
