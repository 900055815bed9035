"""One handshake with one side under test. An input is a list of moves of the other side, each a number and some bytes.

The other side has a key of its own and may say anything under it: send bytes as they are, change its next honest frame,
seal bytes as a frame of the channel, prove itself with a text of its choice, end the stream. It can never be taken for
somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import msgspec

from blockchain.errors import ChannelClosed, HandshakeFailed
from blockchain.primitives import codec
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.handshake import Handshake, Identity, Peer, Proof, Role
from tests.fuzz.tree_mutation import codec_mutation

_GENESIS = b"\x11" * 32
_OWN = Identity(SigningKey(b"a" * 32), _GENESIS, "alice.example:8010", "blockchain/0.1.0")
_OTHER = Identity(SigningKey(b"b" * 32), _GENESIS, "bob.example:1", "x")
_Moves = list[tuple[int, bytes]]
_AS_IT_IS, _CHANGED, _SEALED, _PROOF, _FINAL = range(5)
_TEXTS = codec.encode(("bob.example:1", "agent"))


def samples() -> list[bytes]:
    moves: list[_Moves] = [
        [(_CHANGED, b""), (_CHANGED, b""), (_CHANGED, b"")],
        [(_CHANGED, b""), (_PROOF, _TEXTS), (_SEALED, b"welcome")],
        [(_AS_IT_IS, bytes(134)), (_SEALED, b"x")],
        [(_CHANGED, b""), (_FINAL, b"no room")],
    ]
    return [codec.encode(one) for one in moves]


MUTATION = codec_mutation(samples)


def player(role: Role) -> Callable[[bytes], bool]:
    def run(raw: bytes) -> bool:
        try:
            moves = msgspec.msgpack.decode(raw, type=_Moves)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return False
        first, again = _play(role, moves[:8]), _play(role, moves[:8])
        assert first == again, "it is deterministic"
        return first is not None

    return run


def _play(role: Role, moves: _Moves) -> Peer | None:
    """Who the side under test takes the other one for in the end."""
    tested = Handshake(role, _OWN, b"\x01" * 32, b"\x02" * 32)
    other = Handshake(role.other, _OTHER, b"\x03" * 32, b"\x04" * 32)
    queue: list[bytes] = []
    for number, content in moves:
        with suppress(HandshakeFailed):
            for frame in tested.send():
                other.receive(frame)
            queue += other.send()
            if role is Role.DIALLER and other.peer is not None and not other.is_done:
                queue.append(other.welcome())
        try:
            tested.receive(_frame(number % 5, content, other, queue))
        except HandshakeFailed as error:
            assert error.reason and error.why and tested.peer is None and not tested.is_done
            _check_over(tested)
            return None
        assert tested.peer is None or tested.peer.id == _OTHER.node_key.public_key
        if tested.peer is not None and role is Role.LISTENER:
            assert tested.welcome() and tested.is_done
            return tested.peer
    return tested.peer if tested.is_done else None


def _check_over(tested: Handshake) -> None:
    try:
        tested.receive(b"more")
    except HandshakeFailed as error:
        assert error.reason == "out_of_order"
        return
    raise AssertionError("a handshake that failed goes on")


def _frame(number: int, content: bytes, other: Handshake, queue: list[bytes]) -> bytes:
    """`queue` has the honest frames that are still to come."""
    with suppress(ChannelClosed, AssertionError):  # no channel yet, or none any more: the bytes as they are
        match number:
            case 1 if queue:
                honest = queue.pop(0)
                return bytes(a ^ b for a, b in zip(honest, content.ljust(len(honest), b"\0"), strict=False))
            case 2:
                return other.channel.seal(content)
            case 3:
                return other.channel.seal(_proof(content, other))
            case 4:
                return other.channel.final(content.decode("latin-1"))
    return content


def _proof(texts: bytes, other: Handshake) -> bytes:
    """A proof that is signed, with an introduction that nobody checked."""
    try:
        advertised, agent = msgspec.msgpack.decode(texts, type=tuple[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return texts
    signature = codec.decode(other._build_proof(), Proof, bytes_max=1_024).signature
    return codec.encode(Proof(signature, advertised, agent))
