"""The bytes of a connection to the port of the peers: the library's protocol with this node's limits, and behind it
the handshake of the side that listens. What a stranger makes it say is bounded by what he sent."""

from __future__ import annotations

from random import Random
from struct import pack

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

from blockchain.errors import HandshakeFailed
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.handshake import HANDSHAKE_FRAME_BYTES_MAX, Handshake, Identity, Role
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.target import Target

_GENESIS = b"\x11" * 32
_OWN = Identity(SigningKey(b"a" * 32), _GENESIS, "", "")
_OTHER = Identity(SigningKey(b"b" * 32), _GENESIS, "", "")
_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_SAID_MAX = 4_096  # beside what came: answers to pings are as long as these


def _frame(opcode: int, payload: bytes, first: int = 0x80, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    head = bytes([first | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65_536:
        head += bytes([0x80 | 126]) + pack("!H", size)
    else:
        head += bytes([0x80 | 127]) + pack("!Q", size)
    return head + bytes(4) + payload  # masked with zeros: as it is


_HELLO = Handshake(Role.DIALLER, _OTHER, b"\x03" * 32, b"\x04" * 32).send()[0]
_FRAMES = (
    _frame(2, _HELLO),
    _frame(2, _HELLO[:60], first=0) + _frame(0, _HELLO[60:]),
    _frame(1, b"hello"),
    _frame(9, b"ping" * 31),
    _frame(10, b""),
    _frame(8, b"\x03\xe8bye"),
    _frame(8, b"\x00"),
    _frame(2, bytes(HANDSHAKE_FRAME_BYTES_MAX + 1)),
    _frame(2, b"", length=2**63 - 1),
    _frame(2, b"x", first=0xC0),
    _frame(3, b"x"),
)


def samples() -> list[bytes]:
    return [_UPGRADE + frame for frame in _FRAMES]


def mutate(raw: bytes, rng: Random) -> bytes:
    if rng.random() < 0.4:
        return mutate_bytes(raw, rng)
    head, found, rest = raw.partition(b"\r\n\r\n")
    frames = [rest, *(rng.choice(_FRAMES) for _ in range(rng.randint(1, 4)))]
    rng.shuffle(frames)
    changed = mutate_bytes(b"".join(frames), rng) if rng.random() < 0.5 else b"".join(frames)
    return (head + found if found else _UPGRADE) + changed


def run(raw: bytes) -> bool:
    protocol = ServerProtocol(max_size=HANDSHAKE_FRAME_BYTES_MAX)
    handshake = Handshake(Role.LISTENER, _OWN, b"\x01" * 32, b"\x02" * 32)
    said = 0
    third = max(1, len(raw) // 3)
    for start in range(0, len(raw), third):
        protocol.receive_data(raw[start : start + third])
        for event in protocol.events_received():
            if isinstance(event, Request):
                if protocol.eof_sent:
                    return False  # this node's connection looks for that, and cuts it off
                protocol.send_response(protocol.accept(event))
            elif isinstance(event, Frame) and not _is_taken(event, handshake, protocol):
                break
        said += sum(len(piece) for piece in protocol.data_to_send())
    assert said <= len(raw) + _SAID_MAX, "it says more than it was told"
    assert handshake.peer is None, "a peer that proved nothing"
    return protocol.state is not State.CONNECTING


def _is_taken(frame: Frame, handshake: Handshake, protocol: ServerProtocol) -> bool:
    assert len(frame.data) <= HANDSHAKE_FRAME_BYTES_MAX
    if frame.opcode is not Opcode.BINARY or not frame.fin:
        return True
    try:
        handshake.receive(bytes(frame.data))
        for answer in handshake.send():
            protocol.send_binary(answer)
    except (HandshakeFailed, InvalidState):
        return False
    return True


TARGET = Target(samples, run, mutate, bytes_max=4_096)
