"""What the peers' clocks say, against this node's (docs/protocol.md §8.9). No rule of agreement reads it.

A peer is asked for its time on connecting and each half minute; the answer was written between the question and its
arrival, so half the time between them bounds the error. Of each peer the newest answer is kept, no history. What this
node's clock is blamed for is the median: one peer that lies moves its own row only.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median_low
from typing import Final

from blockchain.node.messages import GetTime, Time
from blockchain.node.peers import Peer
from blockchain.seams import ClockOff, Effect, Emit

CLOCK_PEERS_MIN: Final = 3  # of which a median is taken: with fewer, one that lies could move it
CLOCK_PART: Final = 2  # the clock is off by more than such a part of clock_drift_ms: half of what makes it vote nil
ERROR_MAX_MS: Final = 5_000  # an answer that was so long on its way says nothing
_READ_MS: Final = 1  # both clocks are read in whole ms


class Clocks:
    """Asks the peers and keeps count of whether this node's clock is off."""

    def __init__(self, clock_drift_ms: int) -> None:
        self.allowed_ms = clock_drift_ms // CLOCK_PART
        self._is_off = False

    def ask(self, peer: Peer, now: int) -> GetTime:
        """The question, `now` at this node's clock; an answer to an earlier one is of no use any more."""
        peer.clock.asked_ms = now
        return GetTime(now)

    def on_time(self, peer: Peer, answer: Time, now: int) -> None:
        """Take an answer to the newest question, unless it was too long on its way or the clock was set back since."""
        if answer.asked_ms != peer.clock.asked_ms:
            return
        peer.clock.asked_ms = None
        reading = reading_of(answer, now)
        if reading is not None:
            peer.clock.offset_ms, peer.clock.error_ms = reading

    def judge(self, peers: Iterable[Peer]) -> list[Effect]:
        """Tell when this node's clock has come to be off."""
        offsets = offsets_of(peers)
        offset = median_of(offsets)
        was_off, self._is_off = self._is_off, offset is not None and abs(offset) > self.allowed_ms
        if offset is None or was_off or not self._is_off:
            return []
        return [Emit(ClockOff(offset, self.allowed_ms, len(offsets)))]


def reading_of(answer: Time, now: int) -> tuple[int, int] | None:
    """How far the peer's clock is ahead of this one, and the most that this is off by; both in ms. None: too far."""
    error_ms = (now - answer.asked_ms + 1) // 2 + _READ_MS
    if now < answer.asked_ms or error_ms > ERROR_MAX_MS:
        return None
    return answer.time_ms - (answer.asked_ms + now) // 2, error_ms


def offsets_of(peers: Iterable[Peer]) -> list[int]:
    return [peer.clock.offset_ms for peer in peers if peer.clock.offset_ms is not None]


def median_of(offsets: list[int]) -> int | None:
    """In ms; None of too few."""
    return median_low(offsets) if len(offsets) >= CLOCK_PEERS_MIN else None
