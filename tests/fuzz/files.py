"""Where targets whose decoder reads a file keep it: in memory where there is such a place, and gone at the end."""

from __future__ import annotations

from atexit import register
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_IN_MEMORY: Final = Path("/dev/shm")


def a_folder() -> Path:
    """A folder of this process alone, removed when it ends."""
    holder = TemporaryDirectory(prefix="fuzz-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None)
    register(holder.cleanup)
    return Path(holder.name)


def a_file(name: str) -> Path:
    return a_folder() / name
