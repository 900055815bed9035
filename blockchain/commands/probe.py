"""What the nodes that are to be dialled first know of this one, before it starts: asked over connections of a moment.

Are they there, of this chain and which version; what time is it there; do they reach this node where it says that it
listens; and does a validator with one of its keys speak elsewhere? Announcements come by themselves: the newest of
each validator on connecting, and what is new each five seconds (protocol §8.5).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from blockchain.config import NodeConfig
from blockchain.errors import BlockchainError, MalformedMessage
from blockchain.node.clocks import reading_of
from blockchain.node.messages import (
    FRAME_BYTES_MAX,
    Announce,
    Dialled,
    DialMe,
    GetTime,
    Message,
    Time,
    decode_frame,
    encode_frame,
)
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.vote import Announcement, verify_message
from blockchain.runtime.admitted import read_admitted
from blockchain.runtime.event_loop import NodeLoop
from blockchain.runtime.keystore import NODE_KEY_FILE, generate_key, node_key
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import (
    DialAnswered,
    DialFailed,
    FrameReceived,
    P2PLimits,
    PeerEvent,
    PeerUp,
)
from blockchain.seams import DialOutcome

PROBE_SECONDS: Final = 6.0  # to reach them, and for their answers
LISTEN_SECONDS: Final = 7.0  # for a validator that speaks each five
FRESH_MS: Final = 60_000  # older announcements may be anybody's who kept them; clocks are not further apart
_EVENTS: Final = 64


@dataclass
class Neighbour:
    """One node that answered; None is what it did not say."""

    agent: str
    offset_ms: int | None = None
    error_ms: int | None = None
    dialled: DialOutcome | None = None


@dataclass
class Probed:
    """`failed` says why an address could not be reached, `met` is who is there, by node id in `nodes`."""

    failed: dict[str, str] = field(default_factory=dict)
    met: dict[str, bytes] = field(default_factory=dict)
    nodes: dict[bytes, Neighbour] = field(default_factory=dict)
    elsewhere: Announcement | None = None  # of one of the keys, and fresh
    is_listening: bool = False  # where this node would


class Ear:
    """Hears whether a validator with one of these keys is alive. `begun_ms`: when it began to listen."""

    def __init__(self, keys: Iterable[PublicKey], genesis_hash: bytes, begun_ms: int) -> None:
        self._keys = tuple(keys)
        self._genesis_hash = genesis_hash
        self._begun_ms = begun_ms
        self._first: dict[bytes, int] = {}  # the time of the first that each node told of

    def is_alive(self, announcement: Announcement, teller: bytes, now_ms: int) -> bool:
        """Whether it was signed by one of the keys after this began, or after another that the same node told of.

        The first of a node may be of this node's own last run, and be kept there; what it tells of next is news.
        """
        if not any(verify_message(announcement, key, self._genesis_hash) for key in self._keys):
            return False
        time_ms = announcement.time_ms
        first_ms = self._first.setdefault(teller, time_ms)
        return time_ms > self._begun_ms or (time_ms > first_ms and now_ms - time_ms <= FRESH_MS)


def probe(config: NodeConfig, spec: ChainSpec, keys: frozenset[PublicKey]) -> Probed:
    """Ask the seeds. Uses the node's own key if there is one, as a chain may admit no others; it must not be running.

    With `keys` it listens for some seconds more. Raises BlockchainError for a file that cannot be read.
    """

    async def run() -> Probed:
        return await _Probe(config, spec, keys).run()

    with asyncio.Runner(loop_factory=NodeLoop) as runner:
        return runner.run(run())


class _Probe:
    def __init__(self, config: NodeConfig, spec: ChainSpec, keys: frozenset[PublicKey]) -> None:
        self._config = config
        self._genesis_hash = spec.hash
        self._is_listening_for_keys = bool(keys)
        self._ear = Ear(keys, spec.hash, _now_ms())
        self._events: asyncio.Queue[PeerEvent] = asyncio.Queue(_EVENTS)
        self._asked_ms: dict[bytes, int] = {}
        self._found = Probed()
        self._p2p = self._make_p2p()

    def _make_p2p(self) -> P2P:
        data_dir, admit = self._config.data_dir, self._config.admit
        return P2P(
            node_key=node_key(data_dir) if (data_dir / NODE_KEY_FILE).exists() else generate_key(),
            genesis_hash=self._genesis_hash,
            listen_host=self._config.ip,
            listen_port=self._config.node_port,
            advertise=self._config.advertise,
            limits=P2PLimits(message_bytes_max=FRAME_BYTES_MAX, handshake_s=PROBE_SECONDS),
            events=self._events,
            log=logging.getLogger("blockchain.doctor"),
            admitted=None if admit is None else read_admitted(admit),
        )

    async def run(self) -> Probed:
        if self._config.advertise is not None:
            with suppress(BlockchainError):  # of a port in use, which the check of the ports tells
                await self._p2p.start()
                self._found.is_listening = True
        for address in self._config.seeds:
            self._p2p.dial(address)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(PROBE_SECONDS + 1):
                    await self._take_until(self._has_all_answers)
            if self._is_listening_for_keys and self._found.nodes:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LISTEN_SECONDS):
                        await self._take_until(lambda: self._found.elsewhere is not None)
        finally:
            await self._p2p.stop()
        for address in self._config.seeds:
            if address not in self._found.met:
                self._found.failed.setdefault(address, "no answer in time")
        return self._found

    # ------------------------------------------------------------------------------------------------ events

    async def _take_until(self, is_done: Callable[[], bool]) -> None:
        while not is_done():
            match await self._events.get():
                case PeerUp(peer_id=peer, address=address, inbound=inbound, agent=agent):
                    self._found.nodes.setdefault(peer, Neighbour(agent))
                    if not inbound:
                        self._found.met[address] = peer
                    self._ask(peer)
                case DialAnswered(address=address, peer_id=peer):  # maybe by one that is connected already
                    self._found.met[address] = peer
                case DialFailed(address=address, why=why):
                    self._found.failed.setdefault(address, why)
                case FrameReceived(peer_id=peer, data=frame):
                    with suppress(MalformedMessage):
                        self._hear(peer, decode_frame(frame).message)
                case _:
                    pass

    def _ask(self, peer: bytes) -> None:
        self._asked_ms[peer] = _now_ms()
        self._p2p.send(peer, encode_frame(self._genesis_hash, GetTime(self._asked_ms[peer])))
        if self._found.is_listening:
            self._p2p.send(peer, encode_frame(self._genesis_hash, DialMe()))

    def _hear(self, peer: bytes, message: Message) -> None:
        node = self._found.nodes[peer]
        match message:
            case Time(asked_ms=asked_ms) if asked_ms == self._asked_ms[peer]:
                node.offset_ms, node.error_ms = reading_of(message, _now_ms()) or (None, None)
            case Dialled(outcome=outcome):
                node.dialled = outcome
            case Announce(announcement=announcement):
                if self._ear.is_alive(announcement, peer, _now_ms()):
                    self._found.elsewhere = announcement
            case _:
                pass

    def _has_all_answers(self) -> bool:
        return all(self._has_answers_of(address) for address in self._config.seeds)

    def _has_answers_of(self, address: str) -> bool:
        node = self._found.nodes.get(self._found.met.get(address, b""))
        if node is None:
            return address in self._found.failed
        return node.offset_ms is not None and (node.dialled is not None or not self._found.is_listening)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
