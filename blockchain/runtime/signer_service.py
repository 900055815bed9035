"""A signer as a process of its own: it holds a validator key and its record, and answers the nodes that it admits.

The record is that of `signer.py`, and it decides, whoever asks: two nodes that use one remote signer cannot make it
contradict itself. It answers structured requests of its chain; to whatever else it answers with a refusal, and never
with a signature. Connections are those of peers, authenticated and encrypted, of a kind of their own
(docs/protocol.md §8.10): node ids are who is admitted, and the list is never "everybody".
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final, assert_never

from blockchain.errors import MalformedMessage, SigningRefused
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32, SigningKey
from blockchain.runtime.handshake import SIGNERS
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import FrameReceived, P2PLimits, PeerDown, PeerEvent, PeerUp
from blockchain.runtime.signer_messages import (
    MESSAGE_BYTES_MAX,
    WHY_CHARACTERS_MAX,
    Answered,
    Asked,
    Describe,
    Description,
    ProofGiven,
    ProveHeight,
    Refused,
    SignatureGiven,
    SignMessage,
    description_of,
)
from blockchain.runtime.signing import Signing

REQUESTS_MAX: Final = 1_000  # a second, of one node: many times what the fastest chain asks for
LIMITS: Final = P2PLimits(
    message_bytes_max=MESSAGE_BYTES_MAX,
    inbound_max=16,  # a validator's nodes, not everybody's
    inbound_per_ip_max=4,  # and as many strangers: half of the handshakes stay for others
    handshakes_max=8,
    outgoing_messages_max=256,
    outgoing_bytes_max=256 * MESSAGE_BYTES_MAX,
)

_SHOWN: Final = 16  # hex digits of a node id in a line
_LOG: Final = logging.getLogger("blockchain.signer")


class SignerService:
    """Listens for the nodes in `admitted` (none: for nobody). Made and used inside one event loop."""

    def __init__(
        self,
        signer: Signing,
        node_key: SigningKey,
        genesis_hash: Hash32,
        listen: tuple[str, int],
        admitted: frozenset[bytes],
        limits: P2PLimits = LIMITS,
    ) -> None:
        self._signer = signer
        self._thread = ThreadPoolExecutor(1, "signer")  # one signature is made at a time
        self._paces: dict[bytes, Pace] = {}  # of the nodes that are connected
        self.p2p = P2P(
            node_key=node_key,
            genesis_hash=genesis_hash,
            listen_host=listen[0],
            listen_port=listen[1],
            advertise=None,
            limits=limits,
            events=self,
            log=_LOG,
            admitted=admitted,
            wire=SIGNERS,
        )

    async def start(self) -> None:
        """Listen; raises PortInUse, or ConfigError when the host is none of this machine's."""
        await self.p2p.start()

    async def stop(self) -> None:
        """End the connections, then what is being signed: it is on record, and given when it is asked for again."""
        await self.p2p.stop()
        self._thread.shutdown()

    async def put(self, event: PeerEvent) -> None:
        """While a request of a node is answered, no further one of it is read."""
        match event:
            case PeerUp(peer_id=node, remote=remote):
                self._paces[node] = Pace()
                facts = {"evt.name": "node_connected", "peer": node.hex(), "remote": remote}
                _LOG.info("node %s connected from %s", node.hex()[:_SHOWN], remote, extra=facts)
            case FrameReceived(peer_id=node, data=data):
                await self._on_request(node, data)
            case PeerDown(peer_id=node, why=why):
                self._paces.pop(node, None)
                facts = {"evt.name": "node_disconnected", "peer": node.hex(), "why": why}
                _LOG.info("node %s is gone: %s", node.hex()[:_SHOWN], why, extra=facts)
            case _:
                raise AssertionError("a signer dials nobody")

    async def _on_request(self, node: bytes, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if not self._paces[node].is_within(loop.time()):
            _LOG.warning(
                "node %s asks too much", node.hex()[:_SHOWN], extra={"evt.name": "asks_too_much", "peer": node.hex()}
            )
            self.p2p.close_peer(node, f"more than {REQUESTS_MAX} requests in a second")
            return
        answered = await loop.run_in_executor(self._thread, answer_to, data, self._signer)
        if isinstance(answered.answer, Refused):
            facts = {"evt.name": "signing_refused", "peer": node.hex(), "why": answered.answer.why}
            _LOG.warning("refused node %s: %s", node.hex()[:_SHOWN], answered.answer.why, extra=facts)
        self.p2p.send(node, codec.encode(answered))


class Pace:
    """How many requests came within the second that began with the first of them."""

    def __init__(self) -> None:
        self._since = -1.0
        self._count = 0

    def is_within(self, now: float) -> bool:
        """Count one more, at a time in seconds of a monotonic clock; False: it is one too many."""
        if self._since < 0 or now - self._since >= 1:
            self._since, self._count = now, 0
        self._count += 1
        return self._count <= REQUESTS_MAX


def answer_to(raw: bytes, signer: Signing) -> Answered:
    """The answer to what a node has sent, whatever that is. In a thread: the record is forced to the disk."""
    try:
        asked = codec.decode(raw, Asked, bytes_max=MESSAGE_BYTES_MAX)
    except MalformedMessage as error:
        return Answered(0, _refused(f"not a request: {error.why}"))
    try:
        return Answered(asked.id, _answer(asked.request, signer))
    except SigningRefused as error:
        return Answered(asked.id, _refused(error.why))


def _answer(
    request: Describe | SignMessage | ProveHeight, signer: Signing
) -> Description | SignatureGiven | ProofGiven:
    match request:
        case Describe():
            return description_of(signer.load())
        case SignMessage(message=message):
            return SignatureGiven(signer.sign(message).signature)
        case ProveHeight(seed=seed, height=height):
            return ProofGiven(signer.prove(seed, height))
        case _:
            assert_never(request)


def _refused(why: str) -> Refused:
    why = why.encode("utf-8", "replace").decode("utf-8")  # of a file name there may be bytes that are no text
    return Refused(why if len(why) <= WHY_CHARACTERS_MAX else why[: WHY_CHARACTERS_MAX - 1] + "…")
