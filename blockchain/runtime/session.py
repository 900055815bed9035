"""From a WebSocket to a link that is up: the handshake, its deadline, and the roster's decision in its middle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Coroutine
from typing import Final, TypeVar

from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from blockchain.errors import HandshakeFailed, PeerFault
from blockchain.primitives.host_port import HostPort
from blockchain.runtime.bans import Bans
from blockchain.runtime.handshake import (
    EPHEMERAL_BYTES,
    NONCE_BYTES,
    Handshake,
    Identity,
    Peer,
    Role,
)
from blockchain.runtime.link import Ended, Link, describe_closed, receive_binary, remote_ip
from blockchain.runtime.peer_events import P2PLimits, PeerEvents
from blockchain.runtime.roster import ALREADY_CONNECTED, DuplicateConnection, Roster
from blockchain.runtime.websocket import PeerConnection, allow_messages, open_websocket
from blockchain.seams import PeerId

VISITED: Final = "dialled back"  # said to who was found there

T = TypeVar("T")


class Sessions:
    """Opens links in both directions, and runs them."""

    def __init__(
        self,
        identity: Identity,
        limits: P2PLimits,
        bans: Bans,
        events: PeerEvents,
        log: logging.Logger,
    ) -> None:
        self._identity = identity
        self._limits = limits
        self._bans = bans
        self._events = events
        self._log = log
        self._is_stopping = False
        self._running: set[Link] = set()  # bounded as the roster is
        self.roster = Roster(identity.node_key.public_key, limits.handshake_s)

    async def run(self, link: Link) -> None:
        """Run a link that is open until it has ended, said good-bye and left the roster."""
        self._running.add(link)
        try:
            await link.run(self._events)
        finally:
            self._running.discard(link)
            self.roster.leave(link)
            link.gone.set()
            await link.say_goodbye()

    async def stop(self, why: str) -> None:
        """Let no further link in, end those that there are, and wait until they have said good-bye."""
        self._is_stopping = True
        links = {*self.roster.links(), *self._running}  # those being replaced are in the second only
        for link in links:
            link.abandon(why)
        await asyncio.gather(*(link.closed.wait() for link in links))

    async def accept(self, socket: PeerConnection, address: str) -> Link:
        """The link of a connection that came in; raises HandshakeFailed when there will be none."""
        deadline = asyncio.get_running_loop().time() + self._limits.handshake_s
        handshake = self._new_handshake(Role.LISTENER, None)
        async with _refusing(socket, self._limits):
            peer = await _until(deadline, _introduce(socket, handshake))
            link = Link(socket, handshake.channel, peer, address, True, self._limits)
            self._check_going_on()
            if self._bans.is_banned(PeerId(peer.id)):
                await _until(deadline, socket.send(handshake.refuse("banned")))
                raise _banned(peer)
            try:
                self.roster.enter_accepted(link)
            except DuplicateConnection:
                await _until(deadline, socket.send(handshake.refuse(ALREADY_CONNECTED)))
                raise
            await self._confirm(link, deadline, _welcome(link, handshake, self._limits))
        return link

    async def dial(self, address: str, target: HostPort, expected_id: bytes | None) -> Link:
        """The link with who answers at an address.

        Raises DuplicateConnection when there is a link with that peer, HandshakeFailed, OSError, TimeoutError
        or WebSocketException.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.handshake_s
        handshake = self._new_handshake(Role.DIALLER, expected_id)
        socket = await _until(deadline, open_websocket(target, self._limits, self._log))
        async with _refusing(socket, self._limits):
            peer = await _until(deadline, _introduce(socket, handshake))
            link = Link(socket, handshake.channel, peer, address, False, self._limits)
            self._check_going_on()
            if self._bans.is_banned(PeerId(peer.id)):
                raise _banned(peer)
            self.roster.enter_dialled(link)
            allow_messages(socket, self._limits)  # before the proof leaves: messages may follow the welcome at once
            await self._confirm(link, deadline, _prove(socket, handshake, peer))
        return link

    async def visit(self, target: HostPort, expected_id: bytes) -> None:
        """Let a node prove that it is at an address, and hang up, whether there is a link with it or not.

        Raises HandshakeFailed, OSError, TimeoutError or WebSocketException.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.handshake_s
        handshake = self._new_handshake(Role.DIALLER, expected_id)
        socket = await _until(deadline, open_websocket(target, self._limits, self._log))
        async with _refusing(socket, self._limits):
            await _until(deadline, _introduce(socket, handshake))
            await _dismiss(socket, VISITED, self._limits)

    def _new_handshake(self, role: Role, expected_id: bytes | None) -> Handshake:
        secret, nonce = secrets.token_bytes(EPHEMERAL_BYTES), secrets.token_bytes(NONCE_BYTES)
        return Handshake(role, self._identity, secret, nonce, expected_id)

    async def _confirm(self, link: Link, deadline: float, work: Coroutine[None, None, None]) -> None:
        """Do the last step of a handshake, in the roster; out of it again when it fails."""
        try:
            await _until(deadline, link.unless_ended(work))
        except Ended:  # by the roster, for the connection that stays; or by a node that stops
            self._let_go(link)
            raise DuplicateConnection(link.peer.id, link.remote) from None
        except BaseException:  # cancelled too: the roster must not keep it
            self._let_go(link)
            raise

    def _check_going_on(self) -> None:
        if self._is_stopping:
            raise HandshakeFailed("stopping", "this node is stopping")

    def _let_go(self, link: Link) -> None:
        """Take back a link that never came up; its socket is closed by `_refusing`."""
        self.roster.leave(link)
        link.gone.set()
        link.closed.set()


def _banned(peer: Peer) -> HandshakeFailed:
    return HandshakeFailed("banned", f"{peer.id[:8].hex()} is banned for a while")


async def _introduce(socket: PeerConnection, handshake: Handshake) -> Peer:
    while handshake.peer is None:
        await _flush(socket, handshake)
        await _receive(socket, handshake)
    return handshake.peer


async def _welcome(link: Link, handshake: Handshake, limits: P2PLimits) -> None:
    await link.replaced_is_gone()
    allow_messages(link.socket, limits)
    await link.socket.send(handshake.welcome())


async def _prove(socket: PeerConnection, handshake: Handshake, peer: Peer) -> None:
    await _flush(socket, handshake)
    try:
        await _receive(socket, handshake)
    except HandshakeFailed as error:
        if error.reason == "refused" and error.why == ALREADY_CONNECTED:
            raise DuplicateConnection(peer.id, remote_ip(socket)) from None
        raise


async def _flush(socket: PeerConnection, handshake: Handshake) -> None:
    for frame in handshake.send():
        await socket.send(frame)


async def _receive(socket: PeerConnection, handshake: Handshake) -> None:
    frame = await receive_binary(socket)
    try:
        handshake.receive(frame)
    except HandshakeFailed:
        await _flush(socket, handshake)  # the own hello: the peer can say why as well
        raise


async def _until(deadline: float, work: Coroutine[None, None, T]) -> T:
    async with asyncio.timeout_at(deadline):
        return await work


@contextlib.asynccontextmanager
async def _refusing(socket: PeerConnection, limits: P2PLimits) -> AsyncIterator[None]:
    """Close the socket when what is inside fails, and say it in the words of HandshakeFailed."""
    try:
        yield
    except PeerFault as error:
        await _dismiss(socket, error.reason, limits)
        if isinstance(error, HandshakeFailed):
            raise
        raise HandshakeFailed(error.reason, error.why) from None
    except TimeoutError:
        socket.transport.abort()
        raise HandshakeFailed("too_slow", f"no handshake within {limits.handshake_s:g} s") from None
    except ConnectionClosed as error:
        socket.transport.abort()
        raise HandshakeFailed("closed", describe_closed(error)) from None
    except BaseException:  # cancelled: nobody waits for a good-bye
        socket.transport.abort()
        raise


async def _dismiss(socket: PeerConnection, reason: str, limits: P2PLimits) -> None:
    try:
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(limits.close_s):
                await socket.close(CloseCode.POLICY_VIOLATION, reason)
    finally:  # also where this node stops meanwhile
        socket.transport.abort()
