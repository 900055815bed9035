"""Nodes over real sockets on free ports. Tests wait on events, never on time; what goes wrong ends in a time-out."""

from __future__ import annotations

import asyncio
import logging
import socket as sockets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Origin

from blockchain.errors import ChannelClosed, ConfigError, HandshakeFailed, PortInUse
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.bans import is_loopback
from blockchain.runtime.handshake import Handshake, Identity, Role
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import (
    DialAnswered,
    DialFailed,
    FrameReceived,
    P2PLimits,
    PeerDown,
    PeerEvent,
    PeerUp,
)
from blockchain.seams import PeerId
from tests.runtime.raw_peer import RawPeer, connect_raw, dial_raw
from tests.runtime.scenarios import run

GENESIS = b"\x11" * 32
LOG = logging.getLogger("test-p2p")
QUICK = P2PLimits(retry_first_s=0.01, retry_max_s=0.05, handshake_s=5.0, close_s=0.5)
KEYS = sorted((SigningKey(bytes([number]) * 32) for number in range(1, 5)), key=lambda key: key.public_key)


class Events(asyncio.Queue[PeerEvent]):
    """The events, and apart from them which dials were answered."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.answered: list[DialAnswered] = []

    async def put(self, item: PeerEvent) -> None:
        if isinstance(item, DialAnswered):
            self.answered.append(item)
        else:
            await super().put(item)


class Node:
    """A P2P with its queue of events, and what the tests ask of them."""

    def __init__(
        self,
        key: SigningKey,
        *,
        limits: P2PLimits = QUICK,
        genesis_hash: bytes = GENESIS,
        host: str = "127.0.0.1",
        port: int = 0,
        inbox: int = 1000,
        admitted: frozenset[bytes] | None = None,
    ) -> None:
        self.id = bytes(key.public_key)
        self.events = Events(inbox)
        self.p2p = P2P(
            node_key=key,
            genesis_hash=genesis_hash,
            listen_host=host,
            listen_port=port,
            advertise=None,
            limits=limits,
            events=self.events,
            log=LOG,
            admitted=admitted,
        )

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.p2p.port}"

    async def next(self) -> PeerEvent:
        return await self.events.get()

    async def up(self) -> PeerUp:
        """The next event that is no DialFailed; it must be a PeerUp."""
        while isinstance(event := await self.next(), DialFailed):
            pass
        assert isinstance(event, PeerUp), event
        return event

    async def down(self) -> PeerDown:
        event = await self.next()
        assert isinstance(event, PeerDown), event
        return event

    async def frame(self) -> bytes:
        event = await self.next()
        assert isinstance(event, FrameReceived), event
        return event.data

    async def failure(self) -> str:
        event = await self.next()
        assert isinstance(event, DialFailed), event
        return event.why


@asynccontextmanager
async def started(*nodes: Node) -> AsyncIterator[None]:
    for node in nodes:
        await node.p2p.start()
    try:
        yield
    finally:
        for node in nodes:
            await node.p2p.stop()


def raw_connect(node: Node) -> connect:
    return connect_raw(node.address)


async def raw_dial(node: Node, key: SigningKey, genesis_hash: bytes = GENESIS) -> RawPeer:
    return await dial_raw(node.address, key, genesis_hash)


async def pair(one: Node, other: Node) -> None:
    one.p2p.dial(other.address)
    assert (await one.up()).peer_id == other.id
    assert (await other.up()).peer_id == one.id


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
            peer = await raw_dial(node, KEYS[1])
            await (await raw_dial(node, KEYS[2])).socket.close()  # one that is up is in no handshake
            await peer.socket.close()

    run(scenario())


async def ping_for_ever(socket: ClientConnection) -> None:
    while True:
        await socket.ping(b"x" * 125)
        socket.pending_pings.clear()


def test_who_pings_and_never_reads_is_cut() -> None:
    async def scenario() -> None:
        node = Node(KEYS[0], limits=replace(QUICK, write_buffer_bytes_max=16 * 1024, message_bytes_max=1024))
        async with started(node):
            peer = await raw_dial(node, KEYS[1])
            await node.up()
            peer.socket.transport.pause_reading()
            with pytest.raises(ConnectionClosed):
                await ping_for_ever(peer.socket)
            await node.down()

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
