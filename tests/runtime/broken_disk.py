"""A file system under SQLite that fills up, fails, and shows what a power cut would leave.

A write is durable once its file was synced; of those since then a power cut keeps any, in whole sectors. What SQLite
itself keeps in shared memory does not survive.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import apsw

SECTOR = 512


class DiskFile:
    def __init__(self) -> None:
        self.durable = bytearray()
        self.since: list[tuple[int, bytes | None]] = []  # (offset, data), or (size, None) for a truncation

    def sync(self) -> None:
        self.durable = self.after(self.since)
        self.since = []

    def after(self, changes: list[tuple[int, bytes | None]]) -> bytearray:
        content = bytearray(self.durable)
        for offset, data in changes:
            if data is None:
                del content[offset:]
            else:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data
        return content

    def some_changes(self, random: Random) -> list[tuple[int, bytes | None]]:
        kept: list[tuple[int, bytes | None]] = []
        for offset, data in self.since:
            pieces = [None] if data is None else [data[at : at + SECTOR] for at in range(0, len(data), SECTOR)]
            kept += [(offset + at * SECTOR, piece) for at, piece in enumerate(pieces) if random.random() < 0.5]
        return kept


class BrokenDisk(apsw.VFS):
    """Registered under `name` while it is referred to; `unregister` ends that."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.files: dict[str, DiskFile] = {}
        self.failure: type[apsw.Error] | None = None  # what every write and sync raises
        self.on_change: Callable[[], None] = lambda: None  # called after each write, truncation and sync
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        return BrokenFile(name, flags, self, self.files.setdefault(Path(path).name, DiskFile()))

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's name
        super().xDelete(filename, syncdir)
        self.files.pop(Path(filename).name, None)

    def cut_power(self, folder: Path, random: Random) -> None:
        """Write into `folder` what a power cut at this moment might leave there."""
        folder.mkdir()
        for name, file in self.files.items():
            (folder / name).write_bytes(file.after(file.some_changes(random)))


class BrokenFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], disk: BrokenDisk, file: DiskFile) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._file = file

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._fail()
        super().xWrite(data, offset)
        self._file.since.append((offset, bytes(data)))
        self._disk.on_change()

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's name
        super().xTruncate(newsize)
        self._file.since.append((newsize, None))
        self._disk.on_change()

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._fail()
        super().xSync(flags)
        self._file.sync()
        self._disk.on_change()

    def _fail(self) -> None:
        if self._disk.failure is not None:
            raise self._disk.failure("planted")
