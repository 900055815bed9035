"""Who waits until transactions have left the pool: woken by what is written, so that nobody looks again and again.

Used inside one event loop. Whoever lets callers in bounds their number: a wait takes a few hundred bytes, and a table
entry for each transaction that it waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from blockchain.primitives.crypto import Hash32


class _Wait:
    """One caller, and the transactions that it still waits for."""

    def __init__(self, missing: set[Hash32]) -> None:
        self.missing = missing
        self.is_over = asyncio.Event()


class Waiters:
    """Waits by transaction. After `end` nobody waits any more."""

    def __init__(self) -> None:
        self._waits: dict[Hash32, set[_Wait]] = {}
        self._has_ended = False

    def __len__(self) -> int:
        """How many transactions are waited for."""
        return len(self._waits)

    async def wait(self, pending: Iterable[Hash32], seconds: float) -> None:
        """Until all of these, which are in the pool now, have left it, or the time is over, or the node ends."""
        wait = _Wait(set(pending))
        if not wait.missing or self._has_ended:
            return
        for identifier in wait.missing:
            self._waits.setdefault(identifier, set()).add(wait)
        try:
            async with asyncio.timeout(seconds):
                await wait.is_over.wait()
        except TimeoutError:
            pass  # what is still pending then is no error
        finally:
            self._forget(wait)

    def on_left(self, identifiers: Iterable[Hash32]) -> None:
        """These have left the pool, and it is durable: final, or ended otherwise."""
        if not self._waits:
            return
        for identifier in identifiers:
            for wait in self._waits.pop(identifier, ()):
                wait.missing.discard(identifier)
                if not wait.missing:
                    wait.is_over.set()

    def end(self) -> None:
        """Let everybody go: the node is about to end."""
        self._has_ended = True
        for waits in self._waits.values():
            for wait in waits:
                wait.is_over.set()

    def _forget(self, wait: _Wait) -> None:
        for identifier in wait.missing:
            waits = self._waits.get(identifier, set())
            waits.discard(wait)
            if not waits:
                self._waits.pop(identifier, None)
