"""Which transactions a peer is known to hold: the newest ids, of which it is asked only whether one is among them.

All that is told of transactions passes here, once or more for each peer. So ids are kept in two sets, an older and a
newer one, and thousands are noted or looked for in one go; when the newer one is full the older is forgotten whole.
"""

from __future__ import annotations

from collections.abc import Iterable

from blockchain.primitives.crypto import Hash32


class KnownIds:
    """The `least` newest ids at least, and less than twice as many but for what is noted in one go."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._newer: set[Hash32] = set()
        self._older: set[Hash32] = set()

    def __contains__(self, transaction_id: Hash32) -> bool:
        return transaction_id in self._newer or transaction_id in self._older

    def __len__(self) -> int:
        """No less than there are: one may stand in both sets."""
        return len(self._newer) + len(self._older)

    def missing(self, ids: Iterable[Hash32]) -> tuple[Hash32, ...]:
        """Those of them that are not known."""
        newer, older = self._newer, self._older
        return tuple([one for one in ids if one not in newer and one not in older])

    def note(self, ids: Iterable[Hash32]) -> None:
        self._newer.update(ids)
        if len(self._newer) >= self._least:
            self._older, self._newer = self._newer, set()

    def forget(self, transaction_id: Hash32) -> None:
        self._newer.discard(transaction_id)
        self._older.discard(transaction_id)
