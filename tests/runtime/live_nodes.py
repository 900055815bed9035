"""Nodes over real sockets on free ports. Tests wait on events, never on time; what goes wrong ends in a time-out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect

from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import (
    DialAnswered,
    DialFailed,
    FrameReceived,
    P2PLimits,
    PeerDown,
    PeerEvent,
    PeerEvents,
    PeerUp,
)
from tests.runtime.raw_peer import RawPeer, connect_raw, dial_raw

GENESIS = b"\x11" * 32
LOG = logging.getLogger("test-p2p")
QUICK = P2PLimits(retry_first_s=0.01, retry_max_s=0.05, handshake_s=5.0, close_s=0.5)
DEFAULT = P2PLimits()
KEYS = sorted((SigningKey(bytes([number]) * 32) for number in range(1, 5)), key=lambda key: key.public_key)


def p2p_on_a_free_port(
    key: SigningKey,
    genesis_hash: bytes,
    events: PeerEvents,
    limits: P2PLimits = DEFAULT,
    *,
    advertise: str | None = None,
    log: str = "blockchain.p2p",
) -> P2P:
    """Of this machine; without `events` (`functools.partial`) it is what a NodeService makes its P2P with."""
    return P2P(
        node_key=key,
        genesis_hash=genesis_hash,
        listen_host="127.0.0.1",
        listen_port=0,
        advertise=advertise,
        limits=limits,
        events=events,
        log=logging.getLogger(log),
    )


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
        events: Events | None = None,
    ) -> None:
        self.id = bytes(key.public_key)
        self.events = Events(inbox) if events is None else events
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
