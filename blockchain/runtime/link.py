"""One connection with a peer that proved who it is: reads, writes, and ends once, for one reason.

A frame goes to the inbox where it comes in, and what is to be sent leaves together at the end of the loop's turn: no
task gets a turn for it (docs/decisions/0020). Two tasks are for what cannot be done at once: the reader waits where the
inbox is full, so a peer that sends too fast is slowed down by its own socket; the writer where the socket takes no
more. Before it is a queue with two bounds (outgoing.py); a peer that does not read fast enough for them is cut. A link
may be ended before it is up: two nodes that dial each other find out in the middle of a handshake (roster.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from functools import partial
from typing import TypeVar

from websockets.exceptions import ConnectionClosed

from blockchain.errors import ChannelClosed, PeerFault
from blockchain.runtime.handshake import Peer
from blockchain.runtime.outgoing import Outgoing
from blockchain.runtime.peer_events import FrameReceived, P2PLimits, PeerDown, PeerEvents, PeerEventsNow, PeerUp
from blockchain.runtime.secure_channel import SecureChannel, printable
from blockchain.runtime.websocket import PeerConnection, wait_silence

T = TypeVar("T")


class Ended(Exception):
    """A link was ended while something waited on it; does not leave the runtime."""


class Link:
    """Made inside the event loop, when the peer has proved who it is; `run` it when both sides want it."""

    def __init__(
        self,
        socket: PeerConnection,
        channel: SecureChannel,
        peer: Peer,
        address: str,
        is_inbound: bool,
        limits: P2PLimits,
    ) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self.socket = socket
        self.peer = peer
        self.remote = remote_ip(socket)
        self.is_inbound = is_inbound
        self.since = loop.time()
        self.up = PeerUp(peer.id, address, is_inbound, peer.advertised, peer.agent, self.remote)
        self.gone = asyncio.Event()  # nothing more will be told of it
        self.replaces: Link | None = None  # another one with this peer, that still has to tell that it is over
        self.closed = asyncio.Event()  # and its socket is closed
        self._channel = channel
        self._limits = limits
        self._ended: asyncio.Future[str] = loop.create_future()
        self._abandoned: asyncio.Future[None] = loop.create_future()
        self._is_cut = False
        self._is_told = False
        self._outgoing = Outgoing()  # bounded by offer()
        self._is_writing_due = True  # at once, when it runs: nothing may leave before the end of the handshake
        self._has_outgoing = asyncio.Event()  # that the socket did not take at once
        self._opened: FrameReceived | None = None  # out of the next frame that the reader gets

    @property
    def why(self) -> str:
        """Why it ended; empty while it has not."""
        return self._ended.result() if self._ended.done() else ""

    def offer(self, message: bytes) -> bool:
        """Queue a message; False, and the link is cut, when the peer reads too slowly for the limits."""
        if self._ended.done():
            return False
        waiting_bytes = self._outgoing.bytes + len(message)
        if len(self._outgoing) >= self._limits.outgoing_messages_max or waiting_bytes > self._limits.outgoing_bytes_max:
            self.cut(f"slow reader: {len(self._outgoing)} messages, {self._outgoing.bytes} bytes wait for it")
            return False
        self._outgoing.put(message)
        if not self._is_writing_due:
            self._is_writing_due = True
            self._loop.call_soon(self._write_now)
        return True

    def end(self, why: str) -> None:
        """End it with a good-bye; the first reason counts."""
        if not self._ended.done():
            self._ended.set_result(why)

    def cut(self, why: str) -> None:
        """End it without a good-bye: for a peer that would not read one."""
        if not self._ended.done():
            self._is_cut = True
        self.end(why)

    def abandon(self, why: str) -> None:
        """End it, and do not wait for room in the inbox to tell so: its reader may be gone."""
        self.end(why)
        if not self._abandoned.done():
            self._abandoned.set_result(None)

    async def unless_ended(self, work: Coroutine[None, None, T]) -> T:
        """The result of `work`; raises Ended, and stops the work, when the link is ended first."""
        task = asyncio.create_task(work)
        try:
            waiting: set[asyncio.Future[T] | asyncio.Future[str]] = {task, self._ended}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                raise Ended(self.why)
            return task.result()
        finally:
            await _stop(task)

    async def replaced_is_gone(self) -> None:
        """Wait for the links that this one replaces, so that their PeerDown comes before its PeerUp."""
        while self.replaces is not None:
            await self.replaces.gone.wait()
            self.replaces = self.replaces.replaces

    async def run(self, events: PeerEvents) -> None:
        """Tell PeerUp, every message, and PeerDown; returns when all of it is told."""
        self._loop.call_soon(self._write_now)
        reader = asyncio.create_task(self._read(events))
        writer = asyncio.create_task(self._write())
        watcher = asyncio.create_task(self._watch())
        try:
            await self._until_ended(reader, writer)
        finally:
            self.end("an internal error")  # no effect unless something above raised
            await _stop(reader, writer, watcher)
            self.socket.take_now = None
            if self._is_told:
                await self._tell_down(events)

    async def _until_ended(self, reader: asyncio.Task[str], writer: asyncio.Task[None]) -> None:
        waiting: set[asyncio.Future[str] | asyncio.Future[None]] = {reader, writer, self._ended}
        while not self._ended.done():
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if writer in waiting and writer.done():
                writer.result()  # raises what it raised; else the socket is closed, and the reader says why
                waiting.discard(writer)
            if reader.done():
                self.end(reader.result())

    async def _read(self, events: PeerEvents) -> str:
        await events.put(self.up)
        self._is_told = True
        if isinstance(events, PeerEventsNow):
            self.socket.take_now = partial(self._take_now, events)
        try:
            while True:
                frame = await receive_binary(self.socket)
                received, self._opened = self._opened, None
                await events.put(received or FrameReceived(self.peer.id, self._channel.open(frame)))
        except ChannelClosed as error:
            return f"the peer closed: {error.why}" if self._channel.is_finished_by_peer else error.why
        except PeerFault as error:
            return error.why
        except ConnectionClosed as error:
            return describe_closed(error)

    def _take_now(self, events: PeerEventsNow, frame: bytes) -> bool:
        """Take a frame that has none before it; False: the reader does, and waits for room."""
        if self._ended.done():
            return False
        try:
            received = FrameReceived(self.peer.id, self._channel.open(frame))
        except ChannelClosed:
            return False  # the reader finds the same, and says why
        if events.put_now(received):
            return True
        self._opened = received
        return False

    def _write_now(self) -> None:
        """Write what waits, in one piece; what the socket does not take at once is the writer's."""
        self._is_writing_due = False
        if self._ended.done():
            return
        sealed: list[bytes] = []
        room = self.socket.room_now()
        with contextlib.suppress(ChannelClosed):  # the reader sees the same, and says why
            while room > 0 and self._outgoing:
                sealed.append(self._channel.seal(self._outgoing.take()))
                room -= len(sealed[-1])
        if sealed:
            self.socket.write_now(sealed)
        if self._outgoing:
            self._has_outgoing.set()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionClosed, ChannelClosed):  # the reader sees the same, and says why
            while True:
                await self._has_outgoing.wait()
                while self._outgoing:
                    await self.socket.send(self._channel.seal(self._outgoing.take()))
                self._has_outgoing.clear()

    async def _watch(self) -> None:
        await wait_silence(self.socket, self._limits.silence_s)
        self.cut(f"silent for {self._limits.silence_s:g} s")

    async def _tell_down(self, events: PeerEvents) -> None:
        telling = asyncio.create_task(events.put(PeerDown(self.peer.id, self.why)))
        try:
            await asyncio.wait({telling, self._abandoned}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _stop(telling)

    async def say_goodbye(self) -> None:
        """Close the socket, after a final frame where the peer may still read one; bounded by `close_s`."""
        try:
            if not self._is_cut:
                with contextlib.suppress(ConnectionClosed, ChannelClosed, TimeoutError):
                    async with asyncio.timeout(self._limits.close_s):
                        await self.socket.send(self._channel.final(self.why))
                        await self.socket.close()
        finally:  # also where this node stops meanwhile
            self.socket.transport.abort()
            self.closed.set()


def remote_ip(socket: PeerConnection) -> str:
    """The IP address at the other end; empty when the connection is gone already."""
    peername = socket.transport.get_extra_info("peername")
    return str(peername[0]) if peername else ""


async def receive_binary(socket: PeerConnection) -> bytes:
    """The next binary frame; raises PeerFault for a text frame, and ConnectionClosed."""
    frame = await socket.receive()
    if isinstance(frame, str):
        raise PeerFault("text_frame", "the peer sent a text frame")
    return frame


def describe_closed(error: ConnectionClosed) -> str:
    """A line on a connection that ended without a final frame; what the peer wrote in it is made printable."""
    return "cut off: " + printable(str(error).encode("ascii", "replace"))


async def _stop(*tasks: asyncio.Task[T]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
