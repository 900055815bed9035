"""All that is in the pool, ready or waiting: by id, by the height at which it expires, and in bytes."""

from __future__ import annotations

from blockchain.node.entry import Entry
from blockchain.primitives.crypto import Hash32


class Held:
    """The entries of one pool, in the order of arrival."""

    def __init__(self) -> None:
        self.entries: dict[Hash32, Entry] = {}
        self.bytes = 0
        self._expiring: dict[int, dict[Hash32, Entry]] = {}  # by the last height at which they may stand

    def enter(self, entry: Entry) -> None:
        self.entries[entry.id] = entry
        self.bytes += entry.size
        expiry = entry.verified.transaction.expiry
        if expiry is not None:
            self._expiring.setdefault(expiry, {})[entry.id] = entry

    def leave(self, entry: Entry) -> None:
        """One that is here."""
        del self.entries[entry.id]
        self.bytes -= entry.size
        expiry = entry.verified.transaction.expiry
        if expiry is not None:
            del self._expiring[expiry][entry.id]
            if not self._expiring[expiry]:
                del self._expiring[expiry]

    def leave_expired(self, last: int) -> list[Entry]:
        """All that may stand at this height at the latest go; returns them."""
        expired = list(self._expiring.get(last, {}).values())
        for entry in expired:
            self.leave(entry)
        return expired
