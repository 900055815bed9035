"""Every link between the nodes of a network as a TCP proxy of the test's own, which cuts and heals it.

Node i dials node j at a port that stands for exactly this pair. So a link is known by its ends, and each of its
directions can be cut alone. Nothing goes past it as long as no node advertises where it really listens: nodes tell each
other of the ports at which they met somebody, so a connection is looked at as far as the dialler's hello, which says in
clear who that is, and ends where it is not the node whose link this is.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import permutations
from typing import Final

Pair = tuple[int, int]  # from the first node to the second

LOCAL: Final = "127.0.0.1"
_CHUNK_BYTES: Final = 65_536
_END_SECONDS: Final = 10.0
_HELLO_FRAME_BYTES: Final = 2 + 2 + 4 + 134  # opcode and length, extended length, mask, hello
_AT_ONCE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # struct linger: on, 0 s


class Cut(Enum):
    """How a direction of a link fails."""

    REFUSED = "refused"  # connections are reset, both ways, and new ones too: the machine is there, the way is closed
    SILENT = "silent"  # bytes are taken and lost; what lost some stays dead after the healing: a router that forgot
    HELD = "held"  # bytes wait, and go on after the healing: a cable pulled for no longer than TCP tries again


class Links:
    """Made and closed by `links`. Its public methods are for the test's thread."""

    def __init__(self, targets: list[int], ids: list[bytes]) -> None:
        """`targets`: the port at which each node really listens; `ids`: its node id."""
        self._targets = targets
        self._ids = ids
        self._servers = {pair: _listening() for pair in permutations(range(len(targets)), 2)}
        self._cut: dict[Pair, Cut] = {}
        self._tasks: dict[asyncio.Task[None], Pair] = {}  # one a connection, under who dialled whom
        self._loop = asyncio.new_event_loop()
        self._healed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="links", daemon=True)
        self._thread.start()

    def seeds(self, node: int, others: Collection[int] | None = None) -> str:
        """Where this node dials these others (None: all of them)."""
        pairs = [pair for pair in self._servers if pair[0] == node and (others is None or pair[1] in others)]
        ours = [self._servers[pair] for pair in pairs]
        return ",".join(f"{LOCAL}:{server.getsockname()[1]}" for server in ours)

    def cut(self, directions: Collection[Pair], how: Cut) -> None:
        """Let these directions fail, and no others, until `heal`."""
        self._call(lambda: self._set(dict.fromkeys(directions, how)))

    def heal(self) -> None:
        """All directions are good again; what a cut did to a connection stays done."""
        self._call(lambda: self._set({}))

    def close(self) -> None:
        """Every socket is closed, and the thread has ended, after this."""
        self._call(self._loop.stop)
        self._thread.join(_END_SECONDS)
        assert not self._thread.is_alive(), "the links' thread does not end"

    # ------------------------------------------------------------------------------------------- in their own thread

    def _call(self, work: Callable[[], None]) -> None:
        done = threading.Event()

        def do() -> None:
            work()
            done.set()

        self._loop.call_soon_threadsafe(do)
        assert done.wait(_END_SECONDS), "the links' thread does not answer"

    def _run(self) -> None:
        accepting = [self._loop.create_task(self._accept(*pair)) for pair in self._servers]
        try:
            self._loop.run_forever()
        finally:
            tasks = [*accepting, *self._tasks]
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            for server in self._servers.values():
                server.close()
            self._loop.close()

    def _set(self, cut: dict[Pair, Cut]) -> None:
        self._cut = cut
        self._healed.set()
        self._healed = asyncio.Event()
        for task, (source, target) in self._tasks.items():
            if self._fails(source, target, Cut.REFUSED):
                task.cancel()

    def _fails(self, one: int, other: int, how: Cut) -> bool:
        return how in (self._cut.get((one, other)), self._cut.get((other, one)))

    async def _accept(self, source: int, target: int) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._servers[source, target])
            client.setblocking(False)
            task = self._loop.create_task(self._connect(client, source, target))
            self._tasks[task] = (source, target)
            task.add_done_callback(self._tasks.pop)

    async def _connect(self, client: socket.socket, source: int, target: int) -> None:
        server = socket.socket()
        server.setblocking(False)
        try:
            while self._fails(source, target, Cut.HELD):
                await self._healed.wait()
            if self._fails(source, target, Cut.SILENT):  # TCP's own handshake needs both ways
                await self._swallow(client)
            elif not self._fails(source, target, Cut.REFUSED):
                await self._loop.sock_connect(server, (LOCAL, self._targets[target]))
                await self._introduce(client, server, source)
                async with asyncio.TaskGroup() as both:  # the end of either way is the end of the connection
                    both.create_task(self._forward(client, server, source, target))
                    both.create_task(self._forward(server, client, target, source))
        except* OSError:
            pass
        finally:
            _reset(client)
            _reset(server)

    async def _introduce(self, client: socket.socket, server: socket.socket, source: int) -> None:
        """Forward what comes up to the dialler's hello; raise ConnectionResetError when it is not this node's."""
        await self._loop.sock_sendall(server, await self._read(client, lambda raw: raw.endswith(b"\r\n\r\n")))
        await self._loop.sock_sendall(client, await self._read(server, lambda raw: raw.endswith(b"\r\n\r\n")))
        frame = await self._read(client, lambda raw: len(raw) >= _HELLO_FRAME_BYTES)
        if _dialler(frame) != self._ids[source]:
            raise ConnectionResetError
        await self._loop.sock_sendall(server, frame)

    async def _read(self, source: socket.socket, is_whole: Callable[[bytes], bool]) -> bytes:
        raw = b""
        while not is_whole(raw):
            chunk = await self._receive(source)
            if not chunk:
                raise ConnectionResetError
            raw += chunk
        return raw

    async def _forward(self, source: socket.socket, target: socket.socket, sender: int, receiver: int) -> None:
        """One way of a connection. Raises OSError when it is over, unless nobody would hear of that."""
        while chunk := await self._receive(source):
            while self._cut.get((sender, receiver)) is Cut.HELD:
                await self._healed.wait()
            if self._cut.get((sender, receiver)) is Cut.SILENT:
                await self._swallow(source)
                return
            await self._loop.sock_sendall(target, chunk)
        if self._cut.get((sender, receiver)) is not Cut.SILENT:
            raise ConnectionResetError

    async def _receive(self, source: socket.socket) -> bytes:
        """What has come; nothing when the other end is gone, in whichever way."""
        try:
            return await self._loop.sock_recv(source, _CHUNK_BYTES)
        except OSError:
            return b""

    async def _swallow(self, source: socket.socket) -> None:
        while await self._receive(source):
            pass


@contextmanager
def links(targets: list[int], ids: list[bytes]) -> Iterator[Links]:
    """A proxy for each ordered pair of the nodes that listen at these ports; all closed on leaving."""
    made = Links(targets, ids)
    try:
        yield made
    finally:
        made.close()


def between(some: Collection[int], others: Collection[int]) -> list[Pair]:
    """Both directions of every link between the two groups."""
    return [pair for one in some for other in others for pair in ((one, other), (other, one))]


def _dialler(frame: bytes) -> bytes:
    """The node id in a hello (docs/protocol.md §8.2), that comes in a masked frame of WebSocket (RFC 6455 §5.3)."""
    mask, hello = frame[4:8], frame[8:_HELLO_FRAME_BYTES]
    plain = bytes(byte ^ mask[index % 4] for index, byte in enumerate(hello))
    return plain[38:70]


def _listening() -> socket.socket:
    server = socket.create_server((LOCAL, 0))
    server.setblocking(False)
    return server


def _reset(end: socket.socket) -> None:
    """Close it without the wait that would hold its port."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    end.close()
