"""How bad each fault of a peer is (docs/protocol.md §8.6). The core names faults, the runtime keeps the score."""

from __future__ import annotations

from typing import Final

BAN_POINTS: Final = 100  # with so many a node id is banned

# What may happen to an honest peer too, by a late answer or a node that stood still, but not again and again. Every
# reason that is not here is a proof of malice, and bans at once.
SMALL_FAULTS: Final[dict[str, int]] = {
    "unasked": 5,
    "over_allowance": 5,
    "flood": 34,  # a node that wakes up finds a minute's messages waiting for it, once
    "useless_transactions": 5,
}


def points_of(reason: str) -> int:
    """What a fault adds to the score of the peer that committed it."""
    return SMALL_FAULTS.get(reason, BAN_POINTS)
