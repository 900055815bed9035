"""Messages between two P2P shells that are taken where they come in, and leave together; over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from blockchain.runtime.handshake import Peer
from blockchain.runtime.link import Link
from blockchain.runtime.peer_events import FrameReceived
from blockchain.runtime.secure_channel import SecureChannel
from blockchain.runtime.websocket import PeerConnection
from tests.runtime.live_nodes import KEYS, QUICK, Events, Node, pair, raw_dial, started
from tests.runtime.scenarios import run

pytestmark = pytest.mark.usefixtures("each_loop")


class Picky(Events):
    """Takes frames at once, but those that end with "!", and none while one waits to be put."""

    def __init__(self) -> None:
        super().__init__(1)
        self.at_once: list[bytes] = []

    def put_now(self, event: FrameReceived) -> bool:
        if event.data.endswith(b"!") or self.full():
            return False
        self.at_once.append(event.data)
        self.put_nowait(event)
        return True


def picky() -> tuple[Node, Picky]:
    events = Picky()
    return Node(KEYS[0], events=events), events


def test_messages_keep_their_order_whichever_way_they_take() -> None:
    async def scenario() -> None:
        node, events = picky()
        async with started(node):
            peer = await raw_dial(node, KEYS[1])
            await node.up()
            await peer.send(b"0")
            assert await node.frame() == b"0" and events.at_once == [b"0"]
            said = [b"%d%s" % (number, b"!" if number % 7 == 0 else b"") for number in range(100)]
            for one in said:
                await peer.send(one)
            assert [await node.frame() for _ in said] == said
            await peer.send(b"at once again")
            assert await node.frame() == b"at once again" == events.at_once[-1]
            assert not {one for one in events.at_once if one.endswith(b"!")}
            await peer.socket.close()

    run(scenario())


def test_a_message_in_fragments_has_its_place_in_the_order() -> None:
    async def scenario() -> None:
        node, events = picky()
        async with started(node):
            peer = await raw_dial(node, KEYS[1])
            await node.up()
            sealed = peer.channel.seal(b"in two pieces")
            await peer.socket.send([sealed[:5], sealed[5:]])
            await peer.send(b"whole")
            assert [await node.frame(), await node.frame()] == [b"in two pieces", b"whole"]
            assert b"in two pieces" not in events.at_once
            await peer.socket.close()

    run(scenario())


def test_what_a_turn_sends_to_a_peer_leaves_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    write_now = PeerConnection.write_now

    def counting(self: PeerConnection, messages: Sequence[bytes]) -> None:
        written.append(len(messages))
        write_now(self, messages)

    async def scenario() -> None:
        one, other = Node(KEYS[0]), Node(KEYS[1])
        async with started(one, other):
            await pair(one, other)
            monkeypatch.setattr(PeerConnection, "write_now", counting)
            said = [b"%d" % number for number in range(10)]
            assert all(one.p2p.send(other.id, message) for message in said)
            assert [await other.frame() for _ in said] == said
            assert written == [len(said)]

    run(scenario())


def test_more_than_the_socket_takes_arrives_in_order_too() -> None:
    async def scenario() -> None:
        limits = replace(QUICK, write_buffer_bytes_max=1_000, outgoing_bytes_max=2**30)
        one, other = Node(KEYS[0], limits=limits), Node(KEYS[1])
        async with started(one, other):
            await pair(one, other)
            said = [b"%03d" % number * 1_000 for number in range(300)]
            for number, message in enumerate(said):
                assert one.p2p.send(other.id, message)
                if number % 50 == 0:
                    await asyncio.sleep(0)
            assert [await other.frame() for _ in said] == said

    run(scenario())


def test_nothing_leaves_before_the_handshake_is_over() -> None:
    async def scenario() -> None:
        channel = SecureChannel(send_key=bytes(32), receive_key=bytes(32))
        nowhere = cast(PeerConnection, SimpleNamespace(transport=asyncio.Transport()))  # which writes nothing
        link = Link(nowhere, channel, Peer(bytes(32), "", "agent"), "", True, QUICK)
        assert link.offer(b"too early")
        await asyncio.sleep(0)
        first = channel.seal(b"the first that is sealed")
        assert len(first) > len(channel.seal(b"the first that is sealed")), "it has the header"

    run(scenario())
