"""The signing record when a power cut tears what is being written, when a slot is lost, and in its earlier form.

What the two slots are as bytes: `test_record_slots`; what the engine makes of a record that fell back: `test_restart`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from blockchain.errors import SigningRefused
from blockchain.primitives.vote import Announcement
from blockchain.runtime import atomic_file, record_file
from blockchain.runtime.record_file import RecordFile
from blockchain.runtime.record_slots import FILE_BYTES, NUMBER_MAX, SLOT_BYTES, file_of, newest
from blockchain.runtime.signer import Signer
from tests.runtime.record_damage import flipped, payload_in, spoil, write_old_form
from tests.runtime.test_record_file import ASKED, OTHERS, Message, on_disk
from tests.runtime.test_signer import CHAIN, KEY, A, B, open_signer, precommit, prevote, refusal


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    return folder


def tears(before: bytes, after: bytes) -> list[bytes]:
    """What a power cut may leave of a file that was written over: torn at any byte, in either order, and in pieces."""
    changed = [at for at in range(FILE_BYTES) if before[at] != after[at]]
    first = changed[0] // SLOT_BYTES * SLOT_BYTES
    assert first <= changed[-1] < first + SLOT_BYTES, "both slots were touched"
    left = [after[:at] + before[at:] for at in range(FILE_BYTES + 1)]
    left += [before[:at] + after[at:] for at in range(FILE_BYTES + 1)]
    left += [after[:at] + bytes(64) + after[at + 64 :] for at in range(first, first + 512, 64)]
    left += [bytes(new if at % 3 else old for at, (old, new) in enumerate(zip(before, after, strict=True)))]
    return list(dict.fromkeys(left))


class Cuts:
    """Stands where the record is forced to the disk, and looks at each state in which the power may go there."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        self.folder = folder
        self.scratch = scratch
        self.given: list[Message] = []
        self.looked = self.lived = 0

    def force(self, path: Path, offset: int, content: bytes) -> None:
        now = (self.folder / "record").read_bytes()
        after = now[:offset] + content + now[offset + len(content) :]
        states = tears(now, after)
        for number, state in enumerate(states):
            self._look(state, lives=number in (0, 1, len(states) // 2, len(states) - 1))
        path.write_bytes(after)

    def _look(self, state: bytes, *, lives: bool) -> None:
        self.looked += 1
        path = self.scratch / "record"
        path.write_bytes(state)
        record = RecordFile(path, KEY.public_key, CHAIN).refresh().record
        coming = ASKED[len(self.given)]
        assert record.message is not None
        known = [replace(one, signature=coming.signature) for one in (record.message, *self.given[-1:])]
        assert known[0] in (coming, *known[1:]), "neither the record before, nor the one that is coming"
        if lives:
            self._live_on(path)

    def _live_on(self, path: Path) -> None:
        """It starts, contradicts nothing that has left, and goes on to the end."""
        self.lived += 1
        signer = open_signer(path)
        for number, other in enumerate(OTHERS[: len(self.given)]):
            assert refusal(signer, other), number
        for message in ASKED[len(self.given) :]:
            signer.sign(message)


def test_a_power_cut_in_the_middle_of_a_write_leaves_the_record_before(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = open_signer(folder / "record")
    signer.sign(ASKED[0])
    cuts = Cuts(folder, tmp_path)
    cuts.given.append(ASKED[0])
    for message in ASKED[1:]:
        with monkeypatch.context() as patch:
            patch.setattr(record_file, "overwrite", once(cuts.force, atomic_file.overwrite))
            signed = signer.sign(message)
        assert not isinstance(signed, Announcement)
        cuts.given.append(message)
    assert cuts.looked > 1_000 and cuts.lived == 12


Overwrite = Callable[[Path, int, bytes], None]


def once(first: Overwrite, then: Overwrite) -> Overwrite:
    """What looks at the cuts writes records of its own."""
    calls = iter([first])
    return lambda path, offset, content: next(calls, then)(path, offset, content)


def test_signatures_are_written_by_turns_and_everything_else_into_both(folder: Path) -> None:
    path = folder / "record"

    def halves() -> tuple[bytes, bytes]:
        raw = path.read_bytes()
        assert len(raw) == FILE_BYTES
        return raw[:SLOT_BYTES], raw[SLOT_BYTES:]

    signer = open_signer(path)
    assert len({*halves()}) == 1
    changed = []
    for message in ASKED:
        before = halves()
        signer.sign(message)
        changed.append([old != new for old, new in zip(before, halves(), strict=True)])
    assert changed in ([[False, True], [True, False]] * 2, [[True, False], [False, True]] * 2)
    assert len({*halves()}) == 2
    signer.load()
    assert len({*halves()}) == 1
    signer.sign(prevote(8, 0))
    file = RecordFile(path, KEY.public_key, CHAIN)
    file.write(replace(file.refresh(), moves=1, is_away=True))
    assert len({*halves()}) == 1, "the loss of a slot would undo a move"


@pytest.mark.parametrize("is_newest", [True, False])
def test_one_damaged_slot_is_told_of_and_mended_at_the_start(
    folder: Path, caplog: pytest.LogCaptureFixture, is_newest: bool
) -> None:
    path = folder / "record"
    signer = open_signer(path)
    signed = [signer.sign(message) for message in ASKED]
    assert caplog.records == []
    spoil(path, is_newest=is_newest)
    record = open_signer(path).record
    assert record.message == signed[-2 if is_newest else -1]
    assert [getattr(line, "evt.name") for line in caplog.records] == ["record_damaged"]
    assert open_signer(path).record == record and len(caplog.records) == 1


def test_a_record_that_fell_back_by_one_gives_the_same_signature_again_and_no_earlier_one(folder: Path) -> None:
    path = folder / "record"
    signed = [open_signer(path).sign(message) for message in ASKED]
    signer = open_signer(path)
    spoil(path, is_newest=True)  # both slots held the last: it is still there
    assert open_signer(path).record.message == signed[-1]
    signed.append(signer.sign(precommit(7, 1, A)))
    spoil(path, is_newest=True)
    again = open_signer(path)
    for other in OTHERS:
        assert refusal(again, other)
    assert again.sign(precommit(7, 1, A)) == signed[-1]


def test_the_loss_of_the_newest_slot_under_a_running_process_is_refused(folder: Path) -> None:
    path = folder / "record"
    signer = open_signer(path)
    for message in ASKED[:2]:
        signer.sign(message)
    spoil(path, is_newest=True)
    assert "replaced by an older one" in refusal(signer, ASKED[2])


def test_the_loss_of_the_older_slot_under_a_running_process_is_mended_by_the_next_signature(folder: Path) -> None:
    path = folder / "record"
    signer = open_signer(path)
    for message in ASKED[:2]:
        signer.sign(message)
    spoil(path, is_newest=False)
    signer.sign(ASKED[2])
    found = newest(path.read_bytes())
    assert found is not None and not found.is_alone
    assert on_disk(folder).message == signer.record.message


def test_a_record_of_the_old_form_is_read_and_gets_its_slots_at_the_start(folder: Path) -> None:
    path = folder / "record"
    file = RecordFile(path, KEY.public_key, CHAIN)
    for moves in (0, 3):  # versions 1 and 2 of what it held
        open_signer(path).sign(prevote(4 + moves, 0))
        file.write(replace(file.refresh(), moves=moves))
        write_old_form(path)
        old = path.read_bytes()
        Signer(KEY, CHAIN, path).check()
        assert path.read_bytes() == old, "who only looks changes nothing"
        signer = open_signer(path)
        assert (signer.record.height, path.stat().st_size) == (4 + moves, FILE_BYTES)
        assert RecordFile(path, KEY.public_key, CHAIN).refresh().moves == moves
        assert "another message" in refusal(signer, prevote(4 + moves, 0, B))


def test_a_damaged_record_of_the_old_form_is_refused(folder: Path) -> None:
    path = folder / "record"
    open_signer(path).sign(precommit(4, 2))
    write_old_form(path)
    good = path.read_bytes()
    for damage in [*(good[:size] for size in range(0, len(good), 7)), *(flipped(good, at) for at in range(len(good)))]:
        path.write_bytes(damage)
        with pytest.raises(SigningRefused, match=r"is damaged \(its checksum is wrong\): restore it"):
            Signer(KEY, CHAIN, path).load()


def test_a_record_with_a_good_checksum_is_still_not_trusted(folder: Path) -> None:
    path = folder / "record"
    signer = open_signer(path)
    signer.sign(prevote(4, 2))
    signed = signer.sign(precommit(4, 2))
    payload = payload_in(path)
    for changed, why in (
        (payload.replace(signed.signature, bytes(64)), "does not bear the key's signature"),
        (payload + b"\x00", "not a RecordContent"),
        (b"\x97\x02" + payload[2:], "not a RecordContent"),  # a later version
    ):
        assert changed != payload
        path.write_bytes(file_of(changed, 9))
        with pytest.raises(SigningRefused, match=why):
            open_signer(path)
    path.write_bytes(file_of(payload, 9))
    assert open_signer(path).record == signer.record


def test_a_number_behind_which_there_may_be_no_next_is_damage(folder: Path) -> None:
    path = folder / "record"
    open_signer(path).sign(ASKED[0])
    path.write_bytes(file_of(payload_in(path), NUMBER_MAX + 1))
    assert "is damaged (its number is higher" in refusal(Signer(KEY, CHAIN, path), ASKED[1])
    path.write_bytes(file_of(payload_in(path), NUMBER_MAX))
    assert Signer(KEY, CHAIN, path).sign(ASKED[0]).signature, "the highest that counts"
