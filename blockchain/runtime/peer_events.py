"""What the peer-to-peer shell tells (PeerEvent), and the maxima that it keeps (P2PLimits)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from blockchain.seams import DialOutcome

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class PeerUp:
    """A peer proved its node id and may be sent to. Never twice for one id without a PeerDown between."""

    peer_id: bytes
    address: str  # where it was dialled; its IP address and port when it dialled this node
    inbound: bool
    advertised: str  # "host:port" where it says that it listens, or empty; unverified
    agent: str
    remote: str = ""  # the IP address at the other end


@dataclass(frozen=True, slots=True)
class FrameReceived:
    """One message of a peer that is up, in the order in which the peer sent them."""

    peer_id: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The last event of a peer that was up; `why` is for people."""

    peer_id: bytes
    why: str


@dataclass(frozen=True, slots=True)
class DialFailed:
    """One attempt to reach an address failed; further ones follow until it is forgotten."""

    address: str
    why: str


@dataclass(frozen=True, slots=True)
class DialAnswered:
    """A peer proved its node id at an address that was dialled; there may be another connection with it already."""

    address: str
    peer_id: bytes
    remote: str  # the IP address behind it


@dataclass(frozen=True, slots=True)
class DialBackEnded:
    """What became of the dial that a peer asked for."""

    peer_id: bytes
    outcome: DialOutcome


PeerEvent = PeerUp | FrameReceived | PeerDown | DialFailed | DialAnswered | DialBackEnded


class PeerEvents(Protocol):
    """Where events go: a bounded `asyncio.Queue`, or the like. While one cannot be put, nothing more of it is read."""

    async def put(self, event: PeerEvent, /) -> None: ...


@runtime_checkable
class PeerEventsNow(PeerEvents, Protocol):
    """Such that may take a frame where it comes in."""

    def put_now(self, event: FrameReceived, /) -> bool:
        """False: `put` it, and no other one of its peer meanwhile. None of its peer is being put."""


@dataclass(frozen=True, slots=True)
class P2PLimits:
    """Every maximum of the shell, in the units that the names say; `_s` is seconds."""

    message_bytes_max: int = 4 * _MIB  # a range of blocks in one answer
    inbound_max: int = 128
    inbound_per_ip_max: int = 32  # a test network on one machine is one IP address; so may be a company
    handshakes_max: int = 64  # inbound connections that have not proved who they are
    handshake_s: float = 5.0  # for all of it: TCP, HTTP, hellos, proofs; a dial begun in a cut ends so soon after it
    outgoing_messages_max: int = 4096  # per peer; with more waiting it reads too slowly to be useful
    outgoing_bytes_max: int = 16 * _MIB  # per peer, the same; four of the longest messages
    incoming_frames_max: int = 4  # per peer, read and not yet taken; with more its socket is not read
    write_buffer_bytes_max: int = 256 * 1024  # per peer, below the outgoing queue
    ping_interval_s: float = 2.0  # several in `silence_s`: a peer that lives is heard in it, whatever it has to say
    ping_timeout_s: float = 30.0  # longer than the inbox is ever full: while it is, no pong is read
    silence_s: float = 8.0  # without one byte of a peer; four of its pings. Then its connection is dead: nobody there
    close_s: float = 2.0  # to say good-bye
    dials_max: int = 256  # addresses being dialled or kept connected
    retry_first_s: float = 0.25
    retry_max_s: float = 5.0  # also how long links are missed after a cut; 256 dials cost one in 20 ms
