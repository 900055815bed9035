"""The peer-to-peer shell: encrypted, authenticated connections as a queue of events, and `send`.

It knows node ids, addresses and bytes, nothing of what the bytes mean: whom to dial, whom to throw out and
what to say is the core's decision. Its parts, from the wire up: handshake.py and secure_channel.py (no I/O),
websocket.py (listening, the gate), link.py (one connection), roster.py (one connection a peer), session.py
(handshakes), dialler.py (addresses). Rules: docs/protocol.md §8.
"""

from __future__ import annotations

import logging

from blockchain import __version__
from blockchain.errors import HandshakeFailed
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.bans import Bans
from blockchain.runtime.dialler import Dialler, DialState
from blockchain.runtime.handshake import PEERS, Identity, Wire
from blockchain.runtime.peer_events import P2PLimits, PeerEvents, PeerUp
from blockchain.runtime.seldom import Seldom
from blockchain.runtime.session import VISITED, Sessions
from blockchain.runtime.websocket import GatedConnection, Listener, source_of_address


class P2P:
    """One node's connections. Made and used inside one event loop; `events` is bounded by who makes it.

    A peer whose event cannot be put is not read until it can; nothing is dropped. `advertise` is "host:port"
    as other nodes reach this one, None when they do not. `admitted`, when given, are the only node ids it
    talks to.
    """

    def __init__(
        self,
        *,
        node_key: SigningKey,
        genesis_hash: bytes,
        listen_host: str,
        listen_port: int,
        advertise: str | None,
        limits: P2PLimits,
        events: PeerEvents,
        log: logging.Logger,
        admitted: frozenset[bytes] | None = None,
        agent: str = f"blockchain/{__version__}",
        wire: Wire = PEERS,
    ) -> None:
        """Raises ValueError when `advertise` or `agent` could not be said in a
        handshake.
        """
        identity = Identity(node_key, genesis_hash, advertise or "", agent, admitted, wire)
        self._listen_at = (listen_host, listen_port)
        self._limits = limits
        self._log = log
        quiet = log.getChild("websocket")
        self.bans = Bans(ids_only=admitted is not None)
        self._seldom = Seldom()
        self._sessions = Sessions(identity, limits, self.bans, events, quiet)
        self._dialler = Dialler(self._sessions, limits, events, log)
        self._listener = Listener(limits, self._on_inbound, self.bans.is_address_banned, quiet)
        self._port: int | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, once started."""
        if self._port is None:
            raise AssertionError("not started")
        return self._port

    async def start(self) -> None:
        """Listen; raises PortInUse, or ConfigError when the host is none of this machine's."""
        self._port = await self._listener.start(*self._listen_at)

    def dial(self, address: str, expected_id: bytes | None = None, *, told_from: str | None = None) -> bool:
        """Keep dialling "host:port" until `forget`; False when too many addresses are dialled already.

        `told_from` is the IP address of the peer that told of it: nothing nearer is dialled. None: the operator did.
        """
        return self._dialler.dial(address, expected_id, told_from)

    def dial_back(self, peer_id: bytes, address: str, remote: str) -> None:
        """See once whether that peer answers at an address; a DialBackEnded tells. `remote`: from where it asked."""
        self._dialler.dial_back(peer_id, address, remote)

    def forget(self, address: str) -> None:
        """Dial this address no longer; a connection that it gave stays."""
        self._dialler.forget(address)

    def dials(self) -> list[DialState]:
        """What became of each address that is dialled."""
        return self._dialler.states()

    def send(self, peer_id: bytes, message: bytes) -> bool:
        """Queue a message of at most `message_bytes_max` bytes; never blocks.

        False when the peer is not connected, or is cut by this call for reading too slowly. Raises ValueError
        for a message that is too long: no peer would take it.
        """
        if len(message) > self._limits.message_bytes_max:
            raise ValueError(f"a message of {len(message)} bytes, {self._limits.message_bytes_max} allowed")
        link = self._sessions.roster.find(peer_id)
        return link is not None and link.offer(message)

    def send_over(self, up: PeerUp, message: bytes) -> bool:
        """`send`, on the very connection of which `up` told; False when that one is over."""
        link = self._sessions.roster.find(up.peer_id)
        return link is not None and link.up is up and self.send(up.peer_id, message)

    def close_peer(self, peer_id: bytes, why: str) -> None:
        """End the connection; the peer is told `why`. What is queued for it is not sent."""
        link = self._sessions.roster.find(peer_id)
        if link is not None:
            link.end(why)

    async def stop(self) -> None:
        """Say good-bye to all and leave no task; takes a little more than `close_s` at most."""
        await self._listener.stop_accepting()
        await self._sessions.stop("this node is stopping")
        await self._dialler.stop()
        await self._listener.wait_closed()

    async def _on_inbound(self, socket: GatedConnection, address: str) -> None:
        try:
            link = await self._sessions.accept(socket, address)
        except HandshakeFailed as error:
            if VISITED not in error.why:  # as this node asked for: it hears of the outcome
                self._say_refused(address, error)
            return
        self._listener.gate.settle(socket)
        await self._sessions.run(link)

    def _say_refused(self, address: str, error: HandshakeFailed) -> None:
        """Once a minute for each address and cause; the cause of one that is not admitted names its id."""
        if self._seldom.is_due((source_of_address(address), error.reason, error.why)):
            facts = {"evt.name": "peer_refused", "peer_address": address, "reason": error.reason, "why": error.why}
            self._log.info("connection of %s refused: %s", address, error, extra=facts)
