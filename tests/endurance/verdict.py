"""Whether a node's needs stay flat: the rule, and nothing else.

The first third is warm-up. Through the samples of the other two goes the straight line with the least squares; what it
rises over their length is the growth. Memory may grow by 5 % of its mean or by 8 MiB, whichever is more (an allocator
moves by that much without a leak), descriptors and threads by two: connections come and go, and threads of a pool are
made when they are first needed. A leak of one descriptor a minute, or of 200 bytes a transaction, is far above that in
an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.endurance.samples import Sample

WARM_UP: Final = 1 / 3
GROWTH_MAX_SHARE: Final = 0.05
GROWTH_MAX_KIB: Final = 8 * 1024
COUNT_GROWTH_MAX: Final = 2.0


@dataclass(frozen=True)
class Growth:
    """Of one figure of one node, after warm-up: its mean, what the line rises by, and what it may."""

    node: str
    what: str
    mean: float
    rise: float
    rise_max: float

    @property
    def is_flat(self) -> bool:
        return self.rise <= self.rise_max


def growths(samples: list[Sample]) -> list[Growth]:
    """Of every node's memory, descriptors and threads."""
    found = []
    for node in dict.fromkeys(sample.node for sample in samples):
        settled = after_warm_up([sample for sample in samples if sample.node == node])
        times = [sample.seconds for sample in settled]
        memory = [float(sample.rss_kib) for sample in settled]
        mean = sum(memory) / len(memory)
        rise_max = max(GROWTH_MAX_SHARE * mean, GROWTH_MAX_KIB)
        found.append(Growth(node, "memory", mean, rise(times, memory), rise_max))
        for what, counts in (
            ("descriptors", [float(sample.descriptors) for sample in settled]),
            ("threads", [float(sample.threads) for sample in settled]),
        ):
            found.append(Growth(node, what, sum(counts) / len(counts), rise(times, counts), COUNT_GROWTH_MAX))
    return found


def after_warm_up(samples: list[Sample]) -> list[Sample]:
    begin = samples[-1].seconds * WARM_UP
    return [sample for sample in samples if sample.seconds >= begin]


def rise(times: list[float], values: list[float]) -> float:
    """By how much the line of least squares rises from the first time to the last."""
    middle, mean = sum(times) / len(times), sum(values) / len(values)
    spread = sum((time - middle) ** 2 for time in times)
    if not spread:
        return 0.0
    slope = sum((time - middle) * (value - mean) for time, value in zip(times, values, strict=True)) / spread
    return slope * (times[-1] - times[0])
