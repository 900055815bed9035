"""Where targets whose decoder reads a file keep it.

libFuzzer ends a process without letting Python tidy up, so under it the runner gives each target a folder for temporary
files, and removes that.
"""

from __future__ import annotations

import os
from atexit import register
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_IN_MEMORY: Final = Path("/dev/shm")


def a_folder() -> Path:
    """A folder of this process alone, removed when it ends; not under libFuzzer."""
    holder = TemporaryDirectory(prefix="fuzz-")
    register(holder.cleanup)
    return Path(holder.name)


def a_file(name: str) -> Path:
    return a_folder() / name


@contextmanager
def room_for_files() -> Iterator[dict[str, str]]:
    """An environment whose temporary files are in memory, where there is such a place, and gone at the end."""
    with TemporaryDirectory(prefix="fuzz-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None) as folder:
        yield {**os.environ, "TMPDIR": folder}
