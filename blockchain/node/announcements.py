"""Who says to be on line: the newest word of each validator of the set (docs/protocol.md §8.4)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from blockchain.primitives.crypto import Address
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Announcement

ANNOUNCE_MS: Final = 5_000


class Announcements:
    """At most one of each member of the set, and of those who were members a moment ago."""

    def __init__(self, clock_drift_ms: int) -> None:
        self._clock_drift_ms = clock_drift_ms
        self._newest: dict[Address, Announcement] = {}

    def __iter__(self) -> Iterator[Announcement]:
        return iter(self._newest.values())

    def news_from(self, validator: Address) -> int:
        """The time from which on an announcement is passed on: as often as an honest validator speaks."""
        known = self._newest.get(validator)
        return 0 if known is None else known.time_ms + ANNOUNCE_MS // 2

    def on_tick(self, now: int) -> None:
        """Forget what is of the future: the clock was set back, and nobody would be heard until it has come."""
        latest = now + self._clock_drift_ms
        if any(said.time_ms > latest for said in self._newest.values()):
            self._newest = {address: said for address, said in self._newest.items() if said.time_ms <= latest}

    def take(self, announcement: Announcement, members: ValidatorSet, now: int) -> bool:
        """Whether it is news, to be passed on.

        Its time may not run ahead, else one validator could let everybody pass on as many as it signs.
        """
        if announcement.time_ms < self.news_from(announcement.validator):
            return False
        if announcement.time_ms > now + self._clock_drift_ms:
            return False
        self._newest[announcement.validator] = announcement
        if len(self._newest) > len(members):
            self._newest = {address: said for address, said in self._newest.items() if address in members.index}
        return True
