"""How a process that runs a node is told to end, from its first moment to its last: Ctrl-C, SIGTERM, Ctrl-Break.

Three times follow each other. Before anything is opened, a signal ends the process on the spot. While the node runs, it
sets an event; and while the node opens its store, which waits for nothing and may take long, it interrupts that. When
the node has ended, a further signal says nothing new.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

_Handler = Callable[[int, FrameType | None], object] | int | signal.Handlers | None

SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Around all that a process does to run a node.

    At first a signal ends the process with 0, without a word: nothing was opened, so nothing is to be closed. Inside,
    `ToldToEnd` takes over. After a good end signals are ignored, since the exit code is settled; after an error they
    are what they were before.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    _handle_all(dict.fromkeys(SIGNALS, _exit))
    try:
        yield
    except BaseException:
        _handle_all(before)
        raise
    _handle_all(dict.fromkeys(SIGNALS, signal.SIG_IGN))


def _handle_all(handlers: Mapping[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


class ToldToEnd:
    """Listens to the signals from its making on. Made and used inside one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        self._may_interrupt = False
        self._was_told = False
        # Plain handlers, and not the loop's: Windows's loop has none, and those of others end with the loop.
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    async def wait(self) -> None:
        await self._told.wait()

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Inside, a signal raises KeyboardInterrupt: for work that never gives the event loop its turn."""
        self._may_interrupt = True
        try:
            if self._was_told:
                raise KeyboardInterrupt
            yield
        finally:
            self._may_interrupt = False

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._was_told = True
        if self._may_interrupt:
            self._may_interrupt = False  # once: the second one must not interrupt the closing
            raise KeyboardInterrupt
        with suppress(RuntimeError):  # the loop is closed: then the node has ended
            self._loop.call_soon_threadsafe(self._told.set)


def _exit(_number: int, _frame: FrameType | None) -> None:
    os._exit(0)
