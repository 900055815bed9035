"""Work that is cheaper for many at once: whoever asks while a group is worked on waits for the next one.

So a caller that is alone is served at once, and a crowd shares what costs the same for one and for hundreds: a turn of
a thread, a turn of the core, a write to the disk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")

_Asked = tuple[list[A], asyncio.Future[list[B]]]
_Group = list[_Asked[A, B]]


class Grouping(Generic[A, B]):
    """`work` gives one result for each item, in their order; no more than `at_once` groups are worked on together.

    A group takes what waits up to `most` items, and one caller's items are never parted. Made and used inside one event
    loop; whoever lets callers in bounds how many wait here.
    """

    def __init__(self, work: Callable[[list[A]], Awaitable[list[B]]], most: int, at_once: int = 1) -> None:
        self._work = work
        self._most = most
        self._at_once = at_once
        self._waiting: deque[_Asked[A, B]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopped = False

    def ask(self, items: list[A]) -> asyncio.Future[list[B]]:
        """The results of these items, or what `work` raised of their group; cancelled at the end."""
        future: asyncio.Future[list[B]] = asyncio.get_running_loop().create_future()
        self._waiting.append((items, future))
        self._begin()
        return future

    def stop(self) -> None:
        """Nothing is worked on any more; all who wait are cancelled."""
        self._is_stopped = True
        for task in self._tasks:
            task.cancel()
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    def _begin(self) -> None:
        if self._is_stopped:
            self.stop()  # who asks now is cancelled as well
        elif self._waiting and len(self._tasks) < self._at_once:
            group = self._next_group()
            task = asyncio.create_task(self._serve(group), name="group")
            self._tasks.add(task)
            task.add_done_callback(partial(self._on_served, group))

    def _on_served(self, group: _Group[A, B], task: asyncio.Task[None]) -> None:
        for _, future in group:
            future.cancel()  # of a task that was cancelled, be it before its first step; else there is none left
        self._tasks.discard(task)
        self._begin()

    def _next_group(self) -> _Group[A, B]:
        group = [self._waiting.popleft()]
        count = len(group[0][0])
        while self._waiting and count + len(self._waiting[0][0]) <= self._most:
            group.append(self._waiting.popleft())
            count += len(group[-1][0])
        return group

    async def _serve(self, group: _Group[A, B]) -> None:
        try:
            results = iter(await self._work([item for items, _ in group for item in items]))
        except Exception as error:  # theirs: each caller raises it
            for _, future in group:
                if not future.done():
                    future.set_exception(error)
            return
        for items, future in group:
            own = [next(results) for _ in items]
            if not future.done():  # whoever asked may have gone
                future.set_result(own)
