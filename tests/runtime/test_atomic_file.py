"""Small files that are there whole or not at all, on file systems with and without links."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from blockchain.runtime import atomic_file
from blockchain.runtime.atomic_file import (
    create_file,
    overwrite,
    read_file,
    remove_leftovers,
    replace_file,
    temporary_for,
)


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_creates_a_file_that_is_the_owners_alone(tmp_path: Path) -> None:
    create_file(tmp_path / "new", b"content\r\n")
    assert (tmp_path / "new").read_bytes() == b"content\r\n"
    assert os.listdir(tmp_path) == ["new"]
    if os.name != "nt":
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o600


@pytest.mark.parametrize("has_links", [True, False])
def test_never_creates_over_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool) -> None:
    (tmp_path / "old").write_bytes(b"old")
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(FileExistsError):
        create_file(tmp_path / "old", b"new")
    assert (tmp_path / "old").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["old"]


def test_creates_where_the_file_system_has_no_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", no_links)
    create_file(tmp_path / "new", b"content")
    assert (tmp_path / "new").read_bytes() == b"content"
    assert os.listdir(tmp_path) == ["new"]


def test_replaces_a_file_or_makes_it(tmp_path: Path) -> None:
    for content in (b"first", b"second, longer", b""):
        replace_file(tmp_path / "file", content)
        assert (tmp_path / "file").read_bytes() == content
        assert os.listdir(tmp_path) == ["file"]


SYNC = "blockchain.runtime.atomic_file.sync"


@pytest.mark.parametrize("failing", [SYNC, "blockchain.runtime.atomic_file.rename"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    replace_file(tmp_path / "file", b"old")
    monkeypatch.setattr(failing, no_space)
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_writes_over_a_piece_of_a_file_and_forces_it_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    create_file(path, b"0123456789")
    before = path.stat()
    forced: list[bytes] = []
    monkeypatch.setattr(atomic_file, "sync_content", lambda descriptor: forced.append(path.read_bytes()))
    overwrite(path, 3, b"xyz")
    assert forced == [b"012xyz6789"] and path.read_bytes() == forced[0]
    assert (path.stat().st_ino, path.stat().st_mode) == (before.st_ino, before.st_mode)
    assert os.listdir(tmp_path) == ["file"]


def test_writes_over_a_piece_whose_writing_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "file", os.write
    create_file(path, b"0123456789")
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:2]))
    overwrite(path, 3, b"abcde")
    assert path.read_bytes() == b"012abcde89"


def test_reads_the_beginning_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read = tmp_path / "file", os.read
    create_file(path, b"0123456789")
    for _ in range(2):
        assert [read_file(path, size) for size in (4, 10, 11)] == [b"0123", b"0123456789", b"0123456789"]
        monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 3)))
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none", 1)


def test_writes_over_nothing_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        overwrite(tmp_path / "file", 0, b"x")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_content_is_forced_by_the_call_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    done: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: done.append("fdatasync"), raising=False)
    monkeypatch.setattr(atomic_file, "sync", lambda descriptor: done.append("sync"))
    monkeypatch.setattr("sys.platform", platform)
    atomic_file.sync_content(0)
    assert done == ["fdatasync" if platform == "linux" else "sync"]


def test_content_is_forced_to_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    rename = atomic_file.rename

    def record_sync(descriptor: int) -> None:
        assert os.fstat(descriptor).st_size == len(b"new")
        done.append("sync")

    def record_rename(source: Path, target: Path) -> None:
        done.append("name")
        rename(source, target)

    monkeypatch.setattr(SYNC, record_sync)
    monkeypatch.setattr(atomic_file, "rename", record_rename)
    monkeypatch.setattr("blockchain.runtime.atomic_file.sync_folder", lambda folder: done.append(folder.name))
    replace_file(tmp_path / "file", b"new")
    assert done == ["sync", "name", tmp_path.name]
    done.clear()
    create_file(tmp_path / "another", b"new")
    assert done == ["sync", tmp_path.name]


needs_folder_sync = pytest.mark.skipif(os.name == "nt", reason="Windows cannot force a folder to the disk")


@needs_folder_sync
def test_a_folder_that_cannot_be_forced_to_the_disk_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SYNC, lambda descriptor: None)
    monkeypatch.setattr(os, "fsync", no_space)  # of the folder alone
    with pytest.raises(OSError, match="No space left"):
        replace_file(tmp_path / "file", b"new")


@needs_folder_sync
def test_a_file_system_that_has_no_such_call_for_folders_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_for_folders(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(SYNC, lambda descriptor: None)
    monkeypatch.setattr(os, "fsync", not_for_folders)
    replace_file(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_folder_on_a_drive_that_is_missing_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda path: False)
    with pytest.raises(OSError, match="exists"):
        atomic_file.make_folder(tmp_path / "new")


# ------------------------------------------------------------------------------------------------ leftovers

LEFT = ".key.pem.0123456789abcdef.blockchain.tmp"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks: a file is held by being open")


def leave(folder: Path, name: str = LEFT) -> None:
    """As a process does that was killed in the middle of writing; long enough ago for Windows."""
    (folder / name).write_bytes(b"-----BEGIN PRIVATE KEY-----")
    os.utime(folder / name, (0, 0))


def test_leftovers_of_crashes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = ["record", "record.lock", ".other.0123456789abcdef.tmp", LEFT[1:], f"{LEFT}.mine", LEFT.replace("a", "A")]
    for name in [*kept, LEFT, ".record.ffffffffffffffff.blockchain.tmp"]:
        leave(tmp_path, name)
    (tmp_path / LEFT.replace("0", "1")).mkdir()
    remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, LEFT.replace("0", "1")])
    remove_leftovers(tmp_path / "none")


def test_the_copy_of_a_leftover_goes_with_it_and_not_while_it_is_written(tmp_path: Path) -> None:
    leave(tmp_path)
    leave(tmp_path, f"{LEFT}-copy")
    with temporary_for(tmp_path / "backup") as temporary:
        copy = temporary.make_copy()
        remove_leftovers(tmp_path)
        assert sorted(os.listdir(tmp_path)) == [temporary.path.name, copy.name]
        assert os.name == "nt" or stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == []


def test_whoever_writes_next_in_a_folder_removes_what_others_left_there(tmp_path: Path) -> None:
    for write in (create_file, replace_file, replace_file):
        leave(tmp_path)
        write(tmp_path / "another", b"new")
        assert os.listdir(tmp_path) == ["another"]


def test_what_another_process_is_writing_is_no_leftover(tmp_path: Path) -> None:
    with temporary_for(tmp_path / "key.pem") as temporary:
        assert atomic_file._TEMPORARY.fullmatch(temporary.path.name)
        create_file(tmp_path / "another", b"new")  # a lock is of one opened file: this is as in another process
        temporary.file.write(b"key")
        atomic_file.rename(temporary.finish(), tmp_path / "key.pem")
    assert sorted(os.listdir(tmp_path)) == ["another", "key.pem"]
    assert (tmp_path / "key.pem").read_bytes() == b"key"


@posix
def test_one_that_another_process_takes_for_a_leftover_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = atomic_file._hold
    held: list[bool] = []

    def late(descriptor: int) -> bool:
        if not held:
            remove_leftovers(tmp_path)
        held.append(hold(descriptor))
        return held[-1]

    monkeypatch.setattr(atomic_file, "_hold", late)
    create_file(tmp_path / "new", b"content")
    assert held == [False, True]
    assert (tmp_path / "new").read_bytes() == b"content"


@posix
def test_a_file_system_without_locks_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    leave(tmp_path)
    monkeypatch.setattr("fcntl.flock", no_locks)
    create_file(tmp_path / "new", b"content")
    assert sorted(os.listdir(tmp_path)) == [LEFT, "new"]  # nobody knows whose it is


@posix
def test_it_is_the_owners_alone_from_the_first_byte(tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        with temporary_for(tmp_path / "key.pem") as temporary:
            assert stat.S_IMODE(temporary.path.stat().st_mode) == 0o600
            assert temporary.path.stat().st_size == 0
    finally:
        os.umask(umask)
    assert os.listdir(tmp_path) == []
