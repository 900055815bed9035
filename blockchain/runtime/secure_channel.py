"""An encrypted, ordered, two-way channel: one libsodium `crypto_secretstream` each way, a frame a message; no
I/O.

A stream's header goes in front of its first frame. The position of a frame in its stream is part of what is
authenticated, so a frame that is altered, repeated, left out or moved does not open, and the channel is
closed for good (docs/protocol.md §8.2). Before a side closes it sends a last frame tagged final; a
connection that ends without one was cut, by the network or by somebody in between.
"""

from __future__ import annotations

from typing import Any, Final

# What `nacl.bindings` calls; its own push and pull take 25 calls of functions for one of these.
from nacl import bindings as sodium
from nacl._sodium import ffi, lib  # type: ignore[import-not-found]

from blockchain.errors import ChannelClosed

OVERHEAD_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_ABYTES
HEADER_BYTES: Final = sodium.crypto_secretstream_xchacha20poly1305_HEADERBYTES
TAG_MESSAGE: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
TAG_FINAL: Final = sodium.crypto_secretstream_xchacha20poly1305_TAG_FINAL
WHY_BYTES_MAX: Final = 128  # the reason in a final frame: a line for the other side's logs
_SCRATCH_BYTES: Final = 4_096  # kept for each direction; a longer message has a buffer of its own while it is handled
_NOTHING: Final = ffi.NULL  # where there is no additional data, and where a length is not wanted


class _Stream:
    """One direction: libsodium's state of it, and where it puts what it makes."""

    def __init__(self) -> None:
        self.state: Any = sodium.crypto_secretstream_xchacha20poly1305_state()
        self._scratch: Any = ffi.new("unsigned char[]", _SCRATCH_BYTES)
        self._tag: Any = ffi.new("unsigned char *")

    def push(self, message: bytes, tag: int) -> bytes:
        """The frame of a message, without the stream's header."""
        size = len(message) + OVERHEAD_BYTES
        made = self._room_for(size)
        failed = lib.crypto_secretstream_xchacha20poly1305_push(
            self.state.statebuf, made, _NOTHING, message, len(message), _NOTHING, 0, tag
        )
        if failed:
            raise AssertionError("libsodium refuses what it never refuses")
        return bytes(ffi.buffer(made, size))

    def pull(self, frame: bytes) -> tuple[bytes, int] | None:
        """The message and its tag; None: the frame is not the next one. It has OVERHEAD_BYTES at least."""
        size = len(frame) - OVERHEAD_BYTES
        made = self._room_for(size)
        failed = lib.crypto_secretstream_xchacha20poly1305_pull(
            self.state.statebuf, made, _NOTHING, self._tag, frame, len(frame), _NOTHING, 0
        )
        return None if failed else (bytes(ffi.buffer(made, size)), int(self._tag[0]))

    def _room_for(self, size: int) -> Any:
        return self._scratch if size <= _SCRATCH_BYTES else ffi.new("unsigned char[]", size)


class SecureChannel:
    """One side of a channel; what one side seals, in that order, the other opens, in that order."""

    def __init__(self, *, send_key: bytes, receive_key: bytes) -> None:
        self._sending = _Stream()
        self._header = sodium.crypto_secretstream_xchacha20poly1305_init_push(self._sending.state, send_key)
        self._receiving: _Stream | None = None
        self._receive_key = receive_key
        self._closed_why: str | None = None
        self._has_sent_final = False
        self.is_finished_by_peer = False

    def seal(self, message: bytes) -> bytes:
        """The frame of a message: OVERHEAD_BYTES longer, the first one HEADER_BYTES more; raises
        ChannelClosed.
        """
        if self._closed_why is not None or self._has_sent_final:
            raise ChannelClosed(self._closed_why or "this side has said its last")
        return self._push(message, TAG_MESSAGE)

    def final(self, why: str = "") -> bytes:
        """The frame that ends this side's stream and says why, in at most WHY_BYTES_MAX printable ASCII
        characters.

        It may follow whatever closed the channel, once: it tells the other side. Raises ChannelClosed a
        second time.
        """
        if self._has_sent_final:
            raise ChannelClosed("this side has said its last")
        self._has_sent_final = True
        return self._push(printable(why.encode("ascii", "replace")).encode("ascii"), TAG_FINAL)

    def open(self, frame: bytes) -> bytes:
        """The message of the next frame.

        Raises ChannelClosed when the frame is not the next one as the peer sealed it, when the peer ended its
        stream (`is_finished_by_peer` then), and from then on.
        """
        if self._closed_why is not None:
            raise ChannelClosed(self._closed_why)
        opened = self._pull(frame)
        if opened is None:
            raise self._close("a frame is not what the peer sealed at this place")
        message, tag = opened
        if tag == TAG_MESSAGE:
            return message
        if tag == TAG_FINAL:
            self.is_finished_by_peer = True
            raise self._close(printable(message) or "the peer closed")
        raise self._close("a frame carries a tag that this protocol does not use")

    def _close(self, why: str) -> ChannelClosed:
        self._closed_why = why
        return ChannelClosed(why)

    def _push(self, message: bytes, tag: int) -> bytes:
        header, self._header = self._header, b""
        return header + self._sending.push(message, tag)

    def _pull(self, frame: bytes) -> tuple[bytes, int] | None:
        if self._receiving is None:
            if len(frame) < HEADER_BYTES:
                return None
            self._receiving, frame = self._start_receiving(frame[:HEADER_BYTES]), frame[HEADER_BYTES:]
        return self._receiving.pull(frame) if len(frame) >= OVERHEAD_BYTES else None

    def _start_receiving(self, header: bytes) -> _Stream:
        stream = _Stream()
        sodium.crypto_secretstream_xchacha20poly1305_init_pull(stream.state, header, self._receive_key)
        self._receive_key = b""
        return stream


def printable(text: bytes) -> str:
    """What a peer says, made safe to write in a line: at most WHY_BYTES_MAX bytes, the unprintable ones as
    '?'.
    """
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in text[:WHY_BYTES_MAX])
