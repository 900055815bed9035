"""Who is not talked to for a while: node ids of peers that broke a rule. In memory, bounded, and it expires."""

from __future__ import annotations

from typing import Final

from blockchain.seams import PeerId

BAN_S: Final = 600.0
BANS_MAX: Final = 1_000  # the oldest is forgiven first


class Bans:
    """Times are of a monotonic clock, in seconds, and given by the caller."""

    def __init__(self) -> None:
        self._until: dict[PeerId, float] = {}

    def ban(self, peer: PeerId, now: float) -> None:
        self._until.pop(peer, None)
        self._until[peer] = now + BAN_S
        while len(self._until) > BANS_MAX:
            del self._until[next(iter(self._until))]

    def is_banned(self, peer: PeerId, now: float) -> bool:
        until = self._until.get(peer)
        if until is not None and until <= now:
            del self._until[peer]
            return False
        return until is not None
