"""What waits for the core: the inputs of agreement before transactions, of which there may be very many.

A vote that waits behind thousands of transactions delays the block that would make room for them. So each kind has a
queue of its own. The order within a kind stays, and with it that of one peer's votes; and where both wait transactions
get a turn after `PASSED_MAX` others, so that neither can keep the other out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from blockchain.node.inputs import Input, MessageReceived
from blockchain.node.messages import Have, VerifiedFresh, VerifiedTransactions, Want
from blockchain.runtime.places import Places
from blockchain.seams import TransactionsSubmitted

INBOX_MAX: Final = 500  # inputs of a kind that wait; whoever brings more waits
PASSED_MAX: Final = 16  # inputs of agreement that pass transactions which wait: together some milliseconds

T = TypeVar("T")


class _Queue(Generic[T]):
    def __init__(self) -> None:
        self.waiting: deque[T] = deque()
        self._room = Places(INBOX_MAX)

    async def put(self, one: T) -> None:
        await self._room.take()
        self.waiting.append(one)

    @property
    def has_room(self) -> bool:
        return self._room.is_one_free

    def put_now(self, one: T) -> None:
        if not self._room.take_now():
            raise AssertionError("whoever cannot wait looks for room first")
        self.waiting.append(one)

    def take(self) -> T:
        self._room.give_back()
        return self.waiting.popleft()


class Inbox(Generic[T]):
    """`T` is an input with whatever belongs to it. `wake` is called for each that comes in."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._agreement: _Queue[T] = _Queue()
        self._transactions: _Queue[T] = _Queue()
        self._passed = 0

    async def put(self, one: T, given: Input) -> None:
        """Returns when there is room for it. `given` is the input in it."""
        await self._queue_of(given).put(one)
        self._wake()

    def has_room(self) -> bool:
        """Whether there is room for one of either kind."""
        return self._agreement.has_room and self._transactions.has_room

    def put_now(self, one: T, given: Input) -> None:
        """`put` of who has seen that there is room."""
        self._queue_of(given).put_now(one)
        self._wake()

    def take(self) -> T | None:
        """The next; None where nothing waits."""
        others = self._transactions.waiting
        if self._agreement.waiting and not (others and self._passed >= PASSED_MAX):
            self._passed = self._passed + 1 if others else 0
            return self._agreement.take()
        self._passed = 0
        return self._transactions.take() if others else None

    def _queue_of(self, given: Input) -> _Queue[T]:
        return self._transactions if is_of_transactions(given) else self._agreement


def is_of_transactions(given: Input) -> bool:
    if isinstance(given, MessageReceived):
        return isinstance(given.message, VerifiedTransactions | VerifiedFresh | Have | Want)
    return isinstance(given, TransactionsSubmitted)
