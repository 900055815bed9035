"""A limit: how long a message takes from one process to another over a loopback WebSocket, as nodes use it.

The same library with the same options as between nodes, and nothing else: no encryption, no protocol. The other process
sends back what it gets, and a hop is half of the way there and back.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from benchmarks.apart import Pipe, apart
from blockchain.primitives.host_port import HostPort
from blockchain.runtime.peer_events import P2PLimits
from blockchain.runtime.websocket import Listener, allow_messages, open_websocket

_LIMITS = P2PLimits()
_HOST = "127.0.0.1"
_LOG = logging.getLogger("benchmarks.hops")


class Hops:
    """A connection to a process that sends everything back."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def seconds(self, size: int, count: int) -> float:
        """One hop of a message of `size` bytes, the mean of `count` ways there and back, in seconds."""
        message = os.urandom(size)
        begun = perf_counter()
        for _ in range(count):
            await self._socket.send(message)
            await self._socket.recv()
        return (perf_counter() - begun) / count / 2


@asynccontextmanager
async def hops() -> AsyncIterator[Hops]:
    """While it is open, its process is there."""
    with apart(_serve) as pipe:
        socket = await open_websocket(HostPort(_HOST, pipe.hear(int)), _LIMITS, _LOG)
        allow_messages(socket, _LIMITS)
        try:
            yield Hops(socket)
        finally:
            await socket.close()


def _serve(pipe: Pipe) -> None:
    asyncio.run(_listen(pipe))


async def _listen(pipe: Pipe) -> None:
    listener = Listener(_LIMITS, _send_back, lambda _: False, _LOG)
    pipe.tell(await listener.start(_HOST, 0))
    await asyncio.to_thread(pipe.wait_closed)
    await listener.stop_accepting()
    await listener.wait_closed()


async def _send_back(connection: ServerConnection, _address: str) -> None:
    allow_messages(connection, _LIMITS)
    try:
        while True:
            await connection.send(await connection.recv())
    except ConnectionClosed:
        return
