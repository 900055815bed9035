"""What a simulated node's peers have on their score with it, and whom it does not talk to any more (protocol §8.6).

The runtime has rooms of its own for that, with addresses and ever longer bans; no run here lasts longer than one.
"""

from __future__ import annotations

from typing import Final

from blockchain.seams import PeerId
from blockchain.seams.faults import BAN_POINTS, points_of

FADE_MS: Final = 2_000  # for a point to fade, as in the runtime


class Scores:
    """The points of each peer, and who is banned."""

    def __init__(self) -> None:
        self._points: dict[PeerId, tuple[float, int]] = {}  # and when they were so many
        self.banned: dict[PeerId, str] = {}  # and why

    def blame(self, peer: PeerId, reason: str, why: str, now: int) -> bool:
        """Add a fault at `now`, in ms; True: with this one the peer is banned."""
        before, since = self._points.get(peer, (0.0, now))
        points = max(before - (now - since) / FADE_MS, 0.0) + points_of(reason)
        self._points[peer] = points, now
        if points < BAN_POINTS or peer in self.banned:
            return False
        self.banned[peer] = f"{reason}: {why}"
        return True
