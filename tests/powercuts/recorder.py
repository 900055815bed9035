"""Writes down what is done to the files below a folder: by SQLite, through a file system of its own, and by Python.

The files are real ones, so that the program under test runs as ever. SQLite's part is a VFS, the default one while
this records. Of Python's part what counts is what is forced to the disk, renamed, linked and removed: the functions of
`os` that do so are wrapped, and when one is called, the contents and names that it makes count are looked at.

In a process of its own: it changes `os` and SQLite for all that runs there. Linux only: it asks the kernel for names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import apsw

from tests.powercuts.disk import (
    FOLDER,
    FolderSynced,
    Mark,
    Named,
    Operation,
    Renamed,
    Resized,
    Synced,
    Unnamed,
    Written,
)

VFS: Final = "recorder"
BASE: Final = "unix"
_JOURNALS: Final = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL


class Recorder:
    """Records from the moment when it is made, until the process ends. What lies in the folder by then is durable.

    `unforced`: files whose syncs are lost, as on a disk that lies; for showing that a check would notice.
    """

    def __init__(self, root: Path, unforced: Callable[[str], bool] = lambda _: False) -> None:
        self.root = root.resolve()
        self.operations: list[Operation] = []
        self.unforced = unforced
        self._files: dict[str, int] = {"": FOLDER}
        self._contents: dict[int, bytes] = {}  # of those that Python writes, as they were last looked at
        self._last = FOLDER
        for path in sorted(self.root.rglob("*")):
            if not path.name.endswith("-shm"):  # shared memory, which SQLite makes anew
                self._found(self._relative(str(path)), path)
        for folder in [self.root, *(path for path in self.root.rglob("*") if path.is_dir())]:
            self.add(FolderSynced(self._relative(str(folder)) or ""))
        self.begins_at = len(self.operations)
        self._vfs = _RecordingVFS(self)
        self._wrap_os()

    def add(self, done: Operation) -> None:
        self.operations.append(done)

    def mark(self, what: str, value: bytes = b"") -> None:
        self.operations.append(Mark(what, value))

    # ------------------------------------------------------------------------------------------------- names

    def _relative(self, path: str) -> str | None:
        """The name below the folder; "" for the folder itself, None for what lies elsewhere."""
        whole = os.path.abspath(path)
        root = str(self.root)
        if whole == root:
            return ""
        return whole.removeprefix(root + os.sep) if whole.startswith(root + os.sep) else None

    def number(self, path: str) -> int | None:
        """The file of a name, which gets one if it has none; None for one that lies elsewhere."""
        relative = self._relative(path)
        if relative is None:
            return None
        if relative not in self._files:
            self._last += 1
            self._files[relative] = self._last
            self.add(Named(relative, self._last))
        return self._files[relative]

    def unname(self, path: str) -> None:
        relative = self._relative(path)
        if relative is not None and self._files.pop(relative, None) is not None:
            self.add(Unnamed(relative))

    def rename(self, source: str, target: str) -> None:
        old, new = self._relative(source), self._relative(target)
        if old is not None and new is not None:
            self._look(source)
            self._files[new] = self._files.pop(old)
            self.add(Renamed(old, new, self._files[new]))

    def sync_folder_of(self, path: str) -> None:
        folder = self._relative(os.path.dirname(os.path.abspath(path)))
        if folder is not None and not self.unforced(folder or "."):
            self.add(FolderSynced(folder))

    # ------------------------------------------------------------------------------------------------- contents

    def _found(self, relative: str | None, path: Path) -> None:
        assert relative
        if path.is_dir():
            self._files[relative] = FOLDER
            self.add(Named(relative, FOLDER))
        else:
            self._look(str(path))
            self.add(Synced(self._files[relative]))

    def _look(self, path: str) -> int | None:
        """Write down what changed in a file since it was last looked at; its number."""
        file = self.number(path)
        if file:
            content, before = Path(path).read_bytes(), self._contents.get(file)
            if content == before:
                return file
            self._contents[file] = content
            if before is not None and len(before) == len(content):  # written over where it lies
                changed = [at for at, (old, new) in enumerate(zip(before, content, strict=True)) if old != new]
                self.add(Written(file, changed[0], content[changed[0] : changed[-1] + 1]))
            else:
                self.add(Written(file, 0, content))
                self.add(Resized(file, len(content)))
        return file

    # ------------------------------------------------------------------------------------------------- Python's part

    def _wrap_os(self) -> None:
        replace, link, unlink, mkdir = os.replace, os.link, os.unlink, os.mkdir

        def syncing(sync: Callable[[Any], None]) -> Callable[[Any], None]:
            def synced(descriptor: Any) -> None:
                sync(descriptor)
                path = os.readlink(f"/proc/self/fd/{descriptor}")
                if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                    self.sync_folder_of(path + os.sep + "any")
                elif (file := self._look(path)) and not self.unforced(self._relative(path) or ""):
                    self.add(Synced(file))

            return synced

        def replaced(source: Any, target: Any) -> None:
            self.rename(str(source), str(target))
            replace(source, target)

        def linked(source: Any, target: Any, **how: Any) -> None:
            link(source, target, **how)
            file, relative = self._look(str(source)), self._relative(str(target))
            if file and relative:
                self._files[relative] = file
                self.add(Named(relative, file))

        def unlinked(path: Any, **how: Any) -> None:
            unlink(path, **how)
            self.unname(str(path))

        def made(path: Any, mode: int = 0o777, **how: Any) -> None:
            mkdir(path, mode, **how)
            relative = self._relative(str(path))
            if relative:
                self._files[relative] = FOLDER
                self.add(Named(relative, FOLDER))

        for name, wrapped in (
            ("fsync", syncing(os.fsync)), ("fdatasync", syncing(os.fdatasync)),
            ("replace", replaced), ("link", linked), ("unlink", unlinked), ("mkdir", made),
        ):  # fmt: skip
            setattr(os, name, wrapped)


class _RecordingVFS(apsw.VFS):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        super().__init__(VFS, BASE, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        is_new = path is not None and not os.path.exists(path)
        opened = _RecordingFile(name, flags, self._recorder, path)
        if is_new and flags[0] & apsw.SQLITE_OPEN_CREATE:
            self._recorder.number(path)
        return opened

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        super().xDelete(filename, syncdir)
        self._recorder.unname(filename)
        if syncdir:
            self._recorder.sync_folder_of(filename)


class _RecordingFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], recorder: Recorder, path: str | None) -> None:
        super().__init__(BASE, name, flags)
        self._recorder = recorder
        self._path = path
        # As SQLite's own file system for Unix has it: the folder of a journal or WAL is synced with it, once.
        self._syncs_folder = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _JOURNALS)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        super().xWrite(data, offset)
        if self._path is not None and (file := self._recorder.number(self._path)):
            self._recorder.add(Written(file, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(newsize)
        if self._path is not None and (file := self._recorder.number(self._path)):
            self._recorder.add(Resized(file, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        super().xSync(flags)
        if self._path is None or not (file := self._recorder.number(self._path)):
            return
        if not self._recorder.unforced(Path(self._path).name):
            self._recorder.add(Synced(file))
            if self._syncs_folder:
                self._recorder.sync_folder_of(self._path)
        self._syncs_folder = False
