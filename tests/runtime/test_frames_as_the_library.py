"""What comes over a WebSocket means the same to a peer's connection as to the library's own, however it is cut.

Frames of every kind, good and bad, are drawn by a seed. The library's connection is given them in one piece, this
program's in pieces of any length, with somebody who takes some of the messages where they come in and lets others wait.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Final, NamedTuple

import pytest
from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, SERVER, Protocol, Side, State

from blockchain.runtime.plain_frames import PLAIN_BYTES_MAX
from blockchain.runtime.websocket import CONTROL_FRAMES_MAX, UNREAD_ANSWERS_BYTES_MAX, PeerConnection
from tests.runtime.scenarios import run

SEEDS: Final = range(150)
FRAMES_MAX: Final = 40
QUEUE: Final = 4
SIZES: Final = (0, 0, 1, 2, 17, 17, 125, 126, 127, 300, 1_000, PLAIN_BYTES_MAX, PLAIN_BYTES_MAX + 1)
CUTS: Final = (1, 2, 3, 7, 64, 1_000, 8_192, 70_000)  # the longest piece of a stream
CLOSE_CODES: Final = (1000, 1001, 1002, 1005, 1006, 1014, 1016, 3000, 4999, 5000, 0)
Message = str | bytes
Read = Callable[[], Coroutine[None, None, None]]


class Transport(asyncio.Transport):
    """Takes what is written, and notes whether anything may be read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.writes = 0  # each a call of the system
        self.is_paused = self.is_closed = self.is_ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.is_ended
        self.writes += 1
        self.written += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_ended = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits to be written."""

    def get_write_buffer_size(self) -> int:
        return len(self.written)

    def is_reading(self) -> bool:
        return not (self.is_paused or self.is_closed)

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_closed = True

    close = abort


class Meaning(NamedTuple):
    """What a connection made of a stream."""

    messages: list[Message]
    answers: list[tuple[Opcode, bytes]]
    received: Close | None
    sent: Close | None


class Drawn:
    """A stream of frames for one side of a connection."""

    def __init__(self, seed: int, side: Side) -> None:
        self.draw = random.Random(f"{seed} {side.name}")
        self.is_masked = side is SERVER
        self.bytes_max = self.draw.choice((500, 70_000, 70_000))  # of a message
        self._is_in_fragments = False
        self._controls = 0
        frames = [self._good() for _ in range(self.draw.randrange(1, FRAMES_MAX))]
        frames += self.draw.choice((list, lambda: [self._closing()], self._bad, self._bad))()
        frames += [self._good() for _ in range(self.draw.randrange(4))]  # behind the end of some
        if self.draw.random() < 0.2:
            frames[-1] = frames[-1][:-1]
        self.frames = frames

    def _good(self) -> bytes:
        draw = self.draw
        if draw.random() < 0.2 and self._controls < CONTROL_FRAMES_MAX // 2:
            self._controls += 1
            return self._frame(draw.choice((Opcode.PING, Opcode.PONG)), draw.choice((0, 1, 124, 125)))
        if self._is_in_fragments:
            self._is_in_fragments = draw.random() < 0.5
            return self._frame(Opcode.CONT, draw.choice((0, 1, 200)), is_final=not self._is_in_fragments)
        if draw.random() < 0.2:
            self._is_in_fragments = True
            return self._frame(Opcode.BINARY, draw.choice((0, 1, 200)), is_final=False)
        opcode = Opcode.TEXT if draw.random() < 0.1 else Opcode.BINARY
        raw = self._frame(opcode, draw.choice(SIZES))
        return self._in_more_bytes(raw) if draw.random() < 0.1 else raw

    def _closing(self) -> bytes:
        draw = self.draw
        code = draw.choice(CLOSE_CODES).to_bytes(2, "big")
        return self._of(Opcode.CLOSE, draw.choice((b"", b"\x03", code, code + b"why", code + b"\xff")))

    def _bad(self) -> list[bytes]:
        draw = self.draw
        raw = self._frame(Opcode.BINARY, draw.choice((0, 5, 126, 300)))
        begun = self._frame(Opcode.BINARY, 200, is_final=False)
        bad: tuple[Callable[[], list[bytes]], ...] = (
            lambda: [bytes((raw[0] | draw.choice((0x10, 0x20, 0x40)),)) + raw[1:]],  # a reserved bit
            lambda: [bytes((0x80 | draw.choice((3, 7, 11, 15)),)) + raw[1:]],  # an opcode that there is not
            lambda: [raw[:1] + bytes((raw[1] ^ 0x80,)) + raw[2:]],  # a mask where none belongs, or none
            lambda: [raw[:1] + bytes((raw[1] | 0x7F,)) + b"\x80" + bytes(7) + raw[2:]],  # 2**63 bytes
            lambda: [self._frame(Opcode.BINARY, self.bytes_max + 1)],
            lambda: [self._frame(Opcode.CONT, 3)],
            lambda: [begun, self._frame(Opcode.BINARY, 3)],
            lambda: [begun, self._frame(Opcode.CONT, self.bytes_max - 199)],
            lambda: [begun, self._closing()],
            lambda: [self._frame(Opcode.PING, 126)],
            lambda: [self._frame(Opcode.PING, 3, is_final=False)],
        )
        return draw.choice(bad)()

    def _frame(self, opcode: Opcode, size: int, *, is_final: bool = True) -> bytes:
        content = b"\x7e" * size if opcode is Opcode.TEXT else self.draw.randbytes(size)
        return self._of(opcode, content, is_final=is_final)

    def _of(self, opcode: Opcode, content: bytes, *, is_final: bool = True) -> bytes:
        raw = Frame(Opcode.BINARY, content).serialize(mask=self.is_masked)  # which no rule is broken by
        return bytes((opcode | (0x80 if is_final else 0),)) + raw[1:]

    def _in_more_bytes(self, raw: bytes) -> bytes:
        """The same, its length in eight bytes or in two, which it may not need."""
        kind, size = raw[1] & 0x80, raw[1] & 0x7F
        start = 2 + {126: 2, 127: 8}.get(size, 0)
        length = size if start == 2 else int.from_bytes(raw[2:start], "big")
        if length <= PLAIN_BYTES_MAX and self.draw.random() < 0.5:
            return raw[:1] + bytes((kind | 126,)) + length.to_bytes(2, "big") + raw[start:]
        return raw[:1] + bytes((kind | 127,)) + length.to_bytes(8, "big") + raw[start:]


async def meaning(connection: Connection, pieces: list[bytes], read: Read) -> Meaning:
    """Give a connection these pieces whenever it reads, then the end; `read` is awaited once and ends with it."""
    transport = Transport()
    connection.connection_made(transport)
    reading = asyncio.create_task(read())
    for piece in pieces:
        while transport.is_paused:
            await asyncio.sleep(0)
        assert not transport.is_closed
        connection.data_received(piece)
        if len(piece) % 3 == 0:
            await asyncio.sleep(0)
    while transport.is_paused:
        await asyncio.sleep(0)
    connection.eof_received()
    connection.connection_lost(None)
    await reading
    protocol = connection.protocol
    assert protocol.state is State.CLOSED
    listener = Protocol(CLIENT if protocol.side is SERVER else SERVER)
    listener.receive_data(bytes(transport.written))
    answers = [(one.opcode, bytes(one.data)) for one in listener.events_received() if isinstance(one, Frame)]
    return Meaning([], answers, protocol.close_rcvd, protocol.close_sent)


async def of_the_library(side: Side, drawn: Drawn) -> Meaning:
    connection = Connection(Protocol(side, max_size=drawn.bytes_max), max_queue=QUEUE)
    messages: list[Message] = []

    async def read() -> None:
        try:
            while True:
                messages.append(await connection.recv())
        except ConnectionClosed:
            return

    found = await meaning(connection, [b"".join(drawn.frames)], read)
    return found._replace(messages=messages)


async def of_a_peers(side: Side, drawn: Drawn) -> Meaning:
    draw = drawn.draw
    connection = PeerConnection(Protocol(side, max_size=drawn.bytes_max), max_queue=QUEUE)
    messages: list[Message] = []

    def take_now(message: bytes) -> bool:
        if draw.random() < 0.4:
            return False
        messages.append(message)
        return True

    async def read() -> None:
        connection.take_now = take_now
        try:
            while True:
                messages.append(await connection.receive())
                for _ in range(draw.randrange(3)):
                    await asyncio.sleep(0)
        except ConnectionClosed:
            return

    found = await meaning(connection, pieces_of(drawn.frames, draw), read)
    return found._replace(messages=messages)


def pieces_of(frames: list[bytes], draw: random.Random) -> list[bytes]:
    """Of any length, or whole frames, some together."""
    if draw.random() < 0.5:
        return [b"".join(frames[at : at + 2]) for at in range(0, len(frames), 2)] if draw.random() < 0.5 else frames
    stream, longest, pieces = b"".join(frames), draw.choice(CUTS), list[bytes]()
    if len(stream) > 20_000:
        longest = max(longest, 1_000)  # a byte at a time takes long
    while stream:
        cut = draw.randint(1, longest)
        pieces.append(stream[:cut])
        stream = stream[cut:]
    return pieces


@pytest.mark.parametrize("side", [SERVER, CLIENT])
def test_a_stream_means_the_same(side: Side) -> None:
    async def scenario() -> None:
        for seed in SEEDS:
            drawn = Drawn(seed, side)
            expected = await of_the_library(side, drawn)
            assert await of_a_peers(side, drawn) == expected, seed

    run(scenario())


def test_what_came_together_is_answered_in_one_write() -> None:
    """Of a thousand pings of who was gone, asyncio warned a thousand times."""

    async def scenario() -> None:
        connection, transport = PeerConnection(Protocol(SERVER), max_queue=QUEUE), Transport()
        connection.connection_made(transport)
        ping, close = (Frame(opcode, b"").serialize(mask=True) for opcode in (Opcode.PING, Opcode.CLOSE))
        connection.data_received(ping * CONTROL_FRAMES_MAX)
        assert (transport.written.count(b"\x8a\x00"), transport.writes) == (CONTROL_FRAMES_MAX, 1)
        assert not transport.is_ended
        connection.data_received(close)
        assert transport.written.endswith(b"\x88\x00") and transport.is_ended
        connection.connection_lost(None)

    run(scenario())


def test_who_pings_and_reads_nothing_is_cut_however_slowly_it_does() -> None:
    """Its pongs were kept without end; the library's own ping waits for room, and then nobody waits for its pong."""

    async def scenario() -> None:
        connection, transport = PeerConnection(Protocol(SERVER), max_queue=QUEUE), Transport()
        connection.connection_made(transport)
        ping = Frame(Opcode.PING, bytes(125)).serialize(mask=True)
        answer_bytes = len(ping) - 4  # it is not masked
        for reads in (True, False):
            connection.pause_writing()
            for _ in range(UNREAD_ANSWERS_BYTES_MAX // answer_bytes):
                connection.control_frames = 0  # as from time to time
                connection.data_received(ping)
            assert not transport.is_closed
            if reads:
                connection.resume_writing()
        connection.data_received(ping)
        assert transport.is_closed
        connection.connection_lost(None)

    run(scenario())
