"""One thread that does what it is asked, one thing after the other, for an event loop that goes on meanwhile.

What `loop.run_in_executor` does with a pool of one thread, in a third of the calls: no future of a second kind, no
count of idle threads. A height takes half a dozen of these, so it shows.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Asked = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class WorkerThread:
    """Used inside one event loop. The thread begins with the first work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()  # bounded by who waits; None: the end
        self._thread: threading.Thread | None = None

    async def do(self, work: Callable[[], T]) -> T:
        """The result of `work`; raises what it raised. Who is cancelled does not stop it."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.put((work, future))
        return await future

    def stop(self) -> None:
        """Wait until all that was asked is done."""
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            work, future = asked
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # whoever waits raises it
                error = raised
            future.get_loop().call_soon_threadsafe(_settle, future, result, error)
            del asked, work, future, result, error  # nothing is kept while it waits


def _settle(future: asyncio.Future[T], result: T, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
