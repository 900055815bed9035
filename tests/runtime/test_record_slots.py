"""The slots as bytes: which one counts, whatever becomes of the other."""

from __future__ import annotations

from blockchain.runtime.record_slots import (
    FILE_BYTES,
    PAYLOAD_BYTES_MAX,
    SLOT_BYTES,
    Newest,
    file_of,
    newest,
    slot_of,
)
from tests.runtime.record_damage import flipped

OLDER, NEWER = slot_of(b"older", 255), slot_of(b"newer", 256)  # numbers that differ in two bytes


def test_the_higher_number_counts_in_either_place() -> None:
    assert newest(OLDER + NEWER) == Newest(1, 256, b"newer", False)
    assert newest(NEWER + OLDER) == Newest(0, 256, b"newer", False)


def test_what_was_made_anew_is_in_both() -> None:
    raw = file_of(b"content", 7)
    assert len(raw) == FILE_BYTES and raw[:SLOT_BYTES] == raw[SLOT_BYTES:]
    for spoilt in (raw, flipped(raw, 40), flipped(raw, SLOT_BYTES + 40)):
        found = newest(spoilt)
        assert found is not None and (found.number, found.payload) == (7, b"content")
        assert found.is_alone is (spoilt != raw)


def test_a_slot_with_any_byte_changed_does_not_count() -> None:
    """Its number above all: an older one that seems to be the newest would take the record back."""
    raw = NEWER + OLDER
    for at in range(SLOT_BYTES):
        assert newest(flipped(raw, at)) == Newest(1, 255, b"older", True)
        assert newest(flipped(raw, SLOT_BYTES + at)) == Newest(0, 256, b"newer", True)
        assert newest(flipped(raw, at, SLOT_BYTES + at)) is None


def test_a_slot_holds_what_it_was_given_to_the_last_byte() -> None:
    for payload in (b"", b"\0", b"ends in zeros\0\0", b"x" * PAYLOAD_BYTES_MAX):
        assert len(slot_of(payload, 1)) == SLOT_BYTES
        assert newest(slot_of(payload, 1) + bytes(SLOT_BYTES)) == Newest(0, 1, payload, True)


def test_nothing_counts_where_nothing_was_written() -> None:
    assert newest(bytes(FILE_BYTES)) is None
