"""A node's clock that goes wrong: it drifts, and somebody sets it. Timers run by the same quartz, but nobody sets them.

Wall time decides about block times and announcements only (docs/protocol.md §4.5, §8.5); nothing of agreement may
depend on it.
"""

from __future__ import annotations

from typing import Final

MILLION: Final = 1_000_000


class Clock:
    """How far one clock is ahead of virtual time, in ms; negative: behind."""

    def __init__(self) -> None:
        self._ahead_ms = 0
        self._since_ms = 0
        self._drift_ppm = 0
        self.was_set_back = False  # then a word of its own may come to it from its future (protocol §5.6 rule 11)

    def ahead_ms(self, time_ms: int) -> int:
        """At a moment of virtual time."""
        return self._ahead_ms + (time_ms - self._since_ms) * self._drift_ppm // MILLION

    def step(self, by_ms: int) -> None:
        """Somebody sets it by so much, at once."""
        self._ahead_ms += by_ms
        self.was_set_back = self.was_set_back or by_ms < 0

    def drift(self, ppm: int, time_ms: int) -> None:
        """From now on it goes faster by so many millionths; negative: slower. 0: it keeps time, and stays as it is."""
        self._ahead_ms = self.ahead_ms(time_ms)
        self._since_ms = time_ms
        self._drift_ppm = ppm

    def correct(self, time_ms: int) -> None:
        """It is set right, and keeps time."""
        self.drift(0, time_ms)
        self.step(-self._ahead_ms)

    def lasts_ms(self, delay_ms: int) -> int:
        """How long a delay lasts in virtual time that is counted by this clock."""
        return delay_ms * MILLION // (MILLION + self._drift_ppm)
