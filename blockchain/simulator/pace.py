"""How fast a node works: at once, slowly, or not at all, as one that was sent SIGSTOP or whose machine sleeps.

What comes in meanwhile waits in the order in which it came, timers among it, which are late then. The node's peers see
its connection all the while. Reality is milder: connections that say nothing for long are ended by the other side.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from blockchain.node.inputs import Input, MessageFaulty, MessageReceived

WAITING_MAX: Final = 20_000  # inputs; of more, messages are lost, as the buffers of connections are full then


class Pace:
    """The inputs of one life of a node that cannot be handled at once."""

    def __init__(self) -> None:
        self.cost_ms = 0  # that each input takes
        self.is_paused = False
        self._is_busy = False
        self._waiting: deque[Input] = deque()

    @property
    def is_at_once(self) -> bool:
        """Whether an input can be handled as it comes."""
        return not (self.cost_ms or self.is_paused or self._waiting or self._is_busy)

    def put(self, given: Input) -> None:
        """Let an input wait."""
        if len(self._waiting) < WAITING_MAX or not isinstance(given, MessageReceived | MessageFaulty):
            self._waiting.append(given)

    def work(self, handle: Callable[[Input], None], later: Callable[[int, Callable[[], None]], None]) -> None:
        """Begin with what waits, unless that is under way. `later` does something after so many ms of this life."""
        if self._is_busy or self.is_paused or not self._waiting:
            return
        self._is_busy = True

        def done() -> None:
            self._is_busy = False
            if not self.is_paused:
                handle(self._waiting.popleft())
            self.work(handle, later)

        later(self.cost_ms, done)

    def forget(self) -> None:
        """The node has ended: what waited is gone. A pause and a slow machine go on."""
        self._is_busy = False
        self._waiting.clear()
