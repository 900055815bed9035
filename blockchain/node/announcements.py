"""Who says to be on line: the newest word of each validator of the set (docs/protocol.md §8.5).

Of one validator the words of two processes are kept and passed on. Else a second one with its key would be heard by
nobody who knows the first, and neither of the two would learn of the other (protocol §5.6).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from blockchain.primitives.crypto import Address
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Announcement

ANNOUNCE_MS: Final = 5_000
NEWS_MS: Final = ANNOUNCE_MS // 2  # after which the same process is news again
INSTANCES_MAX: Final = 2  # processes of one validator: one more than there should be is enough to show that
APART_MS: Final = 60_000  # older than the newest word by more is no news: nobody can replay more than a minute of them


class Announcements:
    """At most two of each member of the set, newest first, and of those who were members a moment ago."""

    def __init__(self, clock_drift_ms: int) -> None:
        self._clock_drift_ms = clock_drift_ms
        self._heard: dict[Address, tuple[Announcement, ...]] = {}

    def __iter__(self) -> Iterator[Announcement]:
        return (said for heard in self._heard.values() for said in heard)

    def is_news(self, said: Announcement) -> bool:
        """Whether it would be passed on: of each process as often as an honest one speaks, of two processes at most.

        Who draws a new instance number for every word replaces the older of the two, no more often than that.
        """
        heard = self._heard.get(said.validator, ())
        if not heard:
            return True
        if said.time_ms < heard[0].time_ms - APART_MS:
            return False
        known = next((one for one in heard if one.instance == said.instance), None)
        if known is None and len(heard) == INSTANCES_MAX:
            known = heard[-1]
        return known is None or said.time_ms >= known.time_ms + NEWS_MS

    def on_tick(self, now: int) -> None:
        """Forget what is of the future: the clock was set back, and nobody would be heard until it has come."""
        latest = now + self._clock_drift_ms
        if any(said.time_ms > latest for said in self):
            kept = {address: _until(latest, heard) for address, heard in self._heard.items()}
            self._heard = {address: heard for address, heard in kept.items() if heard}

    def take(self, said: Announcement, members: ValidatorSet, now: int) -> bool:
        """Whether it is news, to be passed on.

        Its time may not run ahead, else one validator could let everybody pass on as many as it signs.
        """
        if not self.is_news(said) or said.time_ms > now + self._clock_drift_ms:
            return False
        others = [one for one in self._heard.get(said.validator, ()) if one.instance != said.instance]
        heard = sorted((said, *others), key=lambda one: -one.time_ms)
        oldest_ms = heard[0].time_ms - APART_MS  # a process that has ended is forgotten
        self._heard[said.validator] = tuple(one for one in heard[:INSTANCES_MAX] if one.time_ms >= oldest_ms)
        if len(self._heard) > len(members):
            self._heard = {address: heard for address, heard in self._heard.items() if address in members.index}
        return True


def _until(latest_ms: int, heard: tuple[Announcement, ...]) -> tuple[Announcement, ...]:
    return tuple(said for said in heard if said.time_ms <= latest_ms)
