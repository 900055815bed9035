"""The signing record through power cuts: whatever has left is on the disk, at each moment and after each failure.

What the two slots are as bytes: `test_record_slots`; what the engine makes of a record that fell back: `test_restart`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from msgspec.structs import replace

from blockchain.consensus.signing import position_of
from blockchain.errors import SigningRefused
from blockchain.primitives.vote import Announcement, Proposal, Vote
from blockchain.runtime import atomic_file, record_file
from blockchain.runtime.record_file import Kept, RecordFile
from blockchain.runtime.record_slots import FILE_BYTES, SLOT_BYTES, newest
from blockchain.runtime.signer import Signer
from blockchain.seams import SigningRecord
from tests.runtime.power_cut import Disk, Killed
from tests.runtime.test_signer import (
    CHAIN,
    KEY,
    ME,
    A,
    B,
    flipped,
    open_signer,
    payload_in,
    precommit,
    prevote,
    proposal,
    refusal,
)

Message = Vote | Proposal

ASKED: list[Message] = [proposal(7, 0), prevote(7, 0, A), precommit(7, 0, A), prevote(7, 1, None)]
OTHERS: list[Message] = [proposal(7, 0, B), prevote(7, 0, B), precommit(7, 0, None), prevote(7, 1, A, 0)]
OPERATIONS_MAX = 40  # more than the play below does; those that never come are the play without a failure


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    return folder


def write_old_form(path: Path) -> None:
    """As the versions before slots had it: one record, and its checksum behind it."""
    payload = payload_in(path)
    path.write_bytes(payload + sha256(payload).digest())


def on_disk(folder: Path) -> SigningRecord:
    return RecordFile(folder / "record", KEY.public_key, CHAIN).refresh().record


class Play:
    """A validator that asks for four signatures, starting again whenever it was killed or refused."""

    def __init__(self, disk: Disk, scratch: Path) -> None:
        self.disk = disk
        self.scratch = scratch
        self.given: list[Message] = []
        self.cuts = 0

    def run(self) -> None:
        signer = self._start()
        for message, other in zip(ASKED, OTHERS, strict=True):
            signer = self._ask(signer, message)
            with pytest.raises(SigningRefused):
                signer.sign(other)  # in the place of what was given, and then another one
        assert [replace(one, signature=ASKED[0].signature) for one in self.given[-1:]] == ASKED[-1:]

    def _start(self) -> Signer:
        while True:
            signer = Signer(KEY, CHAIN, self.disk.folder / "record")
            try:
                record = signer.load()
            except (Killed, SigningRefused):
                continue  # the failure comes once
            if record.message is not None:
                self._leaves(record.message)  # a node that starts sends its last message again
            return signer

    def _ask(self, signer: Signer, message: Message) -> Signer:
        while True:
            try:
                signed = signer.sign(message)
            except (Killed, SigningRefused) as error:
                signer = self._start() if isinstance(error, Killed) else signer
                continue
            assert not isinstance(signed, Announcement)
            self._leaves(signed)
            return signer

    def _leaves(self, message: Message) -> None:
        """If the power goes now, the key will not contradict what has just left."""
        self.given.append(message)
        self.cuts += 1
        found = on_disk(self.disk.after_cut(self.scratch / str(self.cuts)))
        assert found.message is not None
        assert position_of(found.message) > position_of(message) or found.message == message


@pytest.mark.parametrize("is_old", [False, True], ids=["new", "old form"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("failure", [Killed(), OSError(5, "Input/output error")], ids=["killed", "error"])
def test_what_has_left_is_on_the_disk_whatever_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException, after: bool, is_old: bool
) -> None:
    failed = 0
    open_signer(folder / "record").sign(prevote(6, 0))
    write_old_form(folder / "record")
    old = (folder / "record").read_bytes()
    for number in range(OPERATIONS_MAX):
        with monkeypatch.context() as patch:
            own = tmp_path / str(number)
            (own / "keys").mkdir(parents=True)
            disk = Disk(own / "keys", patch)
            if is_old:
                disk.begin_with("record", old)
            disk.fail_at(number, failure, after=after)
            Play(disk, own).run()
            failed += len(disk.operations) > number
    assert failed >= 7  # three operations for the first record, and one for each of four signatures
    assert failed < OPERATIONS_MAX


def test_the_disk_of_this_test_sees_what_is_not_forced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(folder, monkeypatch)
    signer = open_signer(folder / "record")
    disk.fail_at(0, OSError(5, "Input/output error"), after=False)
    assert "cannot be written: Input/output error" in refusal(signer, prevote(1, 0))
    assert on_disk(folder).height == 1
    assert on_disk(disk.after_cut(tmp_path / "cut")).height == 0
    signer.sign(prevote(1, 0))  # the very same is given, but not before it is on the disk
    assert on_disk(disk.after_cut(tmp_path / "again")).height == 1


def test_a_new_place_is_forced_to_the_disk_with_all_that_is_new_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    sync_folder = atomic_file.sync_folder

    def noted(folder: Path) -> None:
        synced.append(folder.name)
        sync_folder(folder)

    monkeypatch.setattr(atomic_file, "sync_folder", noted)
    open_signer(tmp_path / "new" / "newer" / "record")
    assert synced == [tmp_path.name, "new", "newer"]  # the last one with the file's own name
    if os.name != "nt":
        assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new", tmp_path / "new" / "newer")} == {0o700}


# ------------------------------------------------------------------------------------------------ two slots


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
    overwrite = record_file.overwrite
    for message in ASKED[1:]:
        with monkeypatch.context() as patch:
            patch.setattr(record_file, "overwrite", once(cuts.force, overwrite))
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


def spoil(path: Path, *, is_newest: bool) -> None:
    """A bit of a slot rots."""
    found = newest(path.read_bytes())
    assert found is not None
    place = found.place if is_newest else found.other_place
    path.write_bytes(flipped(path.read_bytes(), place * SLOT_BYTES + 77))


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


# ------------------------------------------------------------------------------------------------ going back


def test_a_record_of_another_past_is_refused_while_it_is_in_use(folder: Path) -> None:
    path = folder / "record"
    signer = open_signer(path)
    for message in (precommit(4, 1, A), prevote(4, 2, None)):
        signer.sign(message)
    other = open_signer(folder / "other")
    for unlike in (
        prevote(4, 2, B),
        prevote(4, 3, B),
        precommit(4, 3, None),
    ):  # the same place; no lock; later, no lock
        other.sign(unlike)
        path.write_bytes((folder / "other").read_bytes())
        assert "replaced by an older one" in refusal(signer, prevote(5, 0))


def test_a_record_that_cannot_be_is_damaged(folder: Path) -> None:
    path = folder / "record"
    file = RecordFile(path, KEY.public_key, CHAIN)
    signed = open_signer(path).sign(precommit(4, 2, A))
    good = file.refresh().record
    assert good.message == signed
    file.write(Kept(replace(good, precommit_round=1)))
    with pytest.raises(SigningRefused, match=r"is damaged \(its last precommit"):
        open_signer(path)


@pytest.mark.skipif(os.name == "nt", reason="no modes on Windows")
def test_a_record_that_was_copied_becomes_its_owners_alone(folder: Path) -> None:
    path = folder / "record"
    open_signer(path)
    path.chmod(0o644)
    open_signer(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# ------------------------------------------------------------------------------------------------ moved away


def test_a_validator_that_was_moved_away_signs_nothing(folder: Path) -> None:
    path = folder / "record"
    running = open_signer(path)
    running.sign(prevote(4, 0))
    file = RecordFile(path, KEY.public_key, CHAIN)
    kept = file.refresh()
    file.write(replace(kept, moves=3, is_away=True))
    for message in (prevote(4, 0), prevote(5, 0), proposal(9, 0), Announcement(ME, 7, 5)):
        assert "was moved away (move 3)" in refusal(running, message)
        with pytest.raises(SigningRefused, match="was moved away"):
            open_signer(path)  # restarts change nothing
    with pytest.raises(SigningRefused, match="was moved away"):
        Signer(KEY, CHAIN, path).check()
    assert path.stat().st_size == FILE_BYTES


def test_a_validator_that_came_back_signs_on_and_knows_its_moves(folder: Path) -> None:
    path = folder / "record"
    open_signer(path).sign(prevote(4, 0))
    file = RecordFile(path, KEY.public_key, CHAIN)
    file.write(replace(file.refresh(), moves=2))
    open_signer(path).sign(precommit(4, 0))
    kept = RecordFile(path, KEY.public_key, CHAIN).refresh()
    assert (kept.moves, kept.is_away, kept.record.round, kept.record.precommit_value) == (2, False, 0, A)


def test_a_record_that_forgets_its_moves_is_refused(folder: Path) -> None:
    path = folder / "record"
    open_signer(path)
    before = path.read_bytes()
    file = RecordFile(path, KEY.public_key, CHAIN)
    file.write(replace(file.refresh(), moves=1))
    signer = open_signer(path)
    path.write_bytes(before)
    assert "replaced by an older one" in refusal(signer, prevote(1, 0))
