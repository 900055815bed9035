"""Peer exchange: of which addresses a node tells its peers, and which of theirs it tries (docs/protocol.md §8.3).

Anybody may say anything of where nodes are. So a node tells only of addresses where it has met a node of this chain
itself, by dialling; what others tell of is tried before it is passed on. How much of it is tried, and for how long, is
the driver's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from blockchain.node.messages import ADDRESSES_MAX, Peers
from blockchain.node.peers import Peer
from blockchain.node.reach import is_exchanged
from blockchain.seams import Dial, Effect, PeerId

MET_MAX: Final = 1_000  # of whom it is remembered where they were met; more than are ever connected


class Exchange:
    """Where peers were met, by node id: the newest address of each."""

    def __init__(self) -> None:
        self._met: dict[PeerId, str] = {}

    def on_met(self, peer: PeerId, address: str) -> None:
        """This node dialled an address, and that peer proved to be there."""
        self._met.pop(peer, None)
        self._met[peer] = address
        while len(self._met) > MET_MAX:
            del self._met[next(iter(self._met))]

    def answer(self, asking: Peer, peers: Mapping[PeerId, Peer]) -> Peers:
        """Where the other peers that are connected now were met, as far as that is of use where the asking one is."""
        met = (self._met[peer] for peer in peers if peer in self._met and peer != asking.id)
        told = [address for address in dict.fromkeys(met) if is_exchanged(address, asking.remote)]
        return Peers(tuple(told[:ADDRESSES_MAX]))

    def try_own(self, peer: Peer) -> list[Effect]:
        """Dial who dialled this node, where it says that it listens: only then it is told of to others."""
        return [] if not peer.inbound else self.try_told(peer, (peer.address,), {})

    def try_told(self, teller: Peer, addresses: tuple[str, ...], peers: Mapping[PeerId, Peer]) -> list[Effect]:
        """The driver knows which of them it dials already, and forgets those where nobody answers."""
        known = {self._met[peer] for peer in peers if peer in self._met}
        new = [a for a in dict.fromkeys(addresses) if a not in known and is_exchanged(a, teller.remote)]
        return [Dial(tuple(new), teller.id)] if new else []
