"""The runner of the fuzz targets, without the fuzzer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import __main__ as runner
from tests.fuzz import files

AS_LIBFUZZER_ENDS = """
import os
from tests.fuzz.files import a_file
a_file("key.pem").write_bytes(b"an input")
os._exit(0)
"""


def kept_by(folder: Path, ends: BaseException | None, patch: pytest.MonkeyPatch) -> list[str]:
    """What a target leaves in memory that ends like that; None: on its own."""
    run = subprocess.run
    seen: list[str] = []
    memory = folder / "memory"
    memory.mkdir()
    patch.setattr(files, "_IN_MEMORY", memory)
    patch.setattr(runner, "FOLDER", folder / ".fuzz")

    def ended(_: list[str], *, env: dict[str, str], **__: Any) -> subprocess.CompletedProcess[bytes]:
        done = run([sys.executable, "-c", AS_LIBFUZZER_ENDS], env=env, check=True)
        seen.extend(path.name for path in memory.glob("fuzz-*/fuzz-*/*"))
        (folder / ".fuzz" / "frame" / "figures.json").write_text('{"executions": 1, "taken": 1, "slowest_s": 0.1}')
        if ends is not None:
            raise ends
        return done

    patch.setattr(subprocess, "run", ended)
    try:
        runner._fuzz("frame", 1, 1)
    except KeyboardInterrupt:
        assert ends is not None
    assert seen == ["key.pem"]
    return os.listdir(memory)


def test_a_target_leaves_no_files_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept_by(tmp_path, None, monkeypatch) == []


def test_nor_does_one_that_is_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept_by(tmp_path, KeyboardInterrupt(), monkeypatch) == []
