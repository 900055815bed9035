"""Where the tests find cases from outside: the folder that TEST_VECTORS names, or `../shared/vectors` beside
the project.

The files are data of their sources and are not copied into the project; without the folder their tests are
skipped.
"""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

_PROJECT = Path(__file__).resolve().parent.parent


def vector_folder() -> Path:
    """The folder of the vectors; skips the test, or the module that is being collected, when there is none."""
    folder = Path(os.environ.get("TEST_VECTORS") or _PROJECT.parent / "shared" / "vectors")
    if not folder.is_dir():
        why = f"no test vectors in {folder} (set TEST_VECTORS to their folder)"
        pytest.skip(why, allow_module_level=True)
    return folder


def load_vectors(name: str) -> Any:
    """The JSON of one file of the folder, unpacked if its name ends in .gz."""
    raw = (vector_folder() / name).read_bytes()
    return json.loads(gzip.decompress(raw) if name.endswith(".gz") else raw)
