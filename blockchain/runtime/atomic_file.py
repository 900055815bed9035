"""Small files that are there whole or not at all: key files and signing records.

The content goes into a temporary file of the same folder, mode 0600 from its creation, is forced to the disk, and
only then gets its name, and the folder is forced to the disk too. A crash leaves at most a temporary file behind.
Windows cannot force a folder to the disk; there it is the renaming that is told to wait until it is on it.
"""

from __future__ import annotations

import errno
import glob
import os
import secrets
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

if sys.platform == "darwin":
    import fcntl
elif sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _REPLACE_EXISTING: Final = 0x1  # winbase.h
    _WRITE_THROUGH: Final = 0x8  # "does not return until the file is actually moved on the disk"
    _MOVE = ctypes.WinDLL("kernel32", use_last_error=True).MoveFileExW
    _MOVE.argtypes = (wintypes.LPCWSTR, wintypes.LPCWSTR, wintypes.DWORD)
    _MOVE.restype = wintypes.BOOL

PRIVATE: Final = 0o600
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO  # what a private file grants nobody
_PRIVATE_FOLDER: Final = 0o700
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


def create_file(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet. Raises FileExistsError, or another OSError; then nothing is there."""
    temporary = _write_temporary(path, content)
    try:
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in the place of the one that may be there.

    Once this returns, the new content is on the disk. When it raises OSError, the old one or the new one is.
    """
    temporary = _write_temporary(path, content)
    try:
        rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder that is its owner's alone, with those above it; nothing where it is there. Raises OSError.

    What is new is forced to the disk by its name: a file is not safe in a folder that a power cut takes away.
    """
    missing = []
    while not folder.is_dir() and folder != folder.parent:  # a drive that is missing is its own parent
        missing.append(folder)
        folder = folder.parent
    for one in reversed(missing):
        one.mkdir(_PRIVATE_FOLDER, exist_ok=True)  # another process may be as far
        sync_folder(one.parent)


def settle(path: Path) -> None:
    """Force a file that is there to the disk, and its name: whoever wrote it may not have come to that."""
    with path.open("r+b") as file:
        sync(file.fileno())
    sync_folder(path.parent)


def remove_leftovers(path: Path) -> None:
    """Remove what crashes in the middle of writing this file left behind. Only where nobody else is writing it."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with suppress(OSError):  # it does no harm, and is tried again at the next start
            temporary.unlink()


def _write_temporary(path: Path, content: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, _CREATE, PRIVATE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            sync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def publish(temporary: Path, path: Path) -> None:
    """Give the file its name, unless something has that name. A link does so in one step, a rename would overwrite."""
    if sys.platform == "win32":
        _move(temporary, path, _WRITE_THROUGH)  # which does not overwrite there
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links (FAT, some network shares): take the name first, then fill it
        os.close(os.open(path, _CREATE, PRIVATE))
        os.replace(temporary, path)


def rename(source: Path, target: Path) -> None:
    """Give a file the name of another one, which it replaces, in one step."""
    if sys.platform == "win32":
        _move(source, target, _REPLACE_EXISTING | _WRITE_THROUGH)
    else:
        os.replace(source, target)


if sys.platform == "win32":

    def _move(source: Path, target: Path, flags: int) -> None:
        if not _MOVE(str(source), str(target), flags):
            raise ctypes.WinError(ctypes.get_last_error())


def sync(descriptor: int) -> None:
    """Past the cache of the disk too, which fsync alone does not promise on macOS."""
    if sys.platform == "darwin":
        with suppress(OSError):  # a file system without it, some network shares: what is left is fsync
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_folder(folder: Path) -> None:
    """A new name is durable when its folder is. Windows has no such call: see `rename`."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # POSIX: this file system cannot do it for folders
            raise
    finally:
        os.close(descriptor)
