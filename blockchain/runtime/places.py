"""A number of places. Unlike `asyncio.Semaphore` it gives one without a wait to who cannot wait."""

from __future__ import annotations

import asyncio
from collections import deque


class Places:
    """Taken and given back; who finds none free waits, in the order of asking. Used inside one event loop."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: deque[asyncio.Future[None]] = deque()  # bounded by who asks

    @property
    def is_one_free(self) -> bool:
        return self._free > 0

    def take_now(self) -> bool:
        """Whether there was one."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def take(self) -> None:
        """Returns when there is one."""
        if self.take_now():
            return
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():
                self.give_back()  # it was given, and nobody is there to use it
            raise

    def give_back(self) -> None:
        while self._waiting:
            given = self._waiting.popleft()
            if not given.cancelled():
                given.set_result(None)
                return
        self._free += 1
