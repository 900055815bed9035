"""One node per data folder: a lock that the operating system lets go of when the process ends, however it ends.

It is SQLite's own file lock, an exclusive transaction held open on a tiny database that never gets any content, so
that it works wherever the store does and needs nothing of POSIX. Take it before opening the store.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Final

import apsw

from blockchain.errors import StoreError
from blockchain.runtime.atomic_file import make_folder
from blockchain.runtime.sqlite_file import InWords, open_reader

LOCK_FILE: Final = "lock.db"
_LOOK_MS: Final = 100  # a start waits this long, so that it is not refused because somebody looks (`is_locked`)


class FolderLock:
    """A lock that is held. `release` gives it back; so does the end of the process."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    @classmethod
    def take(cls, folder: Path) -> FolderLock:
        """Lock the folder, making it when it is missing. Raises StoreError when another node holds it."""
        try:
            make_folder(folder)
        except OSError as error:
            raise StoreError(f"data folder {folder} cannot be made: {error.strerror}: choose another folder") from error
        path = folder / LOCK_FILE
        with InWords(path, "cannot lock the data folder"):
            connection = apsw.Connection(str(path))
            connection.set_busy_timeout(_LOOK_MS)
            try:
                connection.pragma("journal_mode", "MEMORY")  # leaves no journal behind on kill -9
                connection.execute("BEGIN EXCLUSIVE")
            except apsw.BusyError:
                connection.close()
                raise StoreError(
                    f"data folder {folder} is in use by another node: stop that one, or choose another folder"
                ) from None
            except apsw.NotADBError:
                connection.close()
                raise StoreError(f"{path} is not a node's lock: remove it while no node uses the folder") from None
            except apsw.Error:
                connection.close()
                raise
        return cls(connection)

    def release(self) -> None:
        self._connection.close()


def is_locked(folder: Path) -> bool:
    """Whether a node runs on the folder. Nothing is made or changed there. Raises StoreError."""
    path = folder / LOCK_FILE
    if not path.is_file():
        return False
    with InWords(path, "cannot look at the lock"), closing(open_reader(path, None)) as connection:
        connection.set_busy_timeout(0)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except apsw.BusyError:
            return True
        return False
