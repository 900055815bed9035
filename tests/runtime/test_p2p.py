"""Nodes that dial each other over real sockets: one connection for two, found again, where they listen."""

from __future__ import annotations

import asyncio
import logging
import socket as sockets
from dataclasses import replace

import pytest

from blockchain.errors import ChannelClosed, ConfigError, HandshakeFailed, PortInUse
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.bans import is_loopback
from blockchain.runtime.peer_events import (
    DialAnswered,
    FrameReceived,
    PeerDown,
    PeerUp,
)
from tests.runtime.live_nodes import KEYS, QUICK, Node, pair, raw_dial, started
from tests.runtime.scenarios import run

pytestmark = pytest.mark.usefixtures("each_loop")


def test_two_nodes_connect_and_exchange_messages_in_order() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        async with started(one, other):
            one.p2p.dial(other.address, other.id)
            up = await one.up()
            assert (up.peer_id, up.address, up.inbound) == (other.id, other.address, False)
            assert up.agent.startswith("blockchain/")
            assert (await other.up()).inbound
            for number in range(500):
                assert one.p2p.send(other.id, b"%d" % number)
            assert [await other.frame() for _ in range(500)] == [b"%d" % number for number in range(500)]
            largest = b"x" * QUICK.message_bytes_max
            assert other.p2p.send(one.id, largest)
            assert await one.frame() == largest
            (state,) = one.p2p.dials()
            assert (state.phase, state.peer_id, state.failures) == ("connected", other.id, 0)
            assert state.tried_at is not None and state.next_at is None
            assert one.events.answered == [DialAnswered(other.address, other.id, "127.0.0.1")]

    run(scenario())


def test_the_first_message_may_be_the_largest_in_both_directions() -> None:
    """Behind the last frame of a handshake, in the same segment: the small limit must be lifted by then."""

    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        largest = b"x" * QUICK.message_bytes_max
        async with started(one, other):
            one.p2p.dial(other.address)
            for sender, receiver in ((one, other), (other, one)):
                await sender.up()
                assert sender.p2p.send(receiver.id, largest)
            assert await one.frame() == largest
            assert await other.frame() == largest

    run(scenario())


@pytest.mark.parametrize("attempt", range(5))
def test_a_simultaneous_dial_leaves_one_connection(attempt: int) -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        async with started(one, other):
            one.p2p.dial(other.address)
            other.p2p.dial(one.address)
            ups = (await one.up(), await other.up())
            assert ups[0].inbound != ups[1].inbound  # the same connection, seen from both ends
            await _settled(one)
            await _settled(other)
            for sender, receiver in ((one, other), (other, one)):
                assert sender.p2p.send(receiver.id, b"hello")
                assert await receiver.frame() == b"hello"  # and no PeerDown, no second PeerUp before it

    run(scenario())


def test_small_messages_are_not_held_back_on_either_side() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        async with started(one, other):
            await pair(one, other)
            for node, peer in ((one, other), (other, one)):
                link = node.p2p._sessions.roster.find(peer.id)
                assert link is not None
                socket = link.socket.transport.get_extra_info("socket")
                assert socket.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY)

    run(scenario())


async def _settled(node: Node) -> None:
    """Until the node's only dial has found that there is a connection."""
    while node.p2p.dials()[0].phase != "connected":
        await asyncio.sleep(0)


def test_five_nodes_that_all_dial_all_have_one_connection_each() -> None:
    async def scenario() -> None:
        nodes = [Node(SigningKey(bytes([40 + number]) * 32)) for number in range(5)]
        async with started(*nodes):
            for one in nodes:
                for other in nodes:
                    one.p2p.dial(other.address)  # itself too
            for one in nodes:
                found = {(await one.up()).peer_id for _ in range(4)}
                assert found == {other.id for other in nodes} - {one.id}
            for one in nodes:
                for other in nodes:
                    assert one.p2p.send(other.id, one.id) == (one is not other)
            for one in nodes:
                heard: set[bytes] = set()
                while len(heard) < 4:
                    event = await one.next()
                    assert not isinstance(event, PeerUp | PeerDown), event
                    if isinstance(event, FrameReceived):
                        heard.add(event.data)

    run(scenario())


def test_a_peer_that_restarts_is_found_again() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        await other.p2p.start()
        port = other.p2p.port
        async with started(one):
            await pair(one, other)
            await other.p2p.stop()
            assert (await one.down()).why == "the peer closed: this node is stopping"
            again = Node(KEYS[1], port=port)
            async with started(again):
                assert (await one.up()).peer_id == other.id
                assert one.p2p.send(other.id, b"back")
                await again.up()
                assert await again.frame() == b"back"

    run(scenario())


def test_the_start_order_does_not_matter() -> None:
    async def scenario() -> None:
        with sockets.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        one = Node(KEYS[0])
        async with started(one):
            one.p2p.dial(f"127.0.0.1:{port}")
            assert await one.failure()
            assert one.p2p.dials()[0].failures >= 1
            assert one.p2p.dials()[0].why
            late = Node(KEYS[1], port=port)
            async with started(late):
                assert (await one.up()).peer_id == late.id

    run(scenario())


def test_a_peer_that_lost_its_connection_without_a_word_replaces_it() -> None:
    """The old one is still open here, as after a broken network; PeerDown comes before the new PeerUp."""

    async def scenario() -> None:
        node = Node(KEYS[3])
        async with started(node):
            old = await raw_dial(node, KEYS[0])
            await node.up()
            new = await raw_dial(node, KEYS[0])
            assert "replaced" in (await node.down()).why
            await node.up()
            assert node.p2p.send(bytes(KEYS[0].public_key), b"to the new one")
            assert await new.receive() == b"to the new one"
            with pytest.raises(ChannelClosed, match="replaced"):
                await old.receive()
            await old.socket.close()
            await new.socket.close()

    run(scenario())


def test_a_fresh_dial_of_the_smaller_id_stands_against_one_from_outside() -> None:
    async def scenario() -> None:
        small, large = Node(KEYS[0]), Node(KEYS[1])
        async with started(small, large):
            await pair(small, large)
            with pytest.raises(HandshakeFailed) as caught:
                await raw_dial(small, KEYS[1])
            assert caught.value.why == "already connected"
            assert small.p2p.send(large.id, b"still here")
            assert await large.frame() == b"still here"

    run(scenario())


def test_two_addresses_of_one_node_give_one_connection() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        async with started(one, other):
            await pair(one, other)
            one.p2p.dial(f"localhost:{other.p2p.port}")
            while one.p2p.dials()[1].phase != "connected":
                await asyncio.sleep(0)
            second = DialAnswered(f"localhost:{other.p2p.port}", other.id, one.events.answered[1].remote)
            assert one.events.answered[1] == second and is_loopback(second.remote)
            assert one.p2p.send(other.id, b"once")
            assert await other.frame() == b"once"

    run(scenario())


def test_the_own_address_is_recognised() -> None:
    async def scenario() -> None:
        node = Node(KEYS[0])
        async with started(node):
            node.p2p.dial(node.address)
            assert "own_id" in await node.failure()
            assert node.p2p.dials()[0].phase == "self"

    run(scenario())


def test_an_address_that_is_none_is_tried_once_and_remembered() -> None:
    async def scenario() -> None:
        node = Node(KEYS[0])
        async with started(node):
            assert node.p2p.dial("no address")
            assert "host:port" in await node.failure()
            assert node.p2p.dials()[0].phase == "impossible"

    run(scenario())


def test_dials_are_bounded_and_forgotten() -> None:
    async def scenario() -> None:
        node, other = Node(KEYS[0], limits=replace(QUICK, dials_max=1)), Node(KEYS[1])
        async with started(node, other):
            await pair(node, other)
            assert node.p2p.dial(other.address)  # the same again is no second one
            assert not node.p2p.dial("127.0.0.1:1")
            node.p2p.forget(other.address)
            assert node.p2p.dials() == []
            assert node.p2p.send(other.id, b"the connection stays")
            assert await other.frame() == b"the connection stays"
            node.p2p.close_peer(other.id, "enough")
            assert (await node.down()).why == "enough"
            assert (await other.down()).why == "the peer closed: enough"

    run(scenario())


def test_a_port_in_use_is_said_clearly() -> None:
    async def scenario() -> None:
        one = Node(KEYS[0])
        async with started(one):
            with pytest.raises(PortInUse) as caught:
                await Node(KEYS[1], port=one.p2p.port).p2p.start()
            assert caught.value.port == one.p2p.port

    run(scenario())


def test_a_host_that_is_not_this_machine_is_said_clearly() -> None:
    async def scenario() -> None:
        with pytest.raises(ConfigError, match=r"203\.0\.113\.1"):
            await Node(KEYS[0], host="203.0.113.1").p2p.start()  # RFC 5737: nobody's

    run(scenario())


@pytest.mark.parametrize("host", ["localhost", "::", "0.0.0.0"])
def test_it_listens_where_it_is_told(host: str) -> None:
    async def scenario() -> None:
        node = Node(KEYS[0], host=host)
        async with started(node):
            wanted = ["127.0.0.1"] + (["::1"] if host != "0.0.0.0" and _has_ipv6() else [])
            for ip in wanted:
                _, writer = await asyncio.open_connection(ip, node.p2p.port)
                writer.close()
                await writer.wait_closed()

    run(scenario())


def _has_ipv6() -> bool:
    try:
        with sockets.create_server(("::1", 0), family=sockets.AF_INET6):
            return "::1" in {info[4][0] for info in sockets.getaddrinfo("localhost", 0)}
    except OSError:
        return False


def test_nothing_secret_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        async with started(one, other):
            await pair(one, other)
            one.p2p.send(other.id, b"attack at dawn")
            await other.frame()

    with caplog.at_level(logging.DEBUG):
        run(scenario())
    assert caplog.records
    assert not any(word in caplog.text for word in ("attack", KEYS[0].seed.hex(), repr(KEYS[0].seed)))
