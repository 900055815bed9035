"""Parts of benchmarks that need a process of their own: nothing is warm in it, and its CPU and memory are its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

import msgspec

from benchmarks.options import ROOT

SECONDS_MAX: Final = 1_800.0  # then something hangs
_WORDS_MAX: Final = 2_000  # of what a child that failed said last

T = TypeVar("T")


def ask_child(module: str, arguments: Sequence[object], kind: type[T]) -> T:
    """Run a module with these arguments and the name of a file for its answer; returns the answer.

    Raises SystemExit with what it said last if it fails.
    """
    with TemporaryDirectory() as folder:
        answer, said = Path(folder) / "answer.json", Path(folder) / "said"
        command = [sys.executable, "-m", module, *map(str, arguments), str(answer)]
        with said.open("wb") as output:
            done = subprocess.run(
                command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, timeout=SECONDS_MAX, check=False
            )
        if done.returncode != 0:
            last = said.read_text(errors="replace")[-_WORDS_MAX:]
            raise SystemExit(f"{module} failed with {done.returncode}:\n{last}")
        return msgspec.json.decode(answer.read_bytes(), type=kind)
