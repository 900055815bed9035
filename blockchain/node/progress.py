"""Progress of sync: how fast it goes and how long it will take. Reads no clock: times are those of inputs."""

from __future__ import annotations

from collections import deque
from typing import Final

RATE_MS_MIN: Final = 500  # a rate over less says nothing
SAMPLES_MAX: Final = 11  # one a tick: the rate is that of the last ten seconds or so


class Progress:
    """Heights over time, of the sync under way."""

    def __init__(self) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES_MAX)  # wall time in ms, height
        self.blocks_per_second: float | None = None

    def begin(self, now: int, height: int) -> None:
        """Nothing is missing: what was slow or fast before says nothing of the sync to come."""
        self._samples.clear()
        self.blocks_per_second = None
        self._samples.append((now, height))

    def note(self, now: int, height: int) -> None:
        """Once a tick."""
        self.measure(now, height)
        self._samples.append((now, height))

    def measure(self, now: int, height: int) -> None:
        if not self._samples:
            return
        then, before = self._samples[0]
        if now - then >= RATE_MS_MIN:  # nor where the clock was set back, until its samples have gone
            self.blocks_per_second = round((height - before) * 1_000 / (now - then), 1)

    def seconds_left(self, blocks: int) -> float | None:
        """For so many more blocks; None while nothing moves."""
        rate = self.blocks_per_second
        return round(blocks / rate, 1) if rate else None
