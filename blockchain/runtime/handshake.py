"""The handshake of two peers and the encrypted channel that it opens, without I/O (docs/protocol.md §8.2).

    dialler → listener   hello                      in clear, 134 bytes
    listener → dialler   hello, then proof          the proof is its first encrypted frame
    dialler → listener   proof                      only after the listener's was verified
    listener → dialler   welcome, or final(why)     from here on both may send

A hello begins with the kind of connection that it opens (`Wire`), and holds version, genesis hash, node id
(an Ed25519 public key), an ephemeral X25519 key and a nonce. The transcript is a tag, the version, the
genesis hash, then the dialler's and the listener's node id, ephemeral key and nonce, in that order. A proof
signs it under the tag of its role, so that a proof sent back proves nothing, and introduces the node: its
advertised address and its software. The dialler is the client of libsodium's `crypto_kx`; one
`crypto_secretstream` goes each way, a frame a message. Frames have one place each: whatever comes out of
order, too long or altered ends the handshake, and nothing after the end is answered.

Ephemeral secret and nonce are passed in. The one thing drawn here is the 24-byte header of the outgoing
stream, which libsodium draws by itself. Deadlines belong to the shell.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from nacl.bindings import (
    crypto_kx_client_session_keys,
    crypto_kx_server_session_keys,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError

from blockchain.errors import ChannelClosed, HandshakeFailed, MalformedMessage
from blockchain.primitives.codec import decode, encode
from blockchain.primitives.crypto import HASH_BYTES, SigningKey, tagged, verify
from blockchain.primitives.host_port import is_host_port
from blockchain.primitives.scalars import SignatureField
from blockchain.runtime.secure_channel import SecureChannel

WIRE_VERSION: Final = 4  # of the handshake and of everything said after it
SIGNER_WIRE_VERSION: Final = 1
EPHEMERAL_BYTES: Final = 32
NONCE_BYTES: Final = 32
ADVERTISED_BYTES_MAX: Final = 256  # a host name has at most 253, and a port
AGENT_BYTES_MAX: Final = 64
HANDSHAKE_FRAME_BYTES_MAX: Final = 512  # the longest proof has 433; who is nobody yet gets no more memory

_HELLO_BYTES: Final = 134
_SCOPE_BYTES: Final = 38  # magic, version, genesis hash: the part that no version may move
_WELCOME: Final = b"welcome"


@dataclass(frozen=True, slots=True)
class Wire:
    """A kind of connection. Nothing that is said or signed to open one of a kind opens one of another.

    `magic` has 4 bytes: no HTTP, no TLS and no text begins like one.
    """

    magic: bytes
    version: int
    transcript: bytes  # what a transcript begins with
    dialler: str  # the tags under which the two sign it
    listener: str

    def tag(self, role: Role) -> str:
        return self.dialler if role is Role.DIALLER else self.listener


class Role(enum.Enum):
    DIALLER = enum.auto()
    LISTENER = enum.auto()

    @property
    def other(self) -> Role:
        return Role.LISTENER if self is Role.DIALLER else Role.DIALLER


PEERS: Final = Wire(b"\x89p2p", WIRE_VERSION, b"p2p-handshake", "p2p-dialler", "p2p-listener")
SIGNERS: Final = Wire(  # a node and its remote signer (docs/protocol.md §8.10)
    b"\x89sgn", SIGNER_WIRE_VERSION, b"signer-handshake", "signer-dialler", "signer-listener"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a node is in all its handshakes. `admitted` are the node ids it talks to; None is everybody."""

    node_key: SigningKey
    genesis_hash: bytes
    advertised: str = ""
    agent: str = ""
    admitted: frozenset[bytes] | None = None
    wire: Wire = PEERS


@dataclass(frozen=True, slots=True)
class Peer:
    """Who the other side has proved to be: its node id (32 bytes), and what it says of itself."""

    id: bytes
    advertised: str
    agent: str


@dataclass(frozen=True, slots=True)
class Hello:
    version: int
    genesis_hash: bytes
    node_id: bytes
    ephemeral: bytes
    nonce: bytes

    def to_bytes(self, wire: Wire = PEERS) -> bytes:
        # Not MessagePack: version and chain must be readable to every later version, at a fixed place.
        scope = wire.magic + self.version.to_bytes(2, "big") + self.genesis_hash
        return scope + self.node_id + self.ephemeral + self.nonce


class Proof(msgspec.Struct, frozen=True, array_like=True):
    signature: SignatureField
    advertised: Annotated[str, msgspec.Meta(max_length=ADVERTISED_BYTES_MAX)]
    agent: Annotated[str, msgspec.Meta(max_length=AGENT_BYTES_MAX)]


class _Awaits(enum.Enum):
    HELLO = "a hello"
    PROOF = "a proof"
    WELCOME = "a welcome"  # the dialler
    DECISION = "nothing: this side is to welcome or to refuse"  # the listener
    NOTHING = "nothing: the handshake is over"


class Handshake:
    """One side of one handshake.

    Take what `send()` gives to the wire, give what comes from there to `receive()`, until `peer` is known.
    Now decide whether this connection is wanted: the dialler goes on with the proof that `send()` gives, the
    listener with `welcome()` or `refuse()`. When `is_done`, `channel` carries messages.
    """

    def __init__(
        self,
        role: Role,
        identity: Identity,
        ephemeral_secret: bytes,
        nonce: bytes,
        expected_id: bytes | None = None,
    ) -> None:
        """`ephemeral_secret` and `nonce` are 32 fresh random bytes each; `expected_id` is whom one means to
        reach.
        """
        _check_identity(identity)
        if len(ephemeral_secret) != EPHEMERAL_BYTES or len(nonce) != NONCE_BYTES:
            raise ValueError("ephemeral secret and nonce have 32 bytes each")
        self._role = role
        self._identity = identity
        self._secret = ephemeral_secret
        self._expected_id = expected_id
        self._hello = Hello(
            version=identity.wire.version,
            genesis_hash=identity.genesis_hash,
            node_id=identity.node_key.public_key,
            ephemeral=crypto_scalarmult_base(ephemeral_secret),
            nonce=nonce,
        )
        self._awaits = _Awaits.HELLO
        self._outgoing: list[bytes] = []
        self._transcript = b""
        self._peer_id = b""
        self._channel: SecureChannel | None = None
        self.peer: Peer | None = None
        if role is Role.DIALLER:
            self._outgoing.append(self._hello.to_bytes(identity.wire))

    @property
    def is_done(self) -> bool:
        return self.peer is not None and self._awaits is _Awaits.NOTHING

    @property
    def channel(self) -> SecureChannel:
        """The channel, once there is one; before the handshake `is_done` it carries handshake frames only."""
        if self._channel is None:
            raise AssertionError("there is no channel before the hellos")
        return self._channel

    def send(self) -> tuple[bytes, ...]:
        """The frames that are to leave now, each given once, after a failure too: the reason is in them."""
        frames = tuple(self._outgoing)
        self._outgoing.clear()
        return frames

    def receive(self, frame: bytes) -> None:
        """Take the next frame of the peer; raises HandshakeFailed, after which nothing more is taken."""
        awaits, self._awaits = self._awaits, _Awaits.NOTHING  # stays so when anything below raises
        try:
            self._awaits = self._on_frame(awaits, frame)
        except HandshakeFailed:
            self.peer = None
            raise

    def welcome(self) -> bytes:
        """The listener's last frame: it takes the connection."""
        self._check_decision()
        return self.channel.seal(_WELCOME)

    def refuse(self, why: str) -> bytes:
        """The listener's last frame when it does not want a peer that proved who it is; `why` is for its
        logs.
        """
        self._check_decision()
        self.peer = None
        return self.channel.final(why)

    def _check_decision(self) -> None:
        if self._awaits is not _Awaits.DECISION:
            raise AssertionError("only a listener decides, once, after the dialler's proof")
        self._awaits = _Awaits.NOTHING

    def _on_frame(self, awaits: _Awaits, frame: bytes) -> _Awaits:
        if len(frame) > HANDSHAKE_FRAME_BYTES_MAX:
            raise HandshakeFailed("too_long", f"{len(frame)} bytes, {HANDSHAKE_FRAME_BYTES_MAX} allowed")
        match awaits:
            case _Awaits.HELLO:
                return self._on_hello(frame)
            case _Awaits.PROOF:
                return self._on_proof(frame)
            case _Awaits.WELCOME:
                return self._on_welcome(frame)
            case _Awaits.DECISION | _Awaits.NOTHING:
                raise HandshakeFailed("out_of_order", f"a frame came, awaited was {awaits.value}")

    def _on_hello(self, frame: bytes) -> _Awaits:
        wire = self._identity.wire
        check_is_hello(frame, wire)
        if self._role is Role.LISTENER:
            self._outgoing.append(self._hello.to_bytes(wire))  # also when refused below: the dialler can say why
        hello = parse_hello(frame, self._identity.genesis_hash, wire)
        self._check_admission(hello.node_id)
        self._peer_id = hello.node_id
        self._transcript = self._build_transcript(hello)
        self._channel = self._open_channel(hello)
        self._secret = b""
        if self._role is Role.LISTENER:
            self._outgoing.append(self._channel.seal(self._build_proof()))
        return _Awaits.PROOF

    def _check_admission(self, peer_id: bytes) -> None:
        if peer_id == self._hello.node_id:
            raise HandshakeFailed("own_id", "this is the node itself")
        if self._expected_id is not None and peer_id != self._expected_id:
            why = f"{_short(self._expected_id)} was dialled, {_short(peer_id)} answers"
            raise HandshakeFailed("other_id", why)
        if self._identity.admitted is not None and peer_id not in self._identity.admitted:
            raise HandshakeFailed("not_admitted", f"{_short(peer_id)} is not among the nodes that this one admits")

    def _on_proof(self, frame: bytes) -> _Awaits:
        proof = _parse_proof(self._open(frame))
        if not verify(self._peer_id, self._signed_by(self._role.other), proof.signature):
            raise HandshakeFailed("bad_proof", f"the peer did not prove to be {_short(self._peer_id)}")
        self.peer = Peer(self._peer_id, proof.advertised, proof.agent)
        if self._role is Role.LISTENER:
            return _Awaits.DECISION
        self._outgoing.append(self.channel.seal(self._build_proof()))
        return _Awaits.WELCOME

    def _on_welcome(self, frame: bytes) -> _Awaits:
        if self._open(frame) != _WELCOME:
            raise HandshakeFailed("out_of_order", "a message came before the welcome")
        return _Awaits.NOTHING

    def _open(self, frame: bytes) -> bytes:
        try:
            return self.channel.open(frame)
        except ChannelClosed as error:
            if self.channel.is_finished_by_peer:
                raise HandshakeFailed("refused", error.why) from None
            raise HandshakeFailed("bad_frame", error.why) from None

    def _build_proof(self) -> bytes:
        signature = self._identity.node_key.sign(self._signed_by(self._role))
        return encode(Proof(signature, self._identity.advertised, self._identity.agent))

    def _signed_by(self, role: Role) -> bytes:
        return tagged(self._identity.wire.tag(role), self._identity.genesis_hash, self._transcript)

    def _build_transcript(self, peer: Hello) -> bytes:
        dialler, listener = (self._hello, peer) if self._role is Role.DIALLER else (peer, self._hello)
        return b"".join(  # every part of a kind has a fixed length, so no two transcripts read alike
            (
                self._identity.wire.transcript,
                self._identity.wire.version.to_bytes(2, "big"),
                self._identity.genesis_hash,
                *(dialler.node_id, listener.node_id),
                *(dialler.ephemeral, listener.ephemeral),
                *(dialler.nonce, listener.nonce),
            )
        )

    def _open_channel(self, peer: Hello) -> SecureChannel:
        is_client = self._role is Role.DIALLER
        session_keys = crypto_kx_client_session_keys if is_client else crypto_kx_server_session_keys
        try:
            receive_key, send_key = session_keys(self._hello.ephemeral, self._secret, peer.ephemeral)
        except CryptoError:  # a point of small order, that would make the secret known to all
            raise HandshakeFailed("bad_key", "the peer's ephemeral key is unusable") from None
        return SecureChannel(send_key=send_key, receive_key=receive_key)


def check_is_hello(frame: bytes, wire: Wire = PEERS) -> None:
    """Raises HandshakeFailed when this is not even the beginning of a hello of any version."""
    if len(frame) < _SCOPE_BYTES or not frame.startswith(wire.magic):
        raise HandshakeFailed("not_hello", "the peer does not speak this protocol")


def parse_hello(frame: bytes, genesis_hash: bytes, wire: Wire = PEERS) -> Hello:
    """The hello of a peer of this version and chain; raises HandshakeFailed with the reason, naming both
    sides.
    """
    check_is_hello(frame, wire)
    version = int.from_bytes(frame[4:6], "big")
    if version != wire.version:
        why = f"this node speaks version {wire.version}, the peer version {version}"
        raise HandshakeFailed("other_version", why)
    theirs = frame[6:_SCOPE_BYTES]
    if theirs != genesis_hash:
        why = f"this node is on chain {_short(genesis_hash)}, the peer on chain {_short(theirs)}"
        raise HandshakeFailed("other_chain", why)
    if len(frame) != _HELLO_BYTES:
        raise HandshakeFailed("not_hello", f"a hello has {_HELLO_BYTES} bytes, this one {len(frame)}")
    return Hello(version, theirs, node_id=frame[38:70], ephemeral=frame[70:102], nonce=frame[102:134])


def _parse_proof(body: bytes) -> Proof:
    try:
        proof = decode(body, Proof, bytes_max=HANDSHAKE_FRAME_BYTES_MAX)
    except MalformedMessage as error:
        raise HandshakeFailed("bad_proof", error.why) from None
    _check_introduction(proof.advertised, proof.agent)
    return proof


def _check_introduction(advertised: str, agent: str) -> None:
    """Both go to logs and pages, and the address to other peers; printable ASCII only, so characters are
    bytes.
    """
    if advertised and not is_host_port(advertised):
        raise HandshakeFailed("bad_proof", "the advertised address is not host:port")
    if not (agent.isascii() and (agent.isprintable() or not agent)):
        raise HandshakeFailed("bad_proof", "the software's name is not printable ASCII")


def _check_identity(identity: Identity) -> None:
    if len(identity.genesis_hash) != HASH_BYTES:
        raise ValueError(f"a genesis hash has {HASH_BYTES} bytes")
    if len(identity.advertised) > ADVERTISED_BYTES_MAX or len(identity.agent) > AGENT_BYTES_MAX:
        raise ValueError("the advertised address or the software's name is too long")
    try:
        _check_introduction(identity.advertised, identity.agent)
    except HandshakeFailed as error:
        raise ValueError(error.why) from None


def _short(name: bytes) -> str:
    return name[:8].hex()
