"""What a kill before each statement of a connection would leave: copies of the store's files, one a statement."""

from __future__ import annotations

import shutil
from pathlib import Path

import apsw


class Kills:
    """Copies of a store, each in a folder of its own, as it lies on the disk before a statement is run."""

    def __init__(self, source: Path, target: Path, every: int = 1) -> None:
        self._source = source
        self._target = target
        self._every = every
        self._statements = 0
        self.folders: list[Path] = []

    def watch(self, connection: apsw.Connection) -> None:
        connection.exec_trace = self._before

    def _before(self, _cursor: apsw.Cursor, _sql: str, _values: object) -> bool:
        self._statements += 1
        if self._statements % self._every == 0:
            folder = self._target / str(self._statements)
            folder.mkdir(parents=True)
            for name in ("chain.db", "chain.db-wal"):
                if (self._source / name).exists():
                    shutil.copy(self._source / name, folder / name)
            self.folders.append(folder)
        return True
