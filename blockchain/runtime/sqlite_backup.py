"""A consistent copy of a store, also while a node writes to it: SQLite's online backup, of one moment.

The copy gets its name when it is whole, forced to the disk, and has been opened and looked at. The signing record is
no part of it: a second node that signs with an old record can sign against the first.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from blockchain.errors import StoreError
from blockchain.runtime.atomic_file import publish, rename, settle, sync_folder, temporary_for
from blockchain.runtime.sqlite_check import check_head, check_pages
from blockchain.runtime.sqlite_file import STORE_FILE, InWords, check_owner
from blockchain.runtime.sqlite_look import snapshot
from blockchain.runtime.sqlite_rows import read_height

_PAGES_A_STEP: Final = 1_024  # 4 MiB between two signs of progress


def back_up(
    folder: Path, genesis_hash: bytes, destination: Path, *, overwrite: bool, progress: Callable[[int, int], None]
) -> int:
    """Copy the folder's store to the file `destination`; returns the height of the copy.

    `progress` is told (pages copied, pages in all). Raises StoreError when there is no store or it is not sound, when
    the destination exists (unless it may be overwritten) or cannot be written; then nothing is at the destination that
    was not there before.
    """
    _check_destination(folder, destination, overwrite=overwrite)
    try:
        with temporary_for(destination) as temporary:
            copy = temporary.make_copy()
            with snapshot(folder, genesis_hash) as source:
                _copy(source.connection, copy, progress)
            height = _check_copy(copy, genesis_hash)
            _name_it(copy, destination, overwrite=overwrite)
    except OSError as error:
        raise StoreError(f"backup {destination}: cannot be written: {error.strerror}") from None
    return height


def _check_destination(folder: Path, destination: Path, *, overwrite: bool) -> None:
    if destination.is_dir():
        raise StoreError(f"backup {destination}: it is a folder: name the file to make in it")
    if destination.exists():
        if destination.resolve() == (folder / STORE_FILE).resolve():
            raise StoreError(f"backup {destination}: it is the store itself: choose another place")
        if destination.resolve().parent == folder.resolve():  # its WAL, its lock, the node's key
            raise StoreError(f"backup {destination}: it is a file of the node: choose another place")
        if not overwrite:
            raise _exists(destination)
    if not destination.parent.is_dir():
        raise StoreError(f"backup {destination}: there is no folder {destination.parent}: make it first")


def _exists(destination: Path) -> StoreError:
    return StoreError(f"backup {destination}: it exists: choose another name, or add --overwrite")


def _copy(source: apsw.Connection, target: Path, progress: Callable[[int, int], None]) -> None:
    """The target is empty, and nobody else's: SQLite needs no locks there, which some network shares have not."""
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI
    address = f"{target.resolve().as_uri()}?nolock=1"
    with InWords(target, "cannot write the backup"), closing(apsw.Connection(address, flags=flags)) as copy:
        copy.pragma("journal_mode", "OFF")  # a copy that fails is thrown away
        copy.pragma("synchronous", "OFF")  # and one that is whole is forced to the disk once
        with copy.backup("main", source, "main") as backup:
            while not backup.done:
                backup.step(_PAGES_A_STEP)
                progress(backup.page_count - backup.remaining, backup.page_count)


def _check_copy(path: Path, genesis_hash: bytes) -> int:
    """Opened as it is, without the files that SQLite puts beside a database in use; returns its height."""
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    address = f"{path.resolve().as_uri()}?immutable=1"
    with InWords(path, "cannot read the backup"), closing(apsw.Connection(address, flags=flags)) as copy:
        version = check_owner(copy, path, genesis_hash)
        check_pages(path, copy.pragma("quick_check", 1))
        check_head(copy, path, version)
        return read_height(copy)


def _name_it(copy: Path, destination: Path, *, overwrite: bool) -> None:
    settle(copy)
    if overwrite:
        rename(copy, destination)
    else:
        try:
            publish(copy, destination)
        except FileExistsError:
            raise _exists(destination) from None
    sync_folder(destination.parent)
