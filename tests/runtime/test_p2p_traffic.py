"""Peers that are up, over real sockets: who breaks the rules, is silent or slow, or is not heard in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from blockchain.runtime.peer_events import (
    P2PLimits,
)
from blockchain.runtime.websocket import CONTROL_FRAMES_MAX, PART_BYTES, PeerConnection
from tests.runtime.live_nodes import KEYS, QUICK, Node, pair, raw_connect, raw_dial, started
from tests.runtime.raw_peer import RawPeer
from tests.runtime.scenarios import run

pytestmark = pytest.mark.usefixtures("each_loop")


@pytest.mark.parametrize(
    ("misdeed", "why"),
    [
        (lambda peer: peer.send(b"x" * (QUICK.message_bytes_max + 100)), "1009"),
        (lambda peer: peer.socket.send(b"not sealed"), "not what the peer sealed"),
        (lambda peer: peer.socket.send("text"), "text frame"),
        (lambda peer: peer.socket.close(), "cut off"),
    ],
    ids=["oversize", "garbage", "text", "closed without a final frame"],
)
def test_a_peer_that_breaks_the_rules_goes_down_for_it(
    misdeed: Callable[[RawPeer], Coroutine[None, None, None]], why: str
) -> None:
    async def scenario() -> None:
        node = Node(KEYS[0])
        async with started(node):
            peer = await raw_dial(node, KEYS[1])
            await node.up()
            await peer.send(b"before")
            assert await node.frame() == b"before"
            try:
                await misdeed(peer)
            except ConnectionClosed:
                assert why == "1009"  # cut while it was still sending
            assert why in (await node.down()).why
            await peer.socket.close()

    run(scenario())


def test_a_peer_that_vanished_without_a_word_is_cut_and_one_that_lives_is_not() -> None:
    async def scenario() -> None:
        limits = replace(QUICK, silence_s=0.4, ping_interval_s=0.1)
        node, other = Node(KEYS[0], limits=limits), Node(KEYS[2], limits=limits)
        async with started(node, other):
            await pair(node, other)
            peer = await raw_dial(node, KEYS[1])
            await node.up()
            peer.socket.transport.pause_reading()  # it answers no ping from here on
            down = await node.down()
            assert (down.peer_id, down.why) == (bytes(KEYS[1].public_key), "silent for 0.4 s")
            assert node.p2p.send(other.id, b"still there")
            assert await other.frame() == b"still there"
            peer.vanish()

    run(scenario())


def test_time_in_which_a_node_does_not_read_is_no_silence_of_its_peer() -> None:
    async def scenario() -> None:
        limits = replace(QUICK, silence_s=0.2)
        busy, idle = Node(KEYS[0], limits=limits, inbox=1), Node(KEYS[1], limits=replace(limits, silence_s=0.8))
        async with started(busy, idle):
            silent, peer = await raw_dial(idle, KEYS[3]), await raw_dial(busy, KEYS[2])
            while busy.p2p.send(peer_id := bytes(KEYS[2].public_key), b"?") is False:
                await asyncio.sleep(0)
            for number in range(2 * limits.incoming_frames_max + 8):
                await peer.send(b"%d" % number)  # nobody takes these: the node stops reading, with some still to read
            await idle.up()
            assert (await idle.down()).why == "silent for 0.8 s"  # so long the other was not read
            assert busy.p2p.send(peer_id, b"!")
            peer.vanish()
            silent.vanish()

    run(scenario())


@pytest.mark.parametrize(
    "limits",
    [replace(QUICK, outgoing_messages_max=8), replace(QUICK, outgoing_bytes_max=2_000_000)],
    ids=["messages", "bytes"],
)
def test_a_slow_reader_is_cut(limits: P2PLimits) -> None:
    async def scenario() -> None:
        node = Node(KEYS[0], limits=limits)
        async with started(node):
            peer = await raw_dial(node, KEYS[1])
            await node.up()
            peer.socket.transport.pause_reading()
            name = bytes(KEYS[1].public_key)
            sent = 0
            while node.p2p.send(name, bytes(500_000)):
                sent += 1
                await asyncio.sleep(0)  # the writer's turn: it fills the socket, then waits
            assert sent < 1000  # what the sockets of both sides hold, and what the limits allow
            assert "slow reader" in (await node.down()).why
            assert not node.p2p.send(name, b"gone")
            peer.vanish()

    run(scenario())


def test_a_message_that_no_peer_would_take_is_our_own_mistake() -> None:
    async def scenario() -> None:
        node = Node(KEYS[0])
        async with started(node):
            with pytest.raises(ValueError, match="allowed"):
                node.p2p.send(b"whoever", bytes(QUICK.message_bytes_max + 1))
            assert not node.p2p.send(b"whoever", b"")

    run(scenario())


def test_a_full_inbox_slows_the_sender_and_loses_nothing() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1], inbox=1)
        async with started(one, other):
            await pair(one, other)
            for number in range(300):
                assert one.p2p.send(other.id, b"%d" % number)
            assert other.events.maxsize == 1
            for number in range(300):
                assert await other.frame() == b"%d" % number

    run(scenario())


def test_stop_does_not_wait_for_an_inbox_that_nobody_empties() -> None:
    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1], inbox=1)
        async with started(one, other):
            one.p2p.dial(other.address)
            other.p2p.dial("127.0.0.1:1")  # its failures want into the inbox too
            await one.up()
            for _ in range(100):
                one.p2p.send(other.id, b"unread")
            while not other.events.full():
                await asyncio.sleep(0)

    run(scenario())


def test_stop_while_a_replaced_connection_still_waits_to_say_so() -> None:
    async def scenario() -> None:
        node = Node(KEYS[3], inbox=1)
        async with started(node):
            old = await raw_dial(node, KEYS[0])
            await node.up()
            await old.send(b"fills the inbox")
            while not node.events.full():
                await asyncio.sleep(0)
            late = asyncio.create_task(raw_dial(node, KEYS[0]))
            roster = node.p2p._sessions.roster
            while (link := roster.find(bytes(KEYS[0].public_key))) is None or link.replaces is None:
                await asyncio.sleep(0)
            late.cancel()
            await asyncio.gather(late, return_exceptions=True)
            old.vanish()

    run(scenario())


def small_frames(opcode: Opcode, count: int) -> bytes:
    """Without content, as the one who dialled sends them."""
    return Frame(opcode, b"").serialize(mask=True) * count


@pytest.mark.parametrize("opcode", [Opcode.PING, Opcode.PONG])
def test_who_pings_or_pongs_without_end_is_cut(opcode: Opcode) -> None:
    """Nobody has to take these, so nothing slows them down; uvloop reads eight megabytes of them in one turn."""

    async def scenario() -> None:
        node = Node(KEYS[0], limits=replace(QUICK, silence_s=0.4, ping_interval_s=0.05))  # it answers, so is not silent
        async with started(node):
            peer = await raw_dial(node, KEYS[1])
            await node.up()
            [connection] = node.p2p._listener.gate.connections()
            assert isinstance(connection, PeerConnection) and isinstance(peer.socket, PeerConnection)
            peer.socket.control_frames = -1_000_000  # the answers do not end it on its own side
            for _ in range(2):
                peer.socket.transport.write(small_frames(opcode, CONTROL_FRAMES_MAX // 2))
                await peer.send(b"more than honest")
                assert await node.frame() == b"more than honest"
                while connection.control_frames >= CONTROL_FRAMES_MAX // 2:  # until the next look
                    await asyncio.sleep(0.01)
            peer.socket.transport.write(small_frames(opcode, 1_000 * CONTROL_FRAMES_MAX))
            assert "cut off" in (await node.down()).why
            assert connection.control_frames < 2 * PART_BYTES, "no more of them were looked at"

    run(scenario())


def test_who_has_not_proved_who_it_is_is_cut_for_it_too() -> None:
    async def scenario() -> None:
        node = Node(KEYS[0], limits=replace(QUICK, handshake_s=60.0))
        async with started(node):
            socket = await raw_connect(node)
            socket.transport.write(small_frames(Opcode.PONG, 1_000 * CONTROL_FRAMES_MAX))
            await socket.wait_closed()
            assert node.events.empty()

    run(scenario())


def test_of_small_messages_only_as_many_are_looked_at_as_are_taken() -> None:
    async def scenario() -> None:
        node = Node(KEYS[0], inbox=1)
        async with started(node):
            peer = await raw_dial(node, KEYS[1])
            await node.up()
            [connection] = node.p2p._listener.gate.connections()
            said = [b"%d" % number for number in range(5_000)]
            sealed = [Frame(Opcode.BINARY, peer.channel.seal(one)).serialize(mask=True) for one in said]
            peer.socket.transport.write(b"".join(sealed))
            for one in said:
                assert await node.frame() == one
                assert len(connection.recv_messages.frames) <= PART_BYTES // len(sealed[0]) + QUICK.incoming_frames_max
            await peer.send(b"and then it is read again")
            assert await node.frame() == b"and then it is read again"

    run(scenario())
