"""Whether a node is as far as its peers, for a validator that must not sign before it is (docs/protocol.md §5.6).

A peer may say what it likes, and is believed until it does not serve what it says it has. So one liar holds a validator
up for some seconds; liars who come one after the other, each under a new name, would do so for ever. Who is there when
the validator has listened, is waited for. Who comes later counts when it has served blocks, and where nobody else is
level with this node.
"""

from __future__ import annotations

from typing import Final

from blockchain.node.sync import Sync
from blockchain.seams import PeerId

HEARD_MS: Final = 10_000  # of listening, in which whoever comes counts


class Level:
    """Of one look; the lookout makes another one for the next."""

    def __init__(self, sync: Sync, heard_ms: int) -> None:
        self._sync = sync
        self._heard_ms = max(heard_ms, HEARD_MS)
        self._awaited: frozenset[PeerId] | None = None  # of those that were there; None: whoever comes counts

    def note(self, listened_ms: int) -> None:
        """After each input: who has been reached, has failed or has left, is waited for no more."""
        if listened_ms >= self._heard_ms:
            ahead = self._sync.ahead
            self._awaited = ahead if self._awaited is None else self._awaited & ahead

    @property
    def is_behind(self) -> bool:
        ahead = self._sync.ahead
        if not ahead or self._awaited is None or not self._sync.is_level_with_some:
            return bool(ahead)
        return any(peer in self._awaited or self._sync.has_served(peer) for peer in ahead)
