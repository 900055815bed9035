"""A validator key that another process holds (signer_service.py), as a node sees it (docs/protocol.md §8.10).

Theory of operation. One connection, dialled again with a growing pause for as long as the node runs. It counts as up
when the signer has told its key and its record. A request is sent at once, or refused at once; its answer is an input
of its own, so that nothing here ever holds up the node. Whoever does not answer within `ANSWER_S`, or answers anything
else, is not known to be in any state: the connection is ended, all that waits on it is refused, and what the signer
has signed meanwhile shows in its record when it is back. So no answer is ever taken for that of another request.

A signer that is back with another key, or with a record older than what this node has seen, is not used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, NamedTuple, assert_never

from msgspec.structs import replace

from blockchain.consensus.lottery import vrf_alpha
from blockchain.consensus.signing import after_signing, check_record, last_position, merge, position_of
from blockchain.errors import InvalidProof, MalformedMessage, SignerUnreachable, SigningRefused
from blockchain.primitives import codec, vrf
from blockchain.primitives.crypto import Hash32, PublicKey, SigningKey
from blockchain.primitives.vote import Announcement, verify_message
from blockchain.runtime.handshake import SIGNERS
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import (
    DialAnswered,
    DialBackEnded,
    DialFailed,
    FrameReceived,
    P2PLimits,
    PeerDown,
    PeerEvent,
    PeerUp,
)
from blockchain.runtime.seldom import Seldom
from blockchain.runtime.signer_messages import (
    MESSAGE_BYTES_MAX,
    Answered,
    Asked,
    Describe,
    Description,
    ProofGiven,
    ProveHeight,
    Refused,
    SignatureGiven,
    SignMessage,
    record_of,
)
from blockchain.seams import (
    ProveVrf,
    Sign,
    Signed,
    SignerLost,
    SignerRegained,
    SigningRecord,
    SignRefused,
    VrfProved,
    VrfRefused,
)

ANSWER_S: Final = 2.0  # for one request: several durable writes of a slow disk, and less than any round is long
WAITING_MAX: Final = 256  # requests; far more than are asked for while one is answered
LIMITS: Final = P2PLimits(
    message_bytes_max=MESSAGE_BYTES_MAX,
    outgoing_messages_max=WAITING_MAX + 1,
    outgoing_bytes_max=(WAITING_MAX + 1) * MESSAGE_BYTES_MAX,
    dials_max=1,
    retry_max_s=2.0,  # a vote that is missed costs more than a dial
)

SignerAnswer = Signed | SignRefused | VrfProved | VrfRefused | SignerLost | SignerRegained
_LOG: Final = logging.getLogger("blockchain.signer")


class SignerPlace(NamedTuple):
    """Where a remote signer listens, and who it has to prove to be."""

    address: str  # host:port
    id: bytes  # its node id, 32 bytes


class _Waiting(NamedTuple):
    asked: Sign | ProveVrf | None  # None: its description
    deadline: asyncio.TimerHandle


class RemoteSigner:
    """One remote key. Made and used inside one event loop; `open` it before anything else."""

    def __init__(
        self,
        place: SignerPlace,
        node_key: SigningKey,
        genesis_hash: Hash32,
        limits: P2PLimits = LIMITS,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._place = place
        self._genesis_hash = genesis_hash
        self._answer_s = answer_s
        self._record: SigningRecord | None = None
        self._is_up = False
        self._is_ending = False  # the connection; what still comes over it counts no more
        self._is_stopping = False
        self._why = "no answer yet"  # it is not up
        self._last_id = 0
        self._waiting: dict[int, _Waiting] = {}
        self._is_found = asyncio.Event()
        self._give: Callable[[SignerAnswer], None] = _forget
        self._seldom = Seldom()
        self._p2p = P2P(
            node_key=node_key,
            genesis_hash=genesis_hash,
            listen_host="",  # nowhere
            listen_port=0,
            advertise=None,
            limits=limits,
            events=self,
            log=_LOG,
            admitted=frozenset({place.id}),
            wire=SIGNERS,
        )

    # ------------------------------------------------------------------------------------------------ life

    async def open(self, found_s: float) -> None:
        """Wait until the signer has told its key and record. Raises SignerUnreachable, with the last reason."""
        self._p2p.dial(self._place.address, self._place.id)
        try:
            async with asyncio.timeout(found_s):
                await self._is_found.wait()
        except TimeoutError:
            raise SignerUnreachable(self._place.address, self._why) from None

    async def stop(self) -> None:
        """End the connection; nothing more is told of it."""
        self._give, self._is_stopping = _forget, True
        await self._p2p.stop()
        self._lose("this node is stopping")

    @property
    def public_key(self) -> PublicKey:
        return self.load().key

    def load(self) -> SigningRecord:
        """What the key had signed when the signer last told of it, and since then for this node."""
        assert self._record is not None, "not open"
        return self._record

    def begin(self, give: Callable[[SignerAnswer], None]) -> None:
        """From now on answers go to `give`, and whether the signer is there."""
        self._give = give
        if not self._is_up:
            give(SignerLost(self.public_key, self._why))

    # ------------------------------------------------------------------------------------------------ asking

    def ask(self, asked: Sign | ProveVrf) -> None:
        """Send a request, or refuse it where it cannot be sent."""
        if not self._is_up:
            self._give(_refusal(asked, f"the signer at {self._place.address} is not there: {self._why}"))
        elif len(self._waiting) >= WAITING_MAX:
            self._give(_refusal(asked, f"{WAITING_MAX} requests to the signer wait already"))
        else:
            self._send(asked, _request_of(asked))

    def _send(self, asked: Sign | ProveVrf | None, request: Describe | SignMessage | ProveHeight) -> None:
        self._last_id += 1
        deadline = asyncio.get_running_loop().call_later(self._answer_s, self._on_silence, self._last_id)
        self._waiting[self._last_id] = _Waiting(asked, deadline)
        if not self._p2p.send(self._place.id, codec.encode(Asked(self._last_id, request))):
            self._lose("the connection is ending")

    def _on_silence(self, request_id: int) -> None:
        if request_id in self._waiting:
            self._drop(f"no answer within {self._answer_s:g} s")

    # ------------------------------------------------------------------------------------------------ hearing

    async def put(self, event: PeerEvent) -> None:
        match event:
            case PeerUp():
                self._is_ending = False
                self._send(None, Describe())
            case FrameReceived(data=data):
                if not self._is_ending:
                    self._on_frame(data)
            case PeerDown(why=why):
                self._lose(why)
            case DialFailed(why=why):
                self._why = why
                self._say_lost()
            case DialAnswered():
                pass  # the handshake is good; the description is still to come
            case DialBackEnded():
                raise AssertionError("nobody asks a signer to dial back")
            case _:
                assert_never(event)

    def _on_frame(self, data: bytes) -> None:
        try:
            answered = codec.decode(data, Answered, bytes_max=MESSAGE_BYTES_MAX)
        except MalformedMessage as error:
            self._drop(f"what it sent is no answer: {error.why}")
            return
        waiting = self._waiting.pop(answered.id, None)
        if waiting is None:
            self._drop("an answer that nobody waits for")
            return
        waiting.deadline.cancel()
        if waiting.asked is None:
            self._on_description(answered.answer)
        else:
            self._on_answer(waiting.asked, answered.answer)

    def _on_answer(self, asked: Sign | ProveVrf, answer: Description | SignatureGiven | ProofGiven | Refused) -> None:
        match asked, answer:
            case _, Refused(why=why):
                self._give(_refusal(asked, why))
            case Sign(message=message), SignatureGiven(signature=signature):
                self._on_signed(asked, Signed(replace(message, signature=signature)))
            case ProveVrf(), ProofGiven(proof=proof):
                self._on_proof(asked, VrfProved(asked.height, asked.round, proof))
            case _:
                self._wrong(asked, "an answer to another question")

    def _on_signed(self, asked: Sign, signed: Signed) -> None:
        message = signed.message
        if not verify_message(message, asked.key, self._genesis_hash):
            self._wrong(asked, "a signature that is not good")
            return
        record = self.load()
        if not isinstance(message, Announcement) and position_of(message) > last_position(record):
            self._record = after_signing(record, message)
        self._give(signed)

    def _on_proof(self, asked: ProveVrf, proved: VrfProved) -> None:
        try:
            vrf.verify(asked.key, vrf_alpha(self._genesis_hash, asked.seed, asked.height), proved.proof)
        except InvalidProof as error:
            self._wrong(asked, str(error))
            return
        self._give(proved)

    def _on_description(self, told: Description | SignatureGiven | ProofGiven | Refused) -> None:
        if not isinstance(told, Description):
            self._drop(f"it does not tell its key: {told.why}" if isinstance(told, Refused) else "no description")
            return
        record = record_of(told)
        fault = self._fault_of(record)
        if fault:
            self._drop(fault)
            return
        self._record, self._is_up = record, True
        facts = {"evt.name": "signer_found", "signer": self._place.address, "key": record.key.hex()}
        _LOG.info("the signer at %s holds key %s", self._place.address, record.key.hex(), extra=facts)
        self._is_found.set()
        self._give(SignerRegained(record))

    def _fault_of(self, record: SigningRecord) -> str:
        """Why a signer with this record is not to be used, or the empty string."""
        known = self._record
        try:
            check_record(record)
        except SigningRefused as error:
            return f"its record is damaged: {error.why}"
        if record.message is not None and not verify_message(record.message, record.key, self._genesis_hash):
            return "its record does not bear its key's signature"
        if known is not None and known.key != record.key:
            return f"it holds another key than before: {record.key.hex()}, not {known.key.hex()}"
        return "" if known is None else _contradiction(record, known)

    # ------------------------------------------------------------------------------------------------ losing

    def _wrong(self, asked: Sign | ProveVrf, why: str) -> None:
        self._give(_refusal(asked, f"the signer at {self._place.address}: {why}"))
        self._drop(why)

    def _drop(self, why: str) -> None:
        """End the connection: what its other end has done, is not known."""
        self._is_ending = True
        self._p2p.close_peer(self._place.id, why)
        self._lose(why)

    def _lose(self, why: str) -> None:
        was_up, self._is_up, self._why = self._is_up, False, why
        given_up, self._waiting = self._waiting, {}
        for waiting in given_up.values():
            waiting.deadline.cancel()
            if waiting.asked is not None:
                self._give(_refusal(waiting.asked, f"the signer at {self._place.address} was lost: {why}"))
        if was_up:
            self._give(SignerLost(self.public_key, why))
        self._say_lost()

    def _say_lost(self) -> None:
        if not self._is_stopping and self._seldom.is_due(self._why):
            facts = {"evt.name": "signer_lost", "signer": self._place.address, "why": self._why}
            _LOG.warning("the signer at %s is not there: %s", self._place.address, self._why, extra=facts)


def _contradiction(told: SigningRecord, known: SigningRecord) -> str:
    """What is wrong with a record that comes after `known`, which this node has seen; the empty string: nothing."""
    try:
        if merge(told, known) == told:
            return ""
    except SigningRefused as error:
        return f"its record is not what it has signed for this node: {error.why}"
    return "its record is older than what it has signed for this node: stop it, and restore the newest one"


def _request_of(asked: Sign | ProveVrf) -> SignMessage | ProveHeight:
    return SignMessage(asked.message) if isinstance(asked, Sign) else ProveHeight(asked.seed, asked.height)


def _refusal(asked: Sign | ProveVrf, why: str) -> SignRefused | VrfRefused:
    if isinstance(asked, Sign):
        return SignRefused(asked.message, why)
    return VrfRefused(asked.height, asked.round, why)


def _forget(_answer: SignerAnswer) -> None:
    """Before the node has begun, nobody has asked for anything."""
