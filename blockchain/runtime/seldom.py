"""Keeps a line that anybody can cause, and cause again, from filling the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Final

PERIOD_S: Final = 60.0
KEYS_MAX: Final = 1_000  # the oldest is forgotten first: at worst its line is written once more


class Seldom:
    """Lets each key through once in PERIOD_S."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[Hashable, float] = {}

    def is_due(self, key: Hashable) -> bool:
        """Whether this one was not let through lately; now it was."""
        now = self._clock()
        since = self._since.get(key)
        if since is not None and now - since < PERIOD_S:
            return False
        self._since.pop(key, None)
        self._since[key] = now
        while len(self._since) > KEYS_MAX:
            del self._since[next(iter(self._since))]
        return True
