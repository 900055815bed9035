"""Copies of the checkout, in which bugs are planted and commands run: the checkout itself is never changed.

A copy serves one mutant and goes away with it. Commands stand in process groups of their own and are ended, with what
they started, when they take too long or when somebody asks for the end.
"""

from __future__ import annotations

import compileall
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blockchain.commands.processes import clean_environment
from tests.mutants.planted import Mutant

_LEFT_OUT: Final = (".*", "__pycache__", "data", "build", "dist", "htmlcov")
_END_SECONDS: Final = 15.0  # the demo ends three nodes in less


class Stopped(Exception):
    """Somebody asked for the end."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended; `code` is None when it took too long. `output` is what it said, both streams."""

    code: int | None
    output: str


class Commands:
    """Commands that run now, from several threads, so that all can be ended at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._is_stopped = False

    def run(self, command: Sequence[str], folder: Path, seconds: float) -> Done:
        """Run a command in a copy with its own folder for temporary files. Raises Stopped."""
        temporary = folder / ".tmp"
        temporary.mkdir(exist_ok=True)
        own = {name: str(temporary) for name in ("TMPDIR", "TEMP", "TMP")}
        with self._lock:
            if self._is_stopped:
                raise Stopped
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=folder,
                env=clean_environment(**own, PYTHONDONTWRITEBYTECODE="1"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                start_new_session=sys.platform != "win32",
            )
            self._running.add(process)
        try:
            output, _ = process.communicate(timeout=seconds)
            code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            _end(process)
            process.communicate()  # closes the pipe
            output, code = "", None
        finally:
            with self._lock:
                self._running.discard(process)
        if self._is_stopped:
            raise Stopped
        return Done(code, output)

    def stop(self) -> None:
        """End all that run, and let nothing begin any more."""
        with self._lock:
            self._is_stopped = True
            running = list(self._running)
        for process in running:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Ask first: the demo ends its nodes then. What is left of its group goes with it."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)
    if sys.platform != "win32":
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def make_pattern(project: Path, folder: Path) -> Path:
    """A copy of the checkout with compiled files beside the sources: what the copies for the mutants are made from."""
    pattern = folder / "pattern"
    shutil.copytree(project, pattern, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True)
    compileall.compile_dir(pattern / "blockchain", quiet=2)
    return pattern


@contextmanager
def copy_with(mutant: Mutant, pattern: Path) -> Iterator[Path]:
    """A copy with the bug planted, gone at the end. Raises NotPlantable."""
    folder = pattern.parent / mutant.name
    shutil.copytree(pattern, folder, symlinks=True)
    try:
        mutant.plant(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
