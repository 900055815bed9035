"""A node learns from its peers whether it can be reached: whole nodes on real sockets, waiting on conditions."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from blockchain.node.views import NetworkView
from blockchain.primitives.crypto import SigningKey
from blockchain.primitives.host_port import HostPort
from blockchain.runtime.dialler import NEARER
from blockchain.runtime.nearness import targets_behind
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import DialBackEnded, DialFailed, PeerEvent
from blockchain.runtime.service import NodeService
from blockchain.seams import DialOutcome
from tests.runtime.live_nodes import p2p_on_a_free_port
from tests.runtime.scenarios import run, until
from tests.runtime.test_discovery import ITSELF, LIMITS, SPEC, address, ids, nodes_in

pytestmark = pytest.mark.usefixtures("each_loop")

NOBODY = bytes(32)
EXPECTED: dict[str, DialOutcome] = {"localhost:1": "not_near", "a..b:1": "no_answer", "no address": "no_answer"}


def network(node: NodeService) -> NetworkView:
    return node.status().network


def told_by(seed: NodeService, node: NodeService) -> str | None:
    return next((peer.dialled_back for peer in node.peers() if peer.id == seed.node_id), None)


def test_a_node_learns_whether_others_reach_it_where_it_says_that_it_listens(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with nodes_in(tmp_path) as nodes:
            seed = await nodes.start()
            there = await nodes.start(ITSELF)
            elsewhere = await nodes.start("127.0.0.1:1")
            mistaken = await nodes.start(address(seed))
            silent = await nodes.start()
            others = (there, elsewhere, mistaken, silent)
            for node in others:
                node.p2p.dial(address(seed))
            await until(lambda: ids(seed) == {node.node_id for node in others} and all(map(ids, others)))
            await until(lambda: all(told_by(seed, node) for node in others))
            told = [told_by(seed, node) for node in others]
            assert told == ["reached", "no_answer", "other_node", "no_address"]
            assert [network(node).reachable for node in others] == ["yes", "no", "no", "unknown"]
            await until(lambda: network(seed).clock_peers == 4)

    run(scenario())


def p2p_with(events: asyncio.Queue[PeerEvent]) -> P2P:
    limits = replace(LIMITS, handshake_s=20.0)
    return p2p_on_a_free_port(SigningKey(bytes([99]) * 32), SPEC.hash, events, limits)


def test_a_name_of_this_machine_leads_nowhere_for_who_is_outside() -> None:
    async def scenario() -> None:
        assert await targets_behind(HostPort("localhost", 22), "5.9.0.77") == []
        assert HostPort("127.0.0.1", 22) in await targets_behind(HostPort("localhost", 22), "127.0.0.1")
        events: asyncio.Queue[PeerEvent] = asyncio.Queue(4)
        p2p = p2p_with(events)
        for host, outcome in EXPECTED.items():
            p2p.dial_back(NOBODY, host, "5.9.0.77")
            assert await events.get() == DialBackEnded(NOBODY, outcome)
        await p2p.stop()

    run(scenario())


def test_a_node_ends_while_it_dials_for_a_peer() -> None:
    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.setblocking(False)
            p2p = p2p_with(asyncio.Queue(1))
            p2p.dial_back(NOBODY, f"127.0.0.1:{silent.getsockname()[1]}", "127.0.0.1")
            connection, _ = await asyncio.get_running_loop().sock_accept(silent)
            await p2p.stop()
            connection.close()

    run(scenario())


def test_an_address_that_a_peer_told_of_is_not_dialled_where_it_leads_to_something_nearer() -> None:
    """Whatever it looks like: `localhost` stands here for a public name that leads to this machine."""

    async def scenario() -> None:
        events: asyncio.Queue[PeerEvent] = asyncio.Queue(4)
        p2p = p2p_with(events)
        with socket.create_server(("127.0.0.1", 0)) as inside:
            inside.setblocking(False)
            address = f"localhost:{inside.getsockname()[1]}"
            assert p2p.dial(address, told_from="5.9.0.77")
            assert await events.get() == DialFailed(address, NEARER)
            assert p2p.dials()[0].why == NEARER
            p2p.forget(address)
            p2p.dial(address, told_from="127.0.0.1")
            connection, _ = await asyncio.get_running_loop().sock_accept(inside)
            await p2p.stop()
            connection.close()

    run(scenario())
