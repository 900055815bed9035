"""Who is let in, over real sockets: the chain, admission, bans, browsers, silent strangers, and how many."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from blockchain.errors import HandshakeFailed
from blockchain.runtime.handshake import Handshake, Identity, Role
from blockchain.runtime.peer_events import (
    P2PLimits,
)
from blockchain.seams import PeerId
from tests.runtime.live_nodes import GENESIS, KEYS, LOG, QUICK, Node, pair, raw_connect, raw_dial, started
from tests.runtime.scenarios import run, until

pytestmark = pytest.mark.usefixtures("each_loop")


def test_a_dialler_of_another_chain_says_both_chains() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1], genesis_hash=b"\x22" * 32)
        async with started(one, other):
            one.p2p.dial(other.address)
            why = await one.failure()
            assert "other_chain" in why
            assert "1111111111111111, the peer on chain 2222222222222222" in why
            assert other.events.empty()

    run(scenario())


def test_another_node_than_the_one_dialled_is_left_alone() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        async with started(one, other):
            one.p2p.dial(other.address, bytes(KEYS[2].public_key))
            assert "other_id" in await one.failure()
            assert other.events.empty()

    run(scenario())


def test_a_node_that_is_not_admitted_is_told_so() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1], admitted=frozenset({bytes(KEYS[2].public_key)}))
        async with started(one, other):
            one.p2p.dial(other.address)
            assert "not_admitted" in await one.failure()
            assert other.events.empty()

    run(scenario())


def test_a_node_that_is_not_admitted_is_not_dialled_either() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0], admitted=frozenset({bytes(KEYS[2].public_key)})), Node(KEYS[1])
        async with started(one, other):
            one.p2p.dial(other.address)
            assert "not_admitted" in await one.failure()
            assert other.events.empty()

    run(scenario())


def test_nodes_that_admit_each_other_connect() -> None:
    async def scenario() -> None:
        admitted = frozenset(bytes(key.public_key) for key in KEYS[:2])
        one, other = (Node(key, admitted=admitted) for key in KEYS[:2])
        async with started(one, other):
            await pair(one, other)

    run(scenario())


def test_who_is_banned_is_refused_in_the_handshake_and_not_dialled() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        async with started(one, other):
            other.p2p.bans.blame(PeerId(one.id), "127.0.0.1", "bad_signature", "why")
            with pytest.raises(HandshakeFailed) as caught:
                await raw_dial(other, KEYS[0])
            assert (caught.value.reason, caught.value.why) == ("refused", "banned")
            other.p2p.dial(one.address)
            assert "is banned for a while" in await other.failure()
            assert one.events.empty() and other.events.empty()

    run(scenario())


def test_a_banned_address_is_refused_at_the_gate() -> None:
    async def scenario() -> None:
        node = Node(KEYS[0])
        node.p2p._listener.gate._is_banned = lambda source: source == "127.0.0.1"
        async with started(node):
            with pytest.raises(InvalidStatus) as caught:
                await raw_dial(node, KEYS[1])
            assert caught.value.response.status_code == 503
            assert caught.value.response.body == b"banned for a while\n"

    run(scenario())


def test_a_refused_node_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        node = Node(KEYS[0], admitted=frozenset({bytes(KEYS[3].public_key)}))
        async with started(node):
            for key in (KEYS[1], KEYS[1], KEYS[2], KEYS[1]):
                with pytest.raises(ConnectionClosed):
                    await raw_dial(node, key)

    with caplog.at_level(logging.INFO, logger=LOG.name):
        run(scenario())
    refused = [record.message for record in caplog.records if "not_admitted" in record.message]
    assert [key.public_key[:8].hex() in line for key, line in zip(KEYS[1:3], refused, strict=True)] == [True, True]


def test_a_browser_is_refused() -> None:
    async def scenario() -> None:
        node = Node(KEYS[0])
        async with started(node):
            with pytest.raises(InvalidStatus) as caught:
                await connect(f"ws://{node.address}/", origin=Origin("https://example.org"), proxy=None)
            assert caught.value.response.status_code == 403

    run(scenario())


def test_no_compression_is_agreed_to() -> None:
    """Else a frame of a few bytes could be one of gigabytes, before anybody has proved who he is."""

    async def scenario() -> None:
        node = Node(KEYS[0])
        async with started(node), connect(f"ws://{node.address}/", compression="deflate", proxy=None) as socket:
            assert socket.protocol.extensions == []

    run(scenario())


async def _closed(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(1000):
            pass
    except ConnectionError:
        return


def test_a_silent_connection_is_closed_after_the_deadline() -> None:
    async def scenario() -> None:
        node = Node(KEYS[0], limits=replace(QUICK, handshake_s=0.05))
        async with started(node):
            reader, writer = await asyncio.open_connection("127.0.0.1", node.p2p.port)
            await _closed(reader)  # says nothing at all
            writer.close()
            async with raw_connect(node) as socket:
                with pytest.raises(ConnectionClosed):
                    await socket.recv()  # speaks WebSocket, and then nothing
            async with raw_connect(node) as socket:
                handshake = Handshake(Role.DIALLER, Identity(KEYS[1], GENESIS), b"\x01" * 32, b"\x02" * 32)
                await socket.send(handshake.send()[0])
                await socket.recv()
                await socket.recv()
                with pytest.raises(ConnectionClosed):
                    await socket.recv()  # says hello, and never proves it
            assert node.events.empty()

    run(scenario())


def test_a_listener_that_stays_silent_is_given_up() -> None:
    async def scenario() -> None:
        async def silent(socket: ServerConnection) -> None:
            await socket.wait_closed()

        node = Node(KEYS[0], limits=replace(QUICK, handshake_s=0.05))
        async with started(node), serve(silent, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            node.p2p.dial(f"127.0.0.1:{port}")
            assert "no handshake within 0.05 s" in await node.failure()

    run(scenario())


@pytest.mark.parametrize(
    "frame, code",
    [(b"x" * 513, 1009), (b"garbage", 1008), ("text", 1008)],
    ids=["too long", "garbage", "text"],
)
def test_a_stranger_that_sends_anything_else_is_closed(frame: bytes | str, code: int) -> None:
    """1009: the frame was not even taken into memory."""

    async def scenario() -> None:
        node = Node(KEYS[0])
        async with started(node):
            async with raw_connect(node) as socket:
                await socket.send(frame)
                with pytest.raises(ConnectionClosed) as caught:
                    await socket.recv()
                assert caught.value.rcvd is not None
                assert caught.value.rcvd.code == code
            assert node.events.empty()

    run(scenario())


def test_connections_are_bounded_in_all_and_for_one_address() -> None:
    async def refusal(limits: P2PLimits) -> str:
        node, more = Node(KEYS[0], limits=limits), Node(KEYS[2])
        async with started(node, more):
            peer = await raw_dial(node, KEYS[1])
            more.p2p.dial(node.address)
            why = await more.failure()
            peer.vanish()  # and there is room again
            await more.up()
            return why

    async def scenario() -> None:
        assert "503 too many connections" in await refusal(replace(QUICK, inbound_max=1))
        assert "too many connections from this address" in await refusal(replace(QUICK, inbound_per_ip_max=1))

    run(scenario())


def test_handshakes_in_progress_are_bounded() -> None:
    async def scenario() -> None:
        node = Node(KEYS[0], limits=replace(QUICK, handshakes_max=1))
        async with started(node):
            async with raw_connect(node):  # silent
                with pytest.raises(InvalidStatus):
                    await raw_connect(node)
            await until(lambda: not node.p2p._listener.gate.connections())
            peer = await raw_dial(node, KEYS[1])
            await node.up()
            await (await raw_dial(node, KEYS[2])).socket.close()  # one that is up is in no handshake
            await peer.socket.close()

    run(scenario())
