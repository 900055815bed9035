"""For all tests: Hypothesis draws the same examples in every run, and summaries stand at the end.

What a test sums up with `record_property("summary", text)` is printed there, whichever worker ran it. Fresh examples:
`pytest --hypothesis-profile=explore`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Final, TypeVar

import pytest
from hypothesis import settings

from blockchain.runtime.event_loop import AsyncioLoop, NodeLoop

T = TypeVar("T")
LOOPS: Final[list[type[asyncio.AbstractEventLoop]]] = [AsyncioLoop]
if NodeLoop is not AsyncioLoop:  # uvloop is installed
    LOOPS.append(NodeLoop)

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1_000, deadline=None, print_blob=True)
settings.load_profile("deterministic")


@pytest.fixture(params=LOOPS, ids=[loop.__name__ for loop in LOOPS])
def each_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[asyncio.AbstractEventLoop]:
    """Whatever `asyncio.run` runs in the test, it runs on each event loop that a node can have."""
    loop: type[asyncio.AbstractEventLoop] = request.param

    def run(main: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(main)

    monkeypatch.setattr(asyncio, "run", run)
    return loop


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _summaries(terminalreporter):
        terminalreporter.write_line(line)


def _summaries(reporter: pytest.TerminalReporter) -> Iterator[str]:
    for reports in reporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "summary" and report.when == "call":
                    yield str(value)
