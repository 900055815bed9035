"""How far a long command has come, on one line of a terminal; nothing where there is no terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Final, Self

_SECONDS_BETWEEN: Final = 0.2  # a terminal shows no more than a person reads


class Progress:
    """`with Progress("checked block") as progress: progress.show(3, 10)`; its line goes away at the end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._shown = time.monotonic()
        self._width = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write("")

    def show(self, done: int, of: int) -> None:
        now = time.monotonic()
        if not sys.stderr.isatty() or now - self._shown < _SECONDS_BETWEEN:
            return
        self._shown = now
        rate = done / (now - self._began)
        left = f", {round((of - done) / rate)} s left" if rate else ""
        self._write(f"{self._what} {done} of {of}, {rate:.0f} a second{left}")

    def _write(self, line: str) -> None:
        if self._width or line:
            sys.stderr.write(f"\r{line.ljust(self._width)}" if line else f"\r{' ' * self._width}\r")
            sys.stderr.flush()
        self._width = len(line)
