"""What a test sums up with `record_property("summary", text)` stands at the end of the run, whichever worker ran it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _summaries(terminalreporter):
        terminalreporter.write_line(line)


def _summaries(reporter: pytest.TerminalReporter) -> Iterator[str]:
    for reports in reporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name == "summary" and report.when == "call":
                    yield str(value)
