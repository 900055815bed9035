"""Files that are there whole or not at all: key files, signing records, backups. Nobody else writes temporary files.

The content goes into a temporary file of the same folder, mode 0600 from its creation, is forced to the disk, and
only then gets its name, and the folder is forced to the disk too. A crash leaves at most a temporary file behind,
which the next one in that folder removes, of whatever file: there may be a key in it. Who writes one holds a lock on
it, which ends with the process however that ends; so what can be locked is nobody's, and only that is removed. On
network shares a lock may keep everybody else from the content (flock(2), CIFS): so it is the locked descriptor that
writes it, or, for who writes to a path, a *copy* beside the locked file, which goes when that one goes.
Windows cannot force a folder to the disk; there it is the renaming that is told to wait until it is on it.

`overwrite` alone is neither whole nor not at all: whoever calls it keeps two copies (`runtime.record_slots`).
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

if sys.platform != "win32":
    import fcntl
else:
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
_PLAIN: Final = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_READ: Final = os.O_RDONLY | _PLAIN
_WRITE: Final = os.O_WRONLY | _PLAIN
_CREATE: Final = _WRITE | os.O_CREAT | os.O_EXCL
_OVERWRITE: Final = (_CREATE & ~os.O_EXCL) | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{16}\.blockchain\.tmp")  # nobody else's
_COPY: Final = "-copy"  # what a temporary file's own copy is called more
_TRIES: Final = 8  # to make one that no other process takes for a leftover in the instant before it is locked
_GAP_S: Final = 60.0  # on Windows: far more than lies between closing a file and giving it its name


class Temporary(NamedTuple):
    """A file without its name yet, and where it is now."""

    path: Path
    file: BinaryIO

    def finish(self) -> Path:
        """Force it to the disk. It can get its name now: Windows renames no file that is open. Raises OSError."""
        self.file.flush()
        sync(self.file.fileno())
        if sys.platform == "win32":
            self.file.close()
        return self.path

    def make_copy(self) -> Path:
        """An empty file beside it that is not locked, its owner's alone; gone when this one is. Raises OSError."""
        path = _copy_of(self.path)
        os.close(os.open(path, _CREATE, PRIVATE))
        return path


def create_file(path: Path, content: bytes) -> None:
    """Write a file that must not exist yet. Raises FileExistsError, or another OSError; then nothing is there."""
    with temporary_for(path) as temporary:
        temporary.file.write(content)
        publish(temporary.finish(), path)
    sync_folder(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file in the place of the one that may be there.

    Once this returns, the new content is on the disk. When it raises OSError, the old one or the new one is.
    """
    with temporary_for(path) as temporary:
        temporary.file.write(content)
        rename(temporary.finish(), path)
    sync_folder(path.parent)


def overwrite(path: Path, offset: int, content: bytes) -> None:
    """Write over a piece of a file where it lies, `content` long, and force it to the disk. Raises OSError.

    For who holds a lock that keeps all other writers out, and can tell a piece that was left half written. Nothing is
    renamed and nothing grows: one wait for the disk, where `replace_file` has three.
    """
    descriptor = os.open(path, _WRITE)
    try:
        os.lseek(descriptor, offset, os.SEEK_SET)
        written = 0
        while written < len(content):
            written += os.write(descriptor, content[written:])
        sync_content(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, bytes_max: int) -> bytes:
    """The beginning of a file, `bytes_max` at most. Raises OSError.

    As `Path.open` and `read`, in a fraction of the calls.
    """
    descriptor = os.open(path, _READ)
    try:
        content = b""
        while part := os.read(descriptor, bytes_max - len(content)):
            content += part
        return content
    finally:
        os.close(descriptor)


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


# ------------------------------------------------------------------------------------------------ temporary files


@contextmanager
def temporary_for(path: Path) -> Iterator[Temporary]:
    """A new file beside `path`, its owner's alone, and gone at the end unless it got another name. Raises OSError.

    Leftovers in that folder are removed first.
    """
    remove_leftovers(path.parent)
    temporary = _make_temporary(path)
    try:
        yield temporary
    finally:
        try:
            _copy_of(temporary.path).unlink(missing_ok=True)  # under the lock: without its file it would stay for good
            temporary.file.close()
        finally:
            temporary.path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in a folder whose writers were killed; those that are being written stay."""
    with suppress(OSError):  # they are tried again the next time
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                _remove_leftover(path)


def _copy_of(temporary: Path) -> Path:
    return temporary.with_name(temporary.name + _COPY)


def _make_temporary(path: Path) -> Temporary:
    for _ in range(_TRIES):
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.blockchain.tmp")
        descriptor = os.open(temporary, _CREATE, PRIVATE)
        if _hold(descriptor):
            return Temporary(temporary, os.fdopen(descriptor, "wb"))
        os.close(descriptor)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _hold(descriptor: int) -> bool:
    """Lock a new temporary file; false if somebody took it for a leftover before. On Windows it holds by being open."""
    if sys.platform != "win32":
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks: nobody can take it for a leftover
            return True
        return os.fstat(descriptor).st_nlink > 0
    return True


def _remove_leftover(path: Path) -> None:
    with suppress(OSError):  # it is locked, or another's, or another process was first
        if sys.platform == "win32":
            if time.time() - path.stat().st_mtime > _GAP_S:
                path.unlink()  # fails where it is open
                _copy_of(path).unlink(missing_ok=True)
            return
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _copy_of(path).unlink(missing_ok=True)
            path.unlink()
        finally:
            os.close(descriptor)


# ------------------------------------------------------------------------------------------------ the system's calls


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


def sync_content(descriptor: int) -> None:
    """As `sync`, for a file that is as long as it was: its times alone need not be on the disk."""
    if sys.platform == "linux":
        os.fdatasync(descriptor)
    else:
        sync(descriptor)


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
