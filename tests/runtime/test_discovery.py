"""How nodes find each other: whole nodes on real sockets. Tests wait on conditions, never on time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from blockchain.node.messages import FRAME_BYTES_MAX, GetPeers, Peers, decode_frame, encode_frame
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.peer_events import P2PLimits
from blockchain.runtime.service import NodeService
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import PeerId
from tests.runtime.live_nodes import p2p_on_a_free_port
from tests.runtime.raw_peer import RawPeer, dial_raw
from tests.runtime.scenarios import run, until
from tests.samples import spec_of

SPEC = spec_of()
LIMITS = P2PLimits(message_bytes_max=FRAME_BYTES_MAX, retry_first_s=0.01, retry_max_s=0.05, close_s=0.5)
ITSELF = "itself"
STRANGER = SigningKey(bytes([210]) * 32)


class Nodes:
    """Nodes that follow, each in a folder of its own."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._count = 0

    async def start(self, advertise: str | None = None, limits: P2PLimits = LIMITS) -> NodeService:
        self._count += 1
        key = SigningKey(bytes([self._count]) * 32)
        told = None if advertise == ITSELF else advertise
        make_p2p = partial(p2p_on_a_free_port, key, SPEC.hash, limits=limits, advertise=told)
        store = SqliteStore.open(self._folder / str(self._count), SPEC.hash)
        self._stack.callback(store.close)
        node = NodeService(SPEC, store, (), make_p2p, PeerId(key.public_key))
        await node.p2p.start()
        if advertise == ITSELF:  # where that is, is known only now
            sessions = node.p2p._sessions
            sessions._identity = replace(sessions._identity, advertised=address(node))
        self._stack.push_async_callback(node.p2p.stop)
        await node.start()
        self._stack.push_async_callback(node.stop)
        return node


@contextlib.asynccontextmanager
async def nodes_in(folder: Path) -> AsyncIterator[Nodes]:
    async with contextlib.AsyncExitStack() as stack:
        yield Nodes(folder, stack)


def address(node: NodeService) -> str:
    return f"127.0.0.1:{node.p2p.port}"


def ids(node: NodeService) -> set[PeerId]:
    return {peer.id for peer in node.peers()}


async def addresses_told(peer: RawPeer) -> tuple[str, ...]:
    """What a node answers when it is asked for addresses now."""
    await peer.send(encode_frame(SPEC.hash, GetPeers()))
    while not isinstance(message := decode_frame(await peer.receive()).message, Peers):
        pass
    return message.addresses


def test_two_nodes_find_each_other_through_a_third(tmp_path: Path) -> None:
    """The third one is dialled by the first, and finds out where that one is when it dials back."""

    async def scenario() -> None:
        async with nodes_in(tmp_path) as nodes:
            seed, one, other = await nodes.start(), await nodes.start(ITSELF), await nodes.start()
            one.p2p.dial(address(seed))
            await until(lambda: any(dial.is_connected for dial in seed.dials()))
            other.p2p.dial(address(seed))
            await until(lambda: ids(other) == {seed.node_id, one.node_id})
            assert {dial.address for dial in other.dials()} == {address(seed), address(one)}

    run(scenario())


def test_who_dials_a_node_is_dialled_where_it_says_that_it_listens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with nodes_in(tmp_path) as nodes:
            seed, there = await nodes.start(), await nodes.start()
            one = await nodes.start(advertise=address(there))
            one.p2p.dial(address(seed))
            await until(lambda: ids(seed) == {one.node_id, there.node_id})

    run(scenario())


def test_where_a_node_listens_and_what_it_advertises_are_two_things(tmp_path: Path) -> None:
    """And an address at which nobody was met is told to nobody."""

    async def scenario() -> None:
        async with nodes_in(tmp_path) as nodes:
            liar = await nodes.start(advertise="127.0.0.1:1")
            seed = await nodes.start()
            liar.p2p.dial(address(seed))
            await until(lambda: any(dial.address == "127.0.0.1:1" and dial.last_error for dial in seed.dials()))
            (peer,) = seed.peers()
            assert (peer.address, peer.remote, peer.inbound) == ("127.0.0.1:1", "127.0.0.1", True)
            assert liar.p2p.port != 1
            asking = await dial_raw(address(seed), STRANGER, SPEC.hash)
            assert await addresses_told(asking) == ()
            asking.vanish()

    run(scenario())


def test_told_is_where_peers_were_met_and_only_what_they_advertise(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with nodes_in(tmp_path) as nodes:
            seed, dialled, hidden = await nodes.start(), await nodes.start(ITSELF), await nodes.start()
            seed.p2p.dial(address(dialled))
            seed.p2p.dial(address(hidden))
            await until(lambda: ids(seed) == {dialled.node_id, hidden.node_id})
            asking = await dial_raw(address(seed), STRANGER, SPEC.hash)
            while await addresses_told(asking) != (address(dialled),):
                await asyncio.sleep(0.25)  # five times a second are answered
            asking.vanish()

    run(scenario())


def test_a_liar_does_not_make_a_node_knock_everywhere(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with nodes_in(tmp_path) as nodes:
            node = await nodes.start(limits=replace(LIMITS, retry_first_s=60.0, retry_max_s=60.0))  # none is given up
            liar = await dial_raw(address(node), STRANGER, SPEC.hash)
            while decode_frame(await liar.receive()).message != GetPeers():
                pass
            await liar.send(encode_frame(SPEC.hash, Peers(tuple(f"203.0.113.7:{number}" for number in range(1, 65)))))
            await until(node.dials)
            assert len(node.dials()) == 8
            liar.vanish()

    run(scenario())
