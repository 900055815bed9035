"""Processes that are forked to be killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

LIVES_MAX: Final = 60  # for one kill: a life may end before it comes to its point


def killed(work: Callable[[], object], what: str) -> bool:
    """Do it in a process of its own. Whether that got SIGKILL; False: it came to its end. Raises AssertionError."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return True
    assert status == 0, what
    return False


def lives_until_killed(live: Callable[[], bool], point: str) -> int:
    """How many it took. Raises AssertionError when none comes to its point."""
    for number in range(1, LIVES_MAX + 1):
        if live():
            return number
    raise AssertionError(f"no life comes to the point {point!r}")
