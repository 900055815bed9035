"""The core's inputs one after the other, and the effects of each in order, all of them before the next input.

No task does it. Whatever brings an input has all that waits looked at in the loop's next turn; an effect that takes its
time, as a write to the disk, ends that, and goes on with it where it is done. So an input takes a call, where a task
would be woken for it, and again for each of its writes (docs/decisions/0020).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Generic, TypeVar

from blockchain.node.inputs import Input
from blockchain.runtime.inbox import Inbox
from blockchain.runtime.intake import Call, nothing

E = TypeVar("E")  # an effect
Waiting = tuple[Input, Call, Call]  # what to call before it is handled, and after


class Steps(Generic[E]):
    """Used inside one event loop: `begin`, then `run`.

    `handle` gives the effects of an input. `perform` does one; where it returns False, the next waits for `go_on`.
    `settle` is called when those of an input are all performed.
    """

    def __init__(self, handle: Callable[[Input], Iterable[E]], perform: Callable[[E], bool], settle: Call) -> None:
        self._handle = handle
        self._perform = perform
        self._settle = settle
        self._due: deque[Input] = deque()  # timers and signatures; at most one a kind of timer and request
        self._effects: Iterator[E] = iter(())  # of the input in hand, those that are left
        self._after: Call = nothing  # called when it is done
        self._is_resting = False  # nothing waits; not so before `begin`
        self._loop: asyncio.AbstractEventLoop  # from `begin` on, as the next
        self._ended: asyncio.Future[None]
        self.inbox: Inbox[Waiting] = Inbox(self._wake)

    async def begin(self, first: Input) -> None:
        """Handle this input, and from then on all that comes; returns when it is done. Raises what it failed of."""
        self._loop = asyncio.get_running_loop()
        self._ended, begun = self._loop.create_future(), self._loop.create_future()
        self._loop.call_soon(self._go_through, partial(self._take_up, first, nothing, partial(begun.set_result, None)))
        try:
            await asyncio.wait({begun, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._ended.cancel()
            raise
        if not begun.done():
            self._ended.result()

    async def run(self) -> None:
        """Never returns; raises what an input or an effect failed of. Cancelled, it ends all between two effects."""
        await self._ended

    def give(self, given: Input) -> None:
        """An input of this node's own, which comes before those that wait in the inbox."""
        self._due.append(given)
        self._wake()

    def go_on(self, first: Call) -> None:
        """The effect that was waited for is done; `first` comes before the next."""
        self._go_through(first)

    def fail(self, error: BaseException) -> None:
        """What an effect has begun has failed."""
        if not self._ended.done():
            self._ended.set_exception(error)

    def _wake(self) -> None:
        if self._is_resting:
            self._is_resting = False
            self._loop.call_soon(self._go_through, self._take_up_next)

    def _go_through(self, first: Call) -> None:
        """Do this, what is left of the input in hand, and all that waits, up to an effect that takes its time."""
        try:
            first()
            while not self._ended.done() and self._is_done() and self._take_up_next():
                pass
        except Exception as error:  # whoever runs this raises it
            self.fail(error)

    def _take_up_next(self) -> bool:
        """Whether an input waited."""
        waiting = (self._due.popleft(), nothing, nothing) if self._due else self.inbox.take()
        if waiting is None:
            self._is_resting = True
            return False
        self._take_up(*waiting)
        return True

    def _take_up(self, given: Input, before: Call, after: Call) -> None:
        before()
        self._after = after
        self._effects = iter(self._handle(given))

    def _is_done(self) -> bool:
        """Perform what is left of the input in hand; False where one of its effects has to be waited for."""
        for effect in self._effects:
            if not self._perform(effect):
                return False
        self._settle()
        self._after()
        return True
