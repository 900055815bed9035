"""Name lookups that never hold up the end of an event loop, nor wait for those of names that peers tell.

The system's resolver can take half a minute when no DNS server answers, and cannot be interrupted. The loops ask it in
pools of threads that they wait for at the end; here each question has a thread of its own that nobody waits for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

from blockchain.runtime.places import Places

LOOKUPS_MAX: Final = 8  # at a time; those of 256 dials wait for each other
TOLD_LOOKUPS_MAX: Final = 8  # beside them; names whose servers never answer keep out what other peers tell, and no more
_IS_TOLD: Final = ContextVar("_IS_TOLD", default=False)


@contextmanager
def told_by_a_peer() -> Iterator[None]:
    """What is looked up inside is no name of the operator's."""
    token = _IS_TOLD.set(True)
    try:
        yield
    finally:
        _IS_TOLD.reset(token)


class OwnLookups(asyncio.AbstractEventLoop):
    """Stands before the class of a loop."""

    def __init__(self) -> None:
        super().__init__()
        self._lookups = Places(LOOKUPS_MAX)
        self._told_lookups = Places(TOLD_LOOKUPS_MAX)

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """As asyncio's. A lookup that is given up goes on in its thread, and keeps its place until it ends."""
        if _is_address(host):
            return socket.getaddrinfo(host, port, **options)  # which asks nobody
        places = self._told_lookups if _IS_TOLD.get() else self._lookups
        await places.take()
        future = self.create_future()
        look_up = partial(socket.getaddrinfo, host, port, **options)
        try:
            threading.Thread(target=self._ask, args=(future, places, look_up), name="lookup", daemon=True).start()
        except RuntimeError as error:
            places.give_back()
            raise OSError(f"no lookup: {error}") from None
        return await future

    def _ask(self, future: asyncio.Future[Any], places: Places, look_up: partial[list[Any]]) -> None:
        found: list[Any] | None = None
        error: Exception | None = None
        try:
            found = look_up()
        except (OSError, UnicodeError) as failure:
            error = failure
        try:
            self.call_soon_threadsafe(self._settle, future, places, found, error)
        except RuntimeError:  # the loop is closed: nobody is waiting any more
            return

    def _settle(
        self, future: asyncio.Future[Any], places: Places, found: list[Any] | None, error: Exception | None
    ) -> None:
        places.give_back()
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(found)


def _is_address(host: object) -> bool:
    try:
        ipaddress.ip_address(host if isinstance(host, str) else "")
    except ValueError:
        return False
    return True
