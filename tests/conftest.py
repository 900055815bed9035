"""For all tests: Hypothesis draws the same examples in every run, and summaries stand at the end.

What a test sums up with `record_property("summary", text)` is printed there, whichever worker ran it. Fresh examples:
`pytest --hypothesis-profile=explore`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1_000, deadline=None, print_blob=True)
settings.load_profile("deterministic")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _summaries(terminalreporter):
        terminalreporter.write_line(line)


def _summaries(reporter: pytest.TerminalReporter) -> Iterator[str]:
    for reports in reporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "summary" and report.when == "call":
                    yield str(value)
