"""A disk that tells what would be left of a folder if the power went now.

The files are real ones in a folder of the test. What the code under test forces to the disk is noted beside them: the
content of a file when `sync` is called on it, the names in a folder when `sync_folder` is. After a power cut a name
that was never forced is gone, or stands for what it stood for before; a content that was never forced is empty, or,
where it was written over in place, what it was before, or any part of it (`torn`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from blockchain.runtime import atomic_file

NEVER = 10**6  # operations
Torn = Callable[[bytes, bytes], bytes]  # of the content that was forced, and of the one that is in the cache


class Killed(BaseException):
    """The process ends here; what it wrote is in the cache of the system, and not yet on the disk."""


class Disk:
    """Put under `blockchain.runtime.atomic_file`. `fail_at`: the operation of this number fails, before or after."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.operations: list[str] = []
        self._contents: dict[int, bytes] = {}  # by inode
        self._names: dict[str, int] = {}
        self._fail_at, self._is_after = NEVER, False
        self._failure: BaseException = Killed()
        for name, done in (
            ("sync", self._sync),
            ("sync_content", self._sync),
            ("sync_folder", self._sync_folder),
            ("rename", os.replace),
        ):
            patch.setattr(atomic_file, name, self._wrapped(name, done))

    def begin_with(self, name: str, content: bytes) -> None:
        """A file that was forced to the disk long ago."""
        (self.folder / name).write_bytes(content)
        inode = (self.folder / name).stat().st_ino
        self._contents[inode], self._names[name] = content, inode

    def fail_at(self, number: int, failure: BaseException, *, after: bool) -> None:
        """Let an operation of the coming ones fail, the first being 0: with its work done (`after`) or not."""
        self._fail_at, self._failure, self._is_after = len(self.operations) + number, failure, after

    def after_cut(self, folder: Path, torn: Torn = lambda forced, _: forced) -> Path:
        """The folder as it would be found after a power cut, made anew. `torn`: what is left of unforced content."""
        folder.mkdir(exist_ok=True)
        now = {path.stat().st_ino: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}
        for name, inode in self._names.items():
            forced = self._contents.get(inode, b"")
            (folder / name).write_bytes(torn(forced, now.get(inode, forced)))
        return folder

    def _wrapped(self, name: str, do: Callable[..., None]) -> Callable[..., None]:
        def operation(*arguments: object) -> None:
            is_it = len(self.operations) == self._fail_at
            self.operations.append(name)
            if is_it and not self._is_after:
                raise self._failure
            do(*arguments)
            if is_it:
                raise self._failure

        return operation

    def _sync(self, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        (path,) = [path for path in self.folder.iterdir() if path.stat().st_ino == inode]
        self._contents[inode] = path.read_bytes()

    def _sync_folder(self, folder: Path) -> None:
        assert folder == self.folder
        self._names = {path.name: path.stat().st_ino for path in folder.iterdir() if not path.name.endswith(".lock")}
