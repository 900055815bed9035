"""Waiting for what processes do: until a condition holds, never for a fixed time, and never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

POLL_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 30.0  # ten times what a loaded machine needs; reached only when something is wrong


def wait_until(what: str, look: Callable[[], T | None], seconds: float = PATIENCE_SECONDS) -> T:
    """Look until there is something to see (neither None nor False) and return it. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen is not None and seen is not False:
            return seen
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(POLL_SECONDS)
