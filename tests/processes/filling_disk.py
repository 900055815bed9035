"""A node on a disk that fills up: `python -m tests.processes.filling_disk FLAGS`.

The disk is full from the moment when there is a file `full` in the working folder of the process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import apsw

from blockchain.cli import main
from blockchain.runtime.sqlite import SqliteStore
from tests.processes.node_process import NodeProcess
from tests.runtime.broken_disk import BrokenDisk

MARK_VARIABLE = "TEST_DISK_FULL"  # names the file


class FillingDisk(BrokenDisk):
    """SQLite's own files, on which nothing can be written once the mark is there."""

    @property
    def failure(self) -> type[apsw.Error] | None:
        return apsw.FullError if self._mark.exists() else None

    @failure.setter
    def failure(self, _: object) -> None:
        return

    def __init__(self, name: str, mark: Path) -> None:
        self._mark = mark
        super().__init__(name)


def on_a_filling_disk(node: NodeProcess, mark: Path) -> None:
    """The disk of its store is full as soon as there is the file `mark`."""
    python, _, *flags = node.command()
    node.command = lambda: [python, "-m", "tests.processes.filling_disk", *flags]  # type: ignore[method-assign]
    node.environment[MARK_VARIABLE] = str(mark)


def run() -> int:
    disk = FillingDisk("filling", Path(os.environ[MARK_VARIABLE]))
    opened = SqliteStore.open

    def on_the_disk(folder: Path, genesis_hash: bytes, **options: Any) -> SqliteStore:
        return opened(folder, genesis_hash, vfs=disk.name)

    SqliteStore.open = on_the_disk  # type: ignore[method-assign]
    return main(["run", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(run())
