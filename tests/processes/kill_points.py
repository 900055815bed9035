"""The named points at which a process gets SIGKILL, and how they are put where they are named after.

Production code knows none of them: its functions, those of `os` and SQLite's file system are wrapped, in a process of
its own that lives until it is killed. A point is passed each time its place is reached; the process dies at the nth.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import apsw

from blockchain.primitives.vote import Proposal, Signable, Vote
from blockchain.runtime import atomic_file, record_file, signer, sqlite, sqlite_file, sqlite_look, sqlite_rows
from blockchain.runtime.folder_lock import FolderLock
from blockchain.runtime.record_file import RecordFile
from blockchain.runtime.service import NodeService
from blockchain.runtime.signer import Signer
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Batch, Effect, Reply

WAL_PAGES: Final = 40  # between checkpoints, so that a life comes to some
VFS: Final = "killing"
_BASE: Final = "unix"

# Each with the passage at which the process dies at the latest: what comes about seldom in a life is not waited for.
# What SQLite does to the files of the store, and the system with any file that is forced to the disk.
DISK_POINTS: Final = {
    "WAL being written": 200,
    "WAL not synced": 12,
    "WAL synced": 12,
    "database being written": 60,
    "database not synced": 2,
    "database synced": 2,
}
FILE_POINTS: Final = {
    "content not synced": 8,
    "content synced": 8,
    "folder not synced": 1,
    "folder synced": 1,
}
STORE_POINTS: Final = {
    "data folder not locked": 1,
    "data folder locked": 1,
    "store not claimed": 1,
    "store not checked": 1,
    "store opened": 1,
    "round not written": 8,
    "pool not written": 3,
    "block not written": 2,
    "batch not applied": 12,
    "block without the rest of its batch": 2,
    "batch not committed": 12,
    "round written": 8,
    "pool written": 3,
    "block written": 2,
}
SIGNER_POINTS: Final = {
    "signing record not locked": 8,
    "signing record locked": 8,
    "signing record read": 8,
    "signature made": 8,
    "signing record not renamed": 1,
    "signing record renamed": 1,
    "signing record made": 1,
    "slot not written": 8,
    "slot half written": 8,
    "slot written": 8,
    "signature given": 8,
    "proof given": 2,
}
NODE_POINTS: Final = {
    "records loaded": 1,
    "message not sent": 8,
    "message sent": 8,
    "client not answered": 3,
    "client answered": 3,
    "node stopping": 1,
    "node stopped": 1,
    "WAL not taken back": 1,
    "data folder not unlocked": 1,
    "data folder unlocked": 1,
}
VALIDATOR_POINTS: Final = {**STORE_POINTS, **DISK_POINTS, **SIGNER_POINTS, **FILE_POINTS, **NODE_POINTS}


class Point:
    """Kills this process when it has been passed often enough; then nothing more of it runs."""

    def __init__(self, name: str, passages: int) -> None:
        self.name = name
        self._left = passages

    def pass_by(self, name: str) -> None:
        if name == self.name:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def wrap(owner: Any, name: str, point: Point, before: str = "", after: str = "") -> None:
    """Pass these points around each call of a function of a module, or a method of a class."""
    real: Callable[..., Any] = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        point.pass_by(before)
        given = real(*arguments, **named)
        point.pass_by(after)
        return given

    setattr(owner, name, wrapped)


def plant_in_validator(point: Point) -> None:
    """All of VALIDATOR_POINTS but those of messages, which are sent by whatever stands in the place of the network."""
    plant_in_files(point)
    plant_in_store(point)
    plant_in_signer(point)
    plant_in_node(point)


# ------------------------------------------------------------------------------------------------------- places


def plant_in_files(point: Point) -> None:
    """Where any file or folder is forced to the disk; before what is wrapped by other names."""

    def passing(sync: Callable[[Any], None]) -> Callable[[Any], None]:
        def synced(descriptor: Any) -> None:
            what = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "content"
            point.pass_by(f"{what} not synced")
            sync(descriptor)
            point.pass_by(f"{what} synced")

        return synced

    os.fsync = passing(os.fsync)  # type: ignore[assignment]
    os.fdatasync = passing(os.fdatasync)  # type: ignore[assignment]


def plant_in_store(point: Point) -> None:
    write, take = SqliteStore.write, FolderLock.take.__func__  # type: ignore[attr-defined]

    def written(store: SqliteStore, batch: Batch) -> None:
        parts = {"round": batch.round_record is not None, "block": batch.block is not None, "pool": batch.pending_added}
        names = [name for name, is_there in parts.items() if is_there]
        for name in names:
            point.pass_by(f"{name} not written")
        write(store, batch)
        for name in names:
            point.pass_by(f"{name} written")

    def taken(kind: type[FolderLock], folder: Path) -> FolderLock:
        point.pass_by("data folder not locked")
        lock: FolderLock = take(kind, folder)
        point.pass_by("data folder locked")
        return lock

    SqliteStore.write = written  # type: ignore[method-assign, assignment]
    FolderLock.take = classmethod(taken)  # type: ignore[assignment, method-assign]
    wrap(sqlite, "claim", point, before="store not claimed")
    wrap(sqlite, "check_store", point, before="store not checked")
    wrap(sqlite, "open_reader", point, after="store opened")
    wrap(sqlite, "_apply", point, "batch not applied", "batch not committed")
    wrap(sqlite_rows, "append_block", point, after="block without the rest of its batch")
    wrap(SqliteStore, "close", point, before="WAL not taken back")
    wrap(FolderLock, "release", point, "data folder not unlocked", "data folder unlocked")
    sqlite_file.WAL_PAGES = WAL_PAGES  # type: ignore[misc]
    _KillingVFS(point)
    # A reader who is the last to leave asks for a lock that it cannot get; SQLite goes by that, apsw raises it.
    open_reader = sqlite_file.open_reader
    setattr(sqlite_look, "open_reader", lambda path, _vfs: open_reader(path, _BASE))  # noqa: B010


def plant_in_signer(point: Point) -> None:
    sign, exclusive = Signer.sign, RecordFile.exclusive
    overwrite, replace_file = atomic_file.overwrite, atomic_file.replace_file

    def signed(one: Signer, message: Signable) -> Signable:
        given = sign(one, message)
        if isinstance(given, Proposal | Vote):
            point.pass_by("signature given")
        return given

    @contextmanager
    def locked(record: RecordFile) -> Iterator[None]:
        point.pass_by("signing record not locked")
        with exclusive(record):
            point.pass_by("signing record locked")
            yield

    def replaced(path: Path, content: bytes) -> None:
        rename = os.replace

        def renamed(source: Any, target: Any) -> None:
            point.pass_by("signing record not renamed")
            rename(source, target)
            point.pass_by("signing record renamed")

        os.replace = renamed  # type: ignore[assignment]
        try:
            replace_file(path, content)
        finally:
            os.replace = rename
        point.pass_by("signing record made")

    def written_over(path: Path, offset: int, content: bytes) -> None:
        point.pass_by("slot not written")
        if point.name == "slot half written":
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(content[:200])  # in the middle of what is not zeros
            point.pass_by("slot half written")
        overwrite(path, offset, content)
        point.pass_by("slot written")

    Signer.sign = signed  # type: ignore[method-assign, assignment]
    RecordFile.exclusive = locked  # type: ignore[method-assign, assignment]
    setattr(record_file, "replace_file", replaced)  # noqa: B010 - they are not of that module
    setattr(record_file, "overwrite", written_over)  # noqa: B010
    wrap(RecordFile, "refresh", point, after="signing record read")
    wrap(signer, "sign_message", point, after="signature made")
    wrap(Signer, "prove", point, after="proof given")


def plant_in_node(point: Point) -> None:
    perform, stop = NodeService._perform, NodeService.stop

    def performed(node: NodeService, effect: Effect) -> bool:
        is_reply = isinstance(effect, Reply)
        point.pass_by("client not answered" if is_reply else "")
        is_done = perform(node, effect)
        point.pass_by("client answered" if is_reply else "")
        return is_done

    async def stopped(node: NodeService) -> None:
        point.pass_by("node stopping")
        await stop(node)
        point.pass_by("node stopped")

    NodeService._perform = performed  # type: ignore[method-assign, assignment]
    NodeService.stop = stopped  # type: ignore[method-assign, assignment]
    wrap(Signer, "load", point, after="records loaded")


class _KillingVFS(apsw.VFS):
    """SQLite's own file system, with points around what it does to the store's files. The default one from now on."""

    kept: _KillingVFS  # SQLite does not

    def __init__(self, point: Point) -> None:
        self._point = point
        super().__init__(VFS, _BASE, makedefault=True)
        _KillingVFS.kept = self

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        what = ""
        if flags[0] & apsw.SQLITE_OPEN_WAL:
            what = "WAL"
        elif flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            what = "database"
        return _KillingFile(name, flags, what, self._point)


class _KillingFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], what: str, point: Point) -> None:
        super().__init__(_BASE, name, flags)
        self._what = what
        self._point = point

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        self._point.pass_by(f"{self._what} being written")

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._point.pass_by(f"{self._what} not synced")
        super().xSync(flags)
        self._point.pass_by(f"{self._what} synced")
