"""The signing record through power cuts: whatever has left is on the disk, at each moment and after each failure.

In the middle of a write: `test_torn_record`.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from msgspec.structs import replace

from blockchain.consensus.signing import position_of
from blockchain.errors import SigningRefused
from blockchain.primitives.vote import Announcement, Proposal, Vote
from blockchain.runtime import atomic_file
from blockchain.runtime.record_file import Kept, RecordFile
from blockchain.runtime.record_slots import FILE_BYTES
from blockchain.runtime.signer import Signer
from blockchain.seams import SigningRecord
from tests.runtime.power_cut import Disk, Killed
from tests.runtime.record_damage import write_old_form
from tests.runtime.test_signer import CHAIN, KEY, ME, A, B, open_signer, precommit, prevote, proposal, refusal

Message = Vote | Proposal

ASKED: list[Message] = [proposal(7, 0), prevote(7, 0, A), precommit(7, 0, A), prevote(7, 1, None)]
OTHERS: list[Message] = [proposal(7, 0, B), prevote(7, 0, B), precommit(7, 0, None), prevote(7, 1, A, 0)]
OPERATIONS_MAX = 40  # more than the play below does; those that never come are the play without a failure


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    return folder


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
