"""A function in a process of its own, so that what measures does not share an interpreter with what it measures.

The two talk in messages of MessagePack through a pipe. The other process ends with the block, on Ctrl-C too, which is
for the one that started it to handle, and when that one is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")
_END_SECONDS: Final = 5.0


class Pipe:
    """One end of it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def tell(self, message: object) -> None:
        self._connection.send_bytes(msgspec.msgpack.encode(message))

    def hear(self, kind: type[T]) -> T:
        """The next message, of this type. Raises EOFError when the other process has ended."""
        return msgspec.msgpack.decode(self._connection.recv_bytes(), type=kind)

    def wait_closed(self) -> None:
        """Until the other side is gone. What it says meanwhile is lost."""
        try:
            while True:
                self._connection.recv_bytes()
        except (EOFError, OSError):
            return

    def close(self) -> None:
        self._connection.close()


@contextmanager
def apart(work: Callable[[Pipe], None]) -> Iterator[Pipe]:
    """Run `work`, a function of a module, with its end of the pipe; on leaving, its process has ended."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=_run, args=(work, theirs), daemon=True, name=work.__name__)
    process.start()
    theirs.close()
    try:
        yield Pipe(ours)
    finally:
        ours.close()
        process.join(_END_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()


def _run(work: Callable[[Pipe], None], connection: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    work(Pipe(connection))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
