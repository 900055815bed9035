"""Medians, spreads, ratios, targets and the table."""

from __future__ import annotations

import pytest

from benchmarks.figures import Figure, Spread, beside_limits, figure, figure_beside, number, table


def test_a_spread_is_the_median_between_the_least_and_the_most() -> None:
    assert Spread.of([5, 1, 3]) == Spread(3, 1, 5)
    assert Spread.of([1, 2, 3, 10]) == Spread(2.5, 1, 10)
    with pytest.raises(AssertionError, match="without a run"):
        Spread.of([])


def test_limits_are_measured_before_and_after_each_run() -> None:
    calls: list[str] = []
    limits, values = iter([10.0, 20.0, 40.0]), iter([6.0, 9.0])

    def limit() -> float:
        calls.append("limit")
        return next(limits)

    def run() -> float:
        calls.append("run")
        return next(values)

    assert beside_limits(2, limit, run) == ((6.0, 9.0), (15.0, 30.0))
    assert calls == ["limit", "run", "limit", "run", "limit"]


def test_ratios_are_taken_run_by_run() -> None:
    """The ratio of the medians would be 1."""
    drifting = figure_beside("a", "tx/s", [5, 10, 40], [10, 10, 20], "two threads", better="more")
    assert drifting.ratio == Spread(1, 0.5, 2) and drifting.runs == 3
    assert drifting.value == Spread(10, 5, 40) and drifting.limit == Spread(10, 10, 20)


@pytest.mark.parametrize(
    "measured, is_reached",
    [
        (figure("a", "ms", [5], better="less", target=5), True),
        (figure("a", "ms", [5.1], better="less", target=5), False),
        (figure("a", "ms", [5], better="less"), None),
        (figure_beside("a", "tx/s", [7], [10], "limit", better="more", target=0.7), True),
        (figure_beside("a", "tx/s", [6], [10], "limit", better="more", target=0.7), False),
        (figure_beside("a", "ms", [41], [10], "limit", better="less", target=4), False),
        (figure_beside("a", "µs", [9], [1], "limit", better="less", target=10, target_of="value"), True),
    ],
)
def test_a_target_is_of_the_ratio_or_of_the_value(measured: Figure, is_reached: bool | None) -> None:
    assert measured.is_reached is is_reached


def test_a_table_has_a_line_a_figure() -> None:
    reached = figure_beside(
        "sync", "tx/s", [18_000, 20_000, 21_000], [25_000] * 3, "two threads", better="more", target=0.7
    )
    missed = figure("select", "ms", [5.5], better="less", target=5)
    head, first, second = table([reached, missed]).splitlines()
    assert head.split() == ["median", "(least", "to", "most)", "limit", "ratio", "target"]
    assert " ".join(first.split()) == (
        "sync 20,000 tx/s (18,000 to 21,000) 25,000 two threads 0.80 (0.72 to 0.84) ≥ 0.70 reached"
    )
    assert " ".join(second.split()) == "select 5.50 ms ≤ 5.00 ms MISSED"


@pytest.mark.parametrize(
    "value, text", [(0, "0"), (0.0123, "0.012"), (0.5, "0.50"), (12.34, "12.3"), (26_190.4, "26,190"), (-3.0, "-3.00")]
)
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
