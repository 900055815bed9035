"""Plain frames beside the library's own: the same bytes, and nothing taken for one that is none."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol
from websockets.streams import StreamReader

from blockchain.runtime.plain_frames import PLAIN_BYTES_MAX, frame_of, message_in
from tests.runtime.live_nodes import KEYS, Node, raw_dial, started
from tests.runtime.scenarios import run, until

SIZES = (0, 1, 125, 126, 127, 128, 255, 256, 65_535)
MESSAGE = b"a message that is not long"


def parsed(raw: bytes, *, is_masked: bool) -> Frame:
    """By the library."""
    reader = StreamReader()
    reader.feed_data(raw)
    parsing: Generator[None, None, Frame] = Frame.parse(reader.read_exact, mask=is_masked)
    with pytest.raises(StopIteration) as ended:
        next(parsing)
    assert not reader.buffer
    frame = ended.value.value
    assert isinstance(frame, Frame)
    return frame


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_the_library_reads_them_and_writes_the_same(size: int, *, is_masked: bool) -> None:
    message = bytes(at % 251 for at in range(size))
    raw = frame_of(message, is_masked=is_masked)
    frame = parsed(raw, is_masked=is_masked)
    assert (frame.opcode, frame.fin, bytes(frame.data)) == (Opcode.BINARY, True, message)
    written = Frame(Opcode.BINARY, message).serialize(mask=is_masked)
    for each in (raw, written):
        found = message_in(bytearray(each + b"more"), is_masked=is_masked, bytes_max=PLAIN_BYTES_MAX)
        assert found == (message, len(each))


def test_masks_are_not_foreseen() -> None:
    assert len({frame_of(MESSAGE, is_masked=True) for _ in range(8)}) == 8


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("size", [0, 5, 126, 300])
def test_a_part_of_one_is_none(size: int, *, is_masked: bool) -> None:
    raw = bytearray(frame_of(bytes(size), is_masked=is_masked))
    assert all(message_in(raw[:end], is_masked=is_masked, bytes_max=1_000) is None for end in range(len(raw)))


@pytest.mark.parametrize("is_masked", [False, True])
def test_other_kinds_are_none(*, is_masked: bool) -> None:
    others = [
        Frame(Opcode.TEXT, b"text"),
        Frame(Opcode.BINARY, MESSAGE, fin=False),
        Frame(Opcode.CONT, MESSAGE),
        Frame(Opcode.PING, b""),
        Frame(Opcode.CLOSE, b"\x03\xe8"),
        Frame(Opcode.BINARY, bytes(PLAIN_BYTES_MAX + 1)),
    ]
    for frame in others:
        raw = bytearray(frame.serialize(mask=is_masked))
        assert message_in(raw, is_masked=is_masked, bytes_max=2**20) is None
    extended = bytearray(frame_of(MESSAGE, is_masked=is_masked))
    extended[0] |= 0x40
    assert message_in(extended, is_masked=is_masked, bytes_max=2**20) is None
    wrong_way = bytearray(Frame(Opcode.BINARY, MESSAGE).serialize(mask=not is_masked))
    assert message_in(wrong_way, is_masked=is_masked, bytes_max=2**20) is None


def test_one_that_is_too_long_is_the_librarys_to_refuse() -> None:
    raw = bytearray(frame_of(MESSAGE, is_masked=True))
    assert message_in(raw, is_masked=True, bytes_max=len(MESSAGE)) is not None
    assert message_in(raw, is_masked=True, bytes_max=len(MESSAGE) - 1) is None


@pytest.mark.usefixtures("each_loop")
def test_of_a_peer_they_go_past_the_library_and_all_else_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bytes] = []
    receive_data = Protocol.receive_data

    def noting(self: Protocol, data: bytes) -> None:
        if self.side.name == "SERVER":
            given.append(data)
        receive_data(self, data)

    async def scenario() -> None:
        node = Node(KEYS[0])
        async with started(node):
            peer = await raw_dial(node, KEYS[1])
            await node.up()
            await peer.send(b"first")
            assert await node.frame() == b"first"
            monkeypatch.setattr(Protocol, "receive_data", noting)
            await peer.send(b"second")
            assert await node.frame() == b"second" and not given
            cut = Frame(Opcode.BINARY, peer.channel.seal(b"third")).serialize(mask=True)
            for begin, end in ((0, 1), (1, 9), (9, len(cut))):
                peer.socket.transport.write(cut[begin:end])
                await until(lambda end=end: len(b"".join(given)) == end)  # type: ignore[misc]
            await peer.send(b"fourth")
            assert [await node.frame(), await node.frame()] == [b"third", b"fourth"]
            assert b"".join(given) == cut
            await (await peer.socket.ping())
            await peer.send(b"fifth")
            assert await node.frame() == b"fifth" and len(b"".join(given)) > len(cut)
            await peer.socket.close()

    run(scenario())
