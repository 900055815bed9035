"""What becomes of a signing record on a disk: bits that rot, and the form that it had before."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from blockchain.runtime.record_slots import SLOT_BYTES, newest


def flipped(raw: bytes, *places: int) -> bytes:
    """With one bit changed at each of these."""
    changed = bytearray(raw)
    for place in places:
        changed[place] ^= 1
    return bytes(changed)


def payload_in(path: Path) -> bytes:
    """What the newest slot of a file holds."""
    found = newest(path.read_bytes())
    assert found is not None
    return found.payload


def spoil(path: Path, *, is_newest: bool) -> None:
    """A bit of a slot rots."""
    found = newest(path.read_bytes())
    assert found is not None
    place = found.place if is_newest else found.other_place
    path.write_bytes(flipped(path.read_bytes(), place * SLOT_BYTES + 77))


def write_old_form(path: Path) -> None:
    """As the versions before slots had it: one record, and its checksum behind it."""
    payload = payload_in(path)
    path.write_bytes(payload + sha256(payload).digest())
