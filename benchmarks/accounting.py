"""What was seen of a network of nodes, made into figures: percentiles, when a height was final on all, what is lost.

Pure: no clock, no process. Times are seconds of one monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

Look = tuple[float, tuple[int, ...]]  # when, and the height of each node then


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of them do not exceed. Raises ValueError for none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no percentile of nothing")
    return ordered[max(ceil(share * len(ordered)), 1) - 1]


@dataclass(frozen=True)
class Heights:
    """Looks at the heights of all nodes, in the order of time."""

    looks: Sequence[Look]

    def at(self, seconds: float) -> int:
        """The height that was final on all nodes at that time; 0 before the first look."""
        found = bisect_right([when for when, _ in self.looks], seconds)
        return min(self.looks[found - 1][1]) if found else 0

    def behind_max(self) -> int:
        """How many blocks the last node was behind the first, at most."""
        return max((max(heights) - min(heights) for _, heights in self.looks), default=0)

    def final_times(self) -> dict[int, float]:
        """When each height was first seen to be final on all nodes, of those that became so while looking."""
        times: dict[int, float] = {}
        known = min(self.looks[0][1]) if self.looks else 0
        for when, heights in self.looks:
            for height in range(known + 1, min(heights) + 1):
                times[height] = when
            known = max(known, min(heights))
        return times


@dataclass(frozen=True)
class Chain:
    """What the store of one node holds: the ids of each block's transactions, from height 1 up."""

    blocks: Sequence[Sequence[bytes]]

    def count(self, first: int, last: int) -> int:
        """Transactions of the heights after `first` up to `last`."""
        return sum(map(len, self.blocks[first:last]))

    def height_of(self) -> dict[bytes, int]:
        return {one: height for height, block in enumerate(self.blocks, 1) for one in block}


def lost(acknowledged: Iterable[bytes], chains: Sequence[Chain]) -> int:
    """How many that were acknowledged are missing in at least one of the chains."""
    held = [frozenset(one for block in chain.blocks for one in block) for chain in chains]
    return sum(not all(one in ids for ids in held) for one in acknowledged)


def is_one_chain(chains: Sequence[Chain]) -> bool:
    """Whether each holds the same transactions in the same blocks as the others, as far as both go."""
    longest = max(chains, key=lambda chain: len(chain.blocks))
    return all(list(chain.blocks) == list(longest.blocks[: len(chain.blocks)]) for chain in chains)
