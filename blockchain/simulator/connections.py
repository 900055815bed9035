"""Who is connected to whom: everybody to everybody in small worlds, by discovery and with few peers in large ones.

In a `Mesh` nodes have no addresses, and nobody dials. In a `Discovery` each node knows the addresses of some others
when it starts, as from a file of seeds; of further ones it learns from its peers, and dials them as its core says
(docs/protocol.md §8.3), until it has as many peers as it wants: the driver's bounds, which in production are those of
the dialler and of the listening side.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from blockchain.seams import Dial, DialBack, DialledBack, PeerConnected, PeerDisconnected, PeerMet

if TYPE_CHECKING:
    from blockchain.simulator.node import Node
    from blockchain.simulator.world import World

HANDSHAKE_MS: Final = 200  # from the decision to dial until both sides speak: some round trips of a wide area
SEEDS: Final = 2  # addresses that a node knows when it starts
INBOUND_MAX: Final = 128  # connections that others made, as in production


class Connections(Protocol):
    """Told by the world what nodes do; answers with inputs to them."""

    def on_started(self, world: World, node: Node) -> None:
        """A node runs, and may be connected."""

    def on_gone(self, world: World, node: Node) -> None:
        """A node has ended, and its peers notice."""

    def on_dial(self, world: World, node: Node, wanted: Dial | DialBack) -> None:
        """A core wants an address dialled."""


class Mesh:
    """Everybody with everybody who runs, at once."""

    def on_started(self, world: World, node: Node) -> None:
        for other in world.nodes:
            if other.core is not None and other is not node and talk(node, other) and node.core is not None:
                world.feed(other, PeerConnected(node.id, "", inbound=True))
                world.feed(node, PeerConnected(other.id, "", inbound=False))

    def on_gone(self, world: World, node: Node) -> None:
        _part(world, node, world.nodes)

    def on_dial(self, world: World, node: Node, wanted: Dial | DialBack) -> None:
        """Nobody has an address."""


class Discovery:
    """Each node dials until it has `outbound` connections of its own making, and takes `INBOUND_MAX` of others."""

    def __init__(self, outbound: int) -> None:
        self.outbound = outbound
        self._dialled: dict[int, dict[int, None]] = {}  # by node, whom it dials or has dialled
        self._inbound: dict[int, dict[int, None]] = {}  # by node, by whom it was

    def on_started(self, world: World, node: Node) -> None:
        """It dials some of those with smaller numbers, which were there before it."""
        seeds = world.rng.sample(range(node.number), min(node.number, SEEDS, self.outbound))
        for number in seeds:
            self._dial(world, node, world.nodes[number])

    def on_gone(self, world: World, node: Node) -> None:
        others = [*self._dialled.pop(node.number, {}), *self._inbound.pop(node.number, {})]
        for number in others:
            self._dialled.get(number, {}).pop(node.number, None)
            self._inbound.get(number, {}).pop(node.number, None)
        _part(world, node, (world.nodes[number] for number in dict.fromkeys(others)))

    def on_dial(self, world: World, node: Node, wanted: Dial | DialBack) -> None:
        if isinstance(wanted, DialBack):
            world.feed_later(node, DialledBack(wanted.peer, "reached"), HANDSHAKE_MS)
            return
        for address in wanted.addresses:
            self._dial(world, node, world.nodes[_number_of(address)])

    def _dial(self, world: World, node: Node, other: Node) -> None:
        """Connect to it, or see that it is there if that is done already."""
        if other is node or node.core is None or not talk(node, other):
            return
        if other.id in node.core.peers:
            world.feed_later(node, PeerMet(other.id, address_of(other)), HANDSHAKE_MS)
            return
        dialled = self._dialled.setdefault(node.number, {})
        if len(dialled) < self.outbound and other.number not in dialled:
            dialled[other.number] = None
            world.at(world.time_ms + HANDSHAKE_MS, partial(self._connect, world, node, other, node.life))

    def _connect(self, world: World, node: Node, other: Node, life: int) -> None:
        if node.core is None or node.life != life:
            return
        inbound = self._inbound.setdefault(other.number, {})
        is_there = other.core is not None and talk(node, other) and len(inbound) < INBOUND_MAX
        if not is_there or other.id in node.core.peers:
            del self._dialled[node.number][other.number]
            return
        inbound[node.number] = None
        world.feed(other, PeerConnected(node.id, address_of(node), inbound=True))
        world.feed(node, PeerConnected(other.id, address_of(other), inbound=False))
        world.feed(node, PeerMet(other.id, address_of(other)))


def talk(one: Node, other: Node) -> bool:
    """Whether neither has banned the other."""
    return other.id not in one.scores.banned and one.id not in other.scores.banned


def address_of(node: Node) -> str:
    """Where a node says that it listens: a name that counts as one of the open network."""
    return f"node{node.number}.example:8333"


def _number_of(address: str) -> int:
    return int(address.partition(".")[0].removeprefix("node"))


def _part(world: World, node: Node, others: Iterable[Node]) -> None:
    """Tell others that their connection to a node has ended."""
    for other in others:
        if other.core is not None and node.id in other.core.peers:
            world.feed(other, PeerDisconnected(node.id))
