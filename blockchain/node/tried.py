"""How much work replacing and evicting may make in the pool (docs/protocol.md §10.4)."""

from __future__ import annotations

from typing import Final

from blockchain.errors import InvalidTransaction

SEARCHED_MAX: Final = 100_000  # transactions tried anew a second for what replaces and evicts: some 0.5 s of work


class Tried:
    """How many transactions were tried anew in this second for what replaces and evicts."""

    def __init__(self) -> None:
        self._second = self._searched = 0

    def check(self, now: int) -> None:
        """Raises InvalidTransaction where it was too many: else one could keep every node busy for nothing."""
        if now // 1_000 == self._second and self._searched >= SEARCHED_MAX:
            raise InvalidTransaction("pool_busy", "too much was replaced or evicted in this second; try again")

    def count(self, tried: int, now: int) -> None:
        searched = self._searched if now // 1_000 == self._second else 0
        self._second, self._searched = now // 1_000, searched + tried
