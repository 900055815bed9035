"""The kind of WebSocket frame that peers send each other many of: binary, whole, below 64 KB (RFC 6455 §5.2).

The library builds and takes apart every kind, in some forty calls of functions; this one takes a handful. Whatever is
not exactly of this kind, or is not all there yet, is the library's (docs/decisions/0022).
"""

from __future__ import annotations

import secrets
from typing import Final

from websockets.frames import apply_mask  # type: ignore[attr-defined]

PLAIN_BYTES_MAX: Final = 2**16 - 1  # of a message: two bytes tell how long it is
_WHOLE_BINARY: Final = 0x82  # the last frame of a message, and the first; no extension
_MASKED: Final = 0x80
_SHORT_MAX: Final = 125  # of a message whose length is in the second byte
_LENGTH_FOLLOWS: Final = 126
_MASK_BYTES: Final = 4


def frame_of(message: bytes, *, is_masked: bool) -> bytes:
    """The frame of a message of at most PLAIN_BYTES_MAX; a client's is masked."""
    size, flag = len(message), _MASKED if is_masked else 0
    head = bytes((_WHOLE_BINARY, flag | size)) if size <= _SHORT_MAX else _long_head(flag, size)
    if not is_masked:
        return head + message
    mask = secrets.token_bytes(_MASK_BYTES)
    return head + mask + apply_mask(message, mask)


def message_in(came: bytearray, *, is_masked: bool, bytes_max: int) -> tuple[bytes, int] | None:
    """The message of the frame that these bytes begin with, and how long the frame is.

    None where it is of another kind, longer than `bytes_max`, or not whole.
    """
    if len(came) < 2 or came[0] != _WHOLE_BINARY or came[1] & _MASKED != (_MASKED if is_masked else 0):
        return None
    size, start = came[1] & ~_MASKED, 2
    if size == _LENGTH_FOLLOWS:
        size, start = int.from_bytes(came[2:4], "big"), 4
    elif size > _LENGTH_FOLLOWS:
        return None
    begin = start + _MASK_BYTES if is_masked else start
    end = begin + size
    if len(came) < end or size > bytes_max:
        return None
    message = bytes(came[begin:end])
    return (apply_mask(message, came[start:begin]) if is_masked else message), end


def _long_head(flag: int, size: int) -> bytes:
    return bytes((_WHOLE_BINARY, flag | _LENGTH_FOLLOWS, size >> 8, size & 0xFF))
