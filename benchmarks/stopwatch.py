"""A stopwatch for stages: functions of the node are wrapped while it runs, and each keeps the time that is its own.

One thread only. A stage inside another one takes its time from it, so that the sum is the whole. A wrapped call costs
some 0.2 µs more, which falls to the stage around it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from time import perf_counter
from typing import Any, NamedTuple
from unittest.mock import patch


class Timed(NamedTuple):
    """A function, by the module or class that holds it and its name there, and the stage that its time counts for.

    A function that several modules have imported is timed in those that are named only.
    """

    holder: Any
    name: str
    stage: str


class Stopwatch:
    """Seconds by stage. `rest` is what is measured and in no stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = []  # of each stage that is under way, what went to others within it

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What happens inside is of this stage."""
        self._inner.append(0.0)
        begun = perf_counter()
        try:
            yield
        finally:
            whole = perf_counter() - begun
            self.seconds[name] += whole - self._inner.pop()
            if self._inner:
                self._inner[-1] += whole

    @contextmanager
    def watching(self, timed: Sequence[Timed]) -> Iterator[None]:
        """Time these functions. Raises AttributeError for one that is not there any more."""
        with ExitStack() as stack:
            for holder, name, stage in timed:
                stack.enter_context(patch.object(holder, name, self._wrapped(getattr(holder, name), stage)))
            yield

    def _wrapped(self, function: Callable[..., Any], stage: str) -> Callable[..., Any]:
        inner, seconds = self._inner, self.seconds

        def timed(*given: Any, **named: Any) -> Any:
            inner.append(0.0)
            begun = perf_counter()
            try:
                return function(*given, **named)
            finally:
                whole = perf_counter() - begun
                seconds[stage] += whole - inner.pop()
                if inner:
                    inner[-1] += whole

        return timed
