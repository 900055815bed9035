"""The file that a backup is written to, before it has its name; what is in one: tests/commands/test_db.py."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path

import pytest

from blockchain.runtime.atomic_file import create_file, temporary_for
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.sqlite_backup import back_up
from tests.runtime import store_batches

LEFT = ".yesterday.db.0123456789abcdef.blockchain.tmp"


def sound_store(folder: Path) -> Path:
    with closing(SqliteStore.open(folder, store_batches.GENESIS)) as store:
        store.write(store_batches.batch_of(1))
    return folder


def test_it_is_its_owners_alone_from_the_start_and_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    sound_store(tmp_path / "data")
    copies = tmp_path / "copies"
    copies.mkdir()
    for name in (LEFT, f"{LEFT}-copy"):
        (copies / name).write_bytes(b"half")
        os.utime(copies / name, (0, 0))
    modes: list[list[int]] = []

    def look(_done: int, _all: int) -> None:
        with temporary_for(copies / "another"):  # another process writes to this folder, and leaves the copy alone
            pass
        modes.append([stat.S_IMODE(path.stat().st_mode) for path in copies.iterdir()])

    assert back_up(tmp_path / "data", store_batches.GENESIS, copies / "today.db", overwrite=False, progress=look) == 1
    assert modes
    assert os.name == "nt" or all(found == [0o600, 0o600] for found in modes), "and no file of SQLite's own"
    assert os.listdir(copies) == ["today.db"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks")
def test_what_sqlite_writes_to_is_not_locked(tmp_path: Path) -> None:
    """On a network share (SMB) who locks a file keeps all others from writing to it, by flock(2): SQLite too."""
    import fcntl

    sound_store(tmp_path / "data")
    copies = tmp_path / "copies"
    copies.mkdir()
    free: list[Path] = []

    def look(_done: int, _all: int) -> None:
        written = [path for path in copies.iterdir() if path.stat().st_size]
        for path in written:
            with path.open("rb+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free.extend(written)

    back_up(tmp_path / "data", store_batches.GENESIS, copies / "today.db", overwrite=False, progress=look)
    assert free


def test_a_backup_that_fails_leaves_nothing(tmp_path: Path) -> None:
    sound_store(tmp_path / "data")
    copies = tmp_path / "copies"
    copies.mkdir()

    def interrupt(_done: int, _all: int) -> None:
        create_file(copies / "another", b"")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        back_up(tmp_path / "data", store_batches.GENESIS, copies / "today.db", overwrite=False, progress=interrupt)
    assert os.listdir(copies) == ["another"]
