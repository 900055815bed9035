"""Name lookups that never hold up the end of an event loop.

The system's resolver can take half a minute when no DNS server answers, and cannot be interrupted. The loops ask it in
pools of threads that they wait for at the end; here each question has a thread of its own that nobody waits for.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any, Final

LOOKUPS_MAX: Final = 16  # at a time; those of 256 dials wait for each other


class OwnLookups(asyncio.AbstractEventLoop):
    """Stands before the class of a loop."""

    def __init__(self) -> None:
        super().__init__()
        self._lookups = asyncio.Semaphore(LOOKUPS_MAX)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """As asyncio's. A lookup that is given up goes on in its thread, and keeps its place until it ends."""
        await self._lookups.acquire()
        future = self.create_future()
        threading.Thread(target=self._look_up, args=(future, host, port, options), name="lookup", daemon=True).start()
        return await future

    def _look_up(self, future: asyncio.Future[Any], host: Any, port: Any, options: dict[str, Any]) -> None:
        found: list[Any] | None = None
        error: Exception | None = None
        try:
            found = socket.getaddrinfo(host, port, **options)
        except (OSError, UnicodeError) as failure:
            error = failure
        try:
            self.call_soon_threadsafe(self._settle, future, found, error)
        except RuntimeError:  # the loop is closed: nobody is waiting any more
            return

    def _settle(self, future: asyncio.Future[Any], found: list[Any] | None, error: Exception | None) -> None:
        self._lookups.release()
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(found)
