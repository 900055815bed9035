"""One thread that does what it is asked, one thing after the other, for an event loop that goes on meanwhile.

What `loop.run_in_executor` does with a pool of one thread, in a fraction of the calls: no future, no task that waits
for it, no count of idle threads. A height takes half a dozen of these, so it shows.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")
_Asked = tuple[asyncio.AbstractEventLoop, Callable[[], Any], Callable[[Any], object], Callable[[BaseException], object]]


class WorkerThread:
    """Used inside one event loop. The thread begins with the first work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._asked: SimpleQueue[_Asked | None] = SimpleQueue()  # bounded by who asks; None: the end
        self._thread: threading.Thread | None = None

    def ask(
        self, work: Callable[[], T], done: Callable[[T], object], failed: Callable[[BaseException], object]
    ) -> None:
        """Have it do `work`; the loop then calls `done` with the result, or `failed` with what was raised."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._asked.put((asyncio.get_running_loop(), work, done, failed))

    def stop(self) -> None:
        """Wait until all that was asked is done."""
        if self._thread is not None:
            self._asked.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (asked := self._asked.get()) is not None:
            loop, work, done, failed = asked
            try:
                result = work()
            except BaseException as error:  # whoever asked is told
                loop.call_soon_threadsafe(failed, error)
            else:
                loop.call_soon_threadsafe(done, result)
                del result
            del asked, loop, work, done, failed  # nothing is kept while it waits
