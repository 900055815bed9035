"""The file that a backup is written to, before it has its name; what is in one: tests/commands/test_db.py."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from pathlib import Path

from blockchain.runtime.atomic_file import temporary_for
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.sqlite_backup import back_up
from tests.runtime import store_batches


def test_it_is_its_owners_alone_from_the_start_and_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    with closing(SqliteStore.open(tmp_path / "data", store_batches.GENESIS)) as store:
        store.write(store_batches.batch_of(1))
    copies = tmp_path / "copies"
    copies.mkdir()
    left = copies / ".yesterday.db.0123456789abcdef.blockchain.tmp"
    left.write_bytes(b"half")
    os.utime(left, (0, 0))
    modes: list[list[int]] = []

    def look(_done: int, _all: int) -> None:
        with temporary_for(copies / "another"):  # another process writes to this folder, and leaves the copy alone
            pass
        modes.append([stat.S_IMODE(path.stat().st_mode) for path in copies.iterdir()])

    assert back_up(tmp_path / "data", store_batches.GENESIS, copies / "today.db", overwrite=False, progress=look) == 1
    assert modes
    assert os.name == "nt" or all(found == [0o600] for found in modes), "of SQLite's own files none is beside it"
    assert os.listdir(copies) == ["today.db"]
