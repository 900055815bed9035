"""Peer exchange: of which addresses a node tells its peers, and which of theirs it tries (docs/protocol.md §8.3).

Anybody may say anything of where nodes are. So a node tells only of what a connected peer advertises and where it has
met that peer itself, by dialling; what others tell of is tried before it is passed on. How much of it is tried, and
for how long, is the driver's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from blockchain.node.messages import ADDRESSES_MAX, Peers
from blockchain.node.peers import Peer
from blockchain.node.reach import is_exchanged
from blockchain.seams import Dial, Effect, PeerId

MET_MAX: Final = 2_000  # addresses, of each peer mostly one; more peers than are ever connected


class Exchange:
    """Where peers were met, by node id and address; the one met first is forgotten first."""

    def __init__(self) -> None:
        self._met: dict[tuple[PeerId, str], None] = {}

    def on_met(self, peer: PeerId, address: str) -> None:
        """This node dialled an address, and that peer proved to be there."""
        self._met.pop((peer, address), None)
        self._met[peer, address] = None
        while len(self._met) > MET_MAX:
            del self._met[next(iter(self._met))]

    def answer(self, asking: Peer, peers: Mapping[PeerId, Peer]) -> Peers:
        """What the other peers that are connected advertise, and where they were met, as far as the asking one is near.

        Where a peer was met and what it does not advertise is its own matter, or the operator's who named it.
        """
        met = (peer.address for peer in peers.values() if peer.id != asking.id and (peer.id, peer.address) in self._met)
        told = [address for address in dict.fromkeys(met) if is_exchanged(address, asking.remote)]
        return Peers(tuple(told[:ADDRESSES_MAX]))

    def try_own(self, peer: Peer) -> list[Effect]:
        """Dial a peer where it says that it listens, if it was not met there: only then it is told of to others."""
        if (peer.id, peer.address) in self._met or not is_exchanged(peer.address, peer.remote):
            return []
        return [Dial((peer.address,), peer.id)]

    def try_told(self, teller: Peer, addresses: tuple[str, ...], peers: Mapping[PeerId, Peer]) -> list[Effect]:
        """The driver knows which of them it dials already, and forgets those where nobody answers."""
        known = {address for peer, address in self._met if peer in peers}
        new = [a for a in dict.fromkeys(addresses) if a not in known and is_exchanged(a, teller.remote)]
        return [Dial(tuple(new), teller.id)] if new else []
