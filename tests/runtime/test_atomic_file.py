"""Small files that are there whole or not at all, on file systems with and without links."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from blockchain.runtime import atomic_file
from blockchain.runtime.atomic_file import create_file, remove_leftovers, replace_file


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


def test_leftovers_of_crashes_are_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = ["record", "record.lock", ".other.0123456789abcdef.tmp", "record.0123456789abcdef.tmp"]
    for name in [*kept, ".record.0123456789abcdef.tmp", ".record.ffffffffffffffff.tmp"]:
        (tmp_path / name).write_bytes(b"x")
    remove_leftovers(tmp_path / "record")
    assert sorted(os.listdir(tmp_path)) == sorted(kept)
