"""A node on a disk that fills up: `python -m tests.processes.filling_disk FLAGS`.

The disk is full from the moment when there is the file that the environment names, and until that is gone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import apsw

from blockchain.cli import main
from blockchain.runtime.sqlite import SqliteStore
from tests.processes.node_process import NodeProcess

MARK_VARIABLE: Final = "TEST_DISK_FULL"  # names the file
_NAME: Final = "filling"


class FillingDisk(apsw.VFS):
    """SQLite's own files, on which nothing can be written once the mark is there. Keeps nothing: it is as fast."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark
        super().__init__(_NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        return FillingFile(name, flags, self._mark)


class FillingFile(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], mark: Path) -> None:
        super().__init__("", name, flags)
        self._mark = mark

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's name
        self._check_room()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        self._check_room()
        super().xSync(flags)

    def _check_room(self) -> None:
        if self._mark.exists():
            raise apsw.FullError("planted")


def on_a_filling_disk(node: NodeProcess, mark: Path) -> None:
    """The disk of its store is full as soon as there is the file `mark`."""
    python, _, *flags = node.command()
    node.command = lambda: [python, "-m", "tests.processes.filling_disk", *flags]  # type: ignore[method-assign]
    node.environment[MARK_VARIABLE] = str(mark)


def run() -> int:
    disk = FillingDisk(Path(os.environ[MARK_VARIABLE]))  # registered while it is referred to
    opened = SqliteStore.open

    def on_the_disk(folder: Path, genesis_hash: bytes, **options: Any) -> SqliteStore:
        return opened(folder, genesis_hash, vfs=_NAME)

    SqliteStore.open = on_the_disk  # type: ignore[method-assign]
    try:
        return main(["run", *sys.argv[1:]])
    finally:
        disk.unregister()


if __name__ == "__main__":
    sys.exit(run())
