"""The two slots of a signing record's file: which one counts, and what is written into the other. Bytes, no files.

A slot is 4,096 bytes: a checksum (SHA-256) over all that follows, a number, the length of what it holds, that, and
zeros. Each write has the next number, and goes where the newest is not. So a power cut in the middle of a write spoils
the slot being written at most, whose signature never left; the other one holds the record before it. For that the
slots may share nothing that a disk writes in one piece: a sector is 512 or 4,096 bytes, a page of most systems 4,096.
(Where pages are larger, the other slot may be written along, with the very bytes that it had.)

What counts is the whole slot with the higher number. A damaged one beside it is what such a cut leaves; it is written
over next. Damage of the newest that comes from elsewhere looks the same, and takes the file back by one record: what
keeps that from doing harm is not here (docs/decisions/0002).
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Final, NamedTuple

SLOT_BYTES: Final = 4_096
FILE_BYTES: Final = 2 * SLOT_BYTES
CHECKSUM_BYTES: Final = 32
_HEAD: Final = struct.Struct(">QH")  # number, length
PAYLOAD_BYTES_MAX: Final = SLOT_BYTES - CHECKSUM_BYTES - _HEAD.size
NUMBER_MAX: Final = 2**63  # nobody signs so often, and there is room for the next one


class Newest(NamedTuple):
    """The slot that counts. `is_alone`: the other one is damaged."""

    place: int  # 0 or 1
    number: int
    payload: bytes
    is_alone: bool

    @property
    def other_place(self) -> int:
        """Where the next one goes."""
        return 1 - self.place


def slot_of(payload: bytes, number: int) -> bytes:
    """A slot that holds this, `SLOT_BYTES` long; `payload` is of `PAYLOAD_BYTES_MAX` bytes at most."""
    body = (_HEAD.pack(number, len(payload)) + payload).ljust(SLOT_BYTES - CHECKSUM_BYTES, b"\0")
    return sha256(body).digest() + body


def file_of(payload: bytes, number: int) -> bytes:
    """A whole file that holds this in both slots, `FILE_BYTES` long: nothing that happens to one of them takes it."""
    return slot_of(payload, number) + slot_of(payload, number)


def newest(raw: bytes) -> Newest | None:
    """The slot that counts in a file of `FILE_BYTES`; None: both are damaged."""
    whole = [
        (*found, place) for place in (0, 1) if (found := _read(raw[place * SLOT_BYTES :][:SLOT_BYTES])) is not None
    ]
    if not whole:
        return None
    number, payload, place = max(whole)
    return Newest(place, number, payload, is_alone=len(whole) == 1)


def _read(slot: bytes) -> tuple[int, bytes] | None:
    """Its number and what it holds; None: it is damaged."""
    checksum, body = slot[:CHECKSUM_BYTES], slot[CHECKSUM_BYTES:]
    if sha256(body).digest() != checksum:
        return None
    number, length = _HEAD.unpack_from(body)
    return number, body[_HEAD.size :][:length]
