"""What waits to be sent to one peer: what is about transactions goes after all else.

Half a megabyte of them takes a slow line half a second, in which a vote would wait. Of each of the two the order stays;
nothing depends on it between them (docs/protocol.md §8.1). Agreement does not come without end, so transactions get
their turn.
"""

from __future__ import annotations

from collections import deque

from blockchain.node.messages import is_about_transactions


class Outgoing:
    """Messages and their bytes. Who puts them in bounds both."""

    def __init__(self) -> None:
        self._first: deque[bytes] = deque()
        self._transactions: deque[bytes] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._first) + len(self._transactions)

    def put(self, message: bytes) -> None:
        self.bytes += len(message)
        (self._transactions if is_about_transactions(message) else self._first).append(message)

    def take(self) -> bytes:
        """The next to send. Raises IndexError where nothing waits."""
        message = (self._first or self._transactions).popleft()
        self.bytes -= len(message)
        return message
