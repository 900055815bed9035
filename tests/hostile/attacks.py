"""What hostile clients do to one node's two ports, each for as long as it is let.

An attack is a coroutine that never ends by itself: it is cancelled, and leaves no socket behind. What a node refuses,
cuts or bans is no error here; what it must go on doing meanwhile is looked at elsewhere (`watch.py`). Attackers come
from as many addresses of this machine as they like (127.0.0.0/8; Linux has them all).
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from blockchain.errors import ChannelClosed, HandshakeFailed
from blockchain.node.messages import GetBlocks, encode_frame
from blockchain.primitives.crypto import Hash32, SigningKey
from blockchain.runtime.websocket import DialledConnection
from tests.runtime.raw_peer import RawPeer, dialling

SLOW_SOCKETS: Final = 500  # on each port
PEERS: Final = 1_000
BODIES: Final = 64
HEADS: Final = 64
CHURNERS: Final = 32
DEAF_PEERS: Final = 16
DEAF_CLIENTS: Final = 64
_DRIP_SECONDS: Final = 0.5
_PAUSE_SECONDS: Final = 0.05  # of one that was thrown out, before it comes again
_EXPECTED: Final = (OSError, EOFError, WebSocketException, HandshakeFailed, ChannelClosed, TimeoutError)
_PATH: Final = b"/api/v1/transaction/create/"


class Place(NamedTuple):
    """The node under attack."""

    node_port: int
    api_port: int
    genesis_hash: Hash32


Attack = Callable[[Place], Awaitable[None]]


def address(number: int) -> str:
    """One of 60,000 addresses of this machine, none of them 127.0.0.1."""
    return f"127.1.{number // 250 % 250}.{number % 250 + 1}"


async def slow_sockets(place: Place) -> None:
    """Five hundred on each port: a byte now and then of a head that never ends. From one address, and from many."""
    head = b"GET /api/v1/status/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: "

    async def once(number: int) -> None:
        port = place.api_port if number % 2 else place.node_port
        reader, writer = await _open(port, address(number // 16))
        try:
            writer.write(head)
            while not reader.at_eof() and not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(_DRIP_SECONDS)
        finally:
            writer.transport.abort()

    await _swarm(2 * SLOW_SOCKETS, once)


async def endless_bodies(place: Place) -> None:
    """Bodies that are said to be enormous, and chunks without an end."""

    async def once(number: int) -> None:
        reader, writer = await _open(place.api_port, address(number // 4))
        length = b"Content-Length: 999999999999" if number % 2 else b"Transfer-Encoding: chunked"
        chunk = bytes(65_536) if number % 2 else b"10000\r\n" + bytes(65_536) + b"\r\n"
        try:
            writer.write(_post(b"application/msgpack", length))
            while not reader.at_eof():
                writer.write(chunk)
                await writer.drain()
        finally:
            writer.transport.abort()

    await _swarm(BODIES, once)


async def bombs(place: Place) -> None:
    """Bodies that would be a gigabyte once unpacked, nested ones, and a WebSocket that asks for compression."""
    packed = gzip.compress(bytes(64 * 1024 * 1024))
    nested = b"[" * 500_000 + b"]" * 500_000
    bodies = ((b"Content-Encoding: gzip", packed), (b"X: y", nested), (b"Content-Encoding: deflate, gzip", packed))
    upgrade = (
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=15\r\n\r\n"
    )
    compressed = b"\xc2\xfe\xff\xff" + bytes(4) + bytes(65_535)

    async def once(number: int) -> None:
        if number % 4 == 3:
            await _say(place.node_port, number, upgrade + compressed)
            return
        extra, body = bodies[number % 4]
        head = _post(b"application/json", extra + b"\r\nContent-Length: %d" % len(body))
        await _say(place.api_port, number, head + body)

    await _swarm(16, once)


async def header_floods(place: Place) -> None:
    """Heads without an end, on both ports, as fast as they are taken."""
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"y" * 100) for number in range(500))

    async def once(number: int) -> None:
        port = place.api_port if number % 2 else place.node_port
        reader, writer = await _open(port, address(number // 4))
        try:
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            while not reader.at_eof():
                writer.write(lines)
                await writer.drain()
        finally:
            writer.transport.abort()

    await _swarm(HEADS, once)


async def many_peers(place: Place) -> None:
    """A thousand peers, each with an id and an address of its own, that stay for as long as they may."""

    async def once(number: int) -> None:
        peer = await _dial(place, number, address(number))
        try:
            while True:
                await peer.receive()
        finally:
            peer.vanish()

    await _swarm(PEERS, once, 1.0)


async def churn(place: Place) -> None:
    """Connections that come and go without a pause: half a handshake, a whole one, a request, nothing at all."""

    async def once(number: int) -> None:
        match number % 4:
            case 0:
                (await _dial(place, number, address(number))).vanish()
            case 1:
                await _say(place.node_port, number, b"GET / HTTP/1.1\r\n")
            case 2:
                await _say(place.api_port, number, b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            case _:
                _, writer = await _open(place.api_port, address(number))
                writer.transport.abort()

    await _swarm(CHURNERS, once, 0.0)


async def deaf(place: Place) -> None:
    """Peers that ask for blocks and never read them, and clients that ask for the largest answers and never read."""

    async def peer(number: int) -> None:
        deaf_one = await _dial(place, number, address(number))
        deaf_one.socket.transport.pause_reading()
        try:
            while True:
                await deaf_one.send(encode_frame(place.genesis_hash, GetBlocks(1, 100)))
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            deaf_one.vanish()

    async def client(number: int) -> None:
        _, writer = await _open(place.api_port, address(number // 4))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            while True:
                writer.write(b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 8)
                await writer.drain()
                await asyncio.sleep(_DRIP_SECONDS)
        finally:
            writer.transport.abort()

    await asyncio.gather(_swarm(DEAF_PEERS, peer), _swarm(DEAF_CLIENTS, client))


ATTACKS: Final[dict[str, Attack]] = {
    "slow_sockets": slow_sockets,
    "endless_bodies": endless_bodies,
    "bombs": bombs,
    "header_floods": header_floods,
    "many_peers": many_peers,
    "churn": churn,
    "deaf": deaf,
}


async def _swarm(count: int, once: Callable[[int], Awaitable[None]], pause: float = _PAUSE_SECONDS) -> None:
    """So many attackers, each of which comes again when it was thrown out."""

    async def again_and_again(number: int) -> None:
        while True:
            with suppress(*_EXPECTED):
                await once(number)
            await asyncio.sleep(pause)

    await asyncio.gather(*(again_and_again(number) for number in range(count)))


async def _open(port: int, source: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))


async def _say(port: int, number: int, words: bytes) -> None:
    """Say it, and read whatever comes."""
    reader, writer = await _open(port, address(number))
    try:
        writer.write(words)
        async with asyncio.timeout(10):
            await writer.drain()
            await reader.read(65_536)
    finally:
        writer.transport.abort()


async def _dial(place: Place, number: int, source: str) -> RawPeer:
    key = SigningKey(number.to_bytes(32, "big"))
    socket = await connect(
        f"ws://127.0.0.1:{place.node_port}/",
        compression=None,
        proxy=None,
        ping_interval=None,
        max_size=None,
        create_connection=DialledConnection,
        local_addr=(source, 0),
    )
    handshake = dialling(key, place.genesis_hash)
    try:
        while not handshake.is_done:
            for frame in handshake.send():
                await socket.send(frame)
            handshake.receive(await socket.recv(decode=False))
    except BaseException:
        socket.transport.abort()
        raise
    return RawPeer(socket, handshake.channel)


def _post(media_type: bytes, extra: bytes) -> bytes:
    return (
        b"POST "
        + _PATH
        + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
        + media_type
        + b"\r\n"
        + extra
        + b"\r\n\r\n"
    )
