"""Figures: what a benchmark gives, how several runs become one figure, and the table that people read.

Machines are noisy, and shared ones drift. So each benchmark runs several times, a physical limit is measured before
and after each run (`beside_limits`), a run's ratio is taken to the limits beside it, and what is told is the median
with the least and the most. The limits themselves are in limits.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final, Literal

Better = Literal["more", "less"]
Of = Literal["ratio", "value"]

_HEADS: Final = ("", "median (least to most)", "limit", "ratio", "target", "")


@dataclass(frozen=True, slots=True)
class Spread:
    """Several runs as one: the median, and what the runs lay between."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Raises AssertionError for no values."""
        held = sorted(values)
        assert held, "a figure without a run"
        return cls(median(held), held[0], held[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of a table.

    `name` is unique in its benchmark. `value` and `limit` have the unit `unit`; `limit_name` says in words what the
    limit is. `ratio` is value / limit, run by run. `target` is of the ratio or of the value (`target_of`), reached from
    below where less is better. `series`, as "panel: curve", makes a figure a point of a curve (at x = `at`) or, without
    `at`, a part of a whole, as the stages of a profile are.
    """

    name: str
    unit: str
    better: Better
    value: Spread
    limit: Spread | None = None
    limit_name: str = ""
    ratio: Spread | None = None
    target: float | None = None
    target_of: Of = "ratio"
    series: str = ""
    at: float | None = None
    runs: int = 1

    @property
    def is_reached(self) -> bool | None:
        """Whether the target is; None where there is none. The median counts."""
        if self.target is None:
            return None
        measured = self.ratio if self.target_of == "ratio" else self.value
        assert measured is not None, f"{self.name}: a target of a ratio that nothing was held against"
        return measured.median >= self.target if self.better == "more" else measured.median <= self.target


def figure(
    name: str,
    unit: str,
    values: Sequence[float],
    *,
    better: Better,
    target: float | None = None,
    series: str = "",
    at: float | None = None,
) -> Figure:
    """A figure that is held against nothing; a target is of its value."""
    return Figure(
        name=name,
        unit=unit,
        better=better,
        value=Spread.of(values),
        target=target,
        target_of="value",
        series=series,
        at=at,
        runs=len(values),
    )


def figure_beside(
    name: str,
    unit: str,
    values: Sequence[float],
    limits: Sequence[float],
    limit_name: str,
    *,
    better: Better,
    target: float | None = None,
    target_of: Of = "ratio",
    series: str = "",
    at: float | None = None,
) -> Figure:
    """A figure with its limit: each run is held against the limit that was measured beside it, in the same unit."""
    return Figure(
        name=name,
        unit=unit,
        better=better,
        value=Spread.of(values),
        limit=Spread.of(limits),
        limit_name=limit_name,
        ratio=Spread.of(value / limit for value, limit in zip(values, limits, strict=True)),
        target=target,
        target_of=target_of,
        series=series,
        at=at,
        runs=len(values),
    )


def beside_limits(
    runs: int, limit: Callable[[], float], run: Callable[[], float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure limit, run, limit, run, … limit; returns the runs' values, and for each the mean of the limits beside it.

    So a machine that becomes slower meanwhile makes both slower.
    """
    limits, values = [limit()], []
    for _ in range(runs):
        values.append(run())
        limits.append(limit())
    return tuple(values), tuple((before + after) / 2 for before, after in pairwise(limits))


# ---------------------------------------------------------------------------------------------------- for people


def table(figures: Iterable[Figure]) -> str:
    """Figures in columns, for a terminal."""
    rows = [_HEADS, *(cells(each) for each in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def cells(each: Figure) -> tuple[str, ...]:
    """Name, median with unit and spread, limit, ratio with spread, target, and whether it is reached."""
    return each.name, value_cell(each), limit_cell(each), ratio_cell(each), target_of(each), word_of(each)


def value_cell(each: Figure) -> str:
    return f"{number(each.value.median)} {each.unit}{_spread(each, each.value)}"


def limit_cell(each: Figure) -> str:
    return "" if each.limit is None else f"{number(each.limit.median)} {each.limit_name}"


def ratio_cell(each: Figure) -> str:
    return "" if each.ratio is None else f"{number(each.ratio.median)}{_spread(each, each.ratio)}"


def word_of(each: Figure) -> str:
    return {None: "", True: "reached", False: "MISSED"}[each.is_reached]


def target_of(each: Figure) -> str:
    if each.target is None:
        return ""
    sign = "≥" if each.better == "more" else "≤"
    return f"{sign} {number(each.target)}{'' if each.target_of == 'ratio' else ' ' + each.unit}"


def number(value: float) -> str:
    """Three significant digits, thousands in groups, no exponent."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def _spread(each: Figure, of: Spread) -> str:
    return f" ({number(of.least)} to {number(of.most)})" if each.runs > 1 else ""
