"""Small plots as SVG: panels side by side, each with the curves of one question. Standard library alone.

An axis is logarithmic where its values span more than a decade or two, else it is linear; a linear y begins at 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import takewhile
from typing import Final

WIDTH, HEIGHT = 240, 180  # of one panel's inside, in px
LEFT, TOP, RIGHT, BELOW = 62, 40, 22, 48  # around it
PANELS_A_ROW: Final = 3
LOG_FROM: Final = 20  # the most by the least, from which on an axis is logarithmic
TICKS: Final = 5
COLOURS: Final = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df")

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves by name, each a list of points; what x and y are stands beside the axes."""

    title: str
    x_name: str
    curves: dict[str, list[Point]]


@dataclass(frozen=True, slots=True)
class Axis:
    """From the values of an axis to places on it, 0 to 1."""

    low: float
    high: float
    is_log: bool

    @classmethod
    def over(cls, values: Sequence[float], *, from_zero: bool) -> Axis:
        least, most = min(values), max(values)
        if least > 0 and most / least > LOG_FROM:
            return cls(10 ** math.floor(math.log10(least)), 10 ** math.ceil(math.log10(most)), is_log=True)
        low = min(0.0, least) if from_zero else least
        step = _round_step((most - low) / TICKS)
        return cls(low, low + step * max(math.ceil((most - low) / step), 1), is_log=False)

    def place(self, value: float) -> float:
        if self.is_log:
            low, high = math.log10(self.low), math.log10(self.high)
            return (math.log10(value) - low) / (high - low)
        return (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> list[float]:
        if self.is_log:
            first, last = round(math.log10(self.low)), round(math.log10(self.high))
            return [float(10) ** power for power in range(first, last + 1)]
        step = _round_step((self.high - self.low) / TICKS)
        ticks = (self.low + step * number for number in range(2 * TICKS + 1))
        return list(takewhile(lambda tick: tick <= self.high + step / 2, ticks))


def plot(panels: Sequence[Panel]) -> str:
    """All panels in rows, as one SVG."""
    across, down = LEFT + WIDTH + RIGHT, TOP + HEIGHT + BELOW
    rows = math.ceil(len(panels) / PANELS_A_ROW)
    width, height = min(len(panels), PANELS_A_ROW) * across, rows * down
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        row, column = divmod(number, PANELS_A_ROW)
        parts.append(f'<g transform="translate({column * across + LEFT} {row * down + TOP})">')
        parts.extend(_panel(panel))
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel) -> Iterator[str]:
    points = [point for curve in panel.curves.values() for point in curve]
    x_axis = Axis.over([x for x, _ in points], from_zero=False)
    y_axis = Axis.over([y for _, y in points], from_zero=True)
    yield f'<text x="{WIDTH / 2:.0f}" y="-24" text-anchor="middle" font-weight="bold">{escape(panel.title)}</text>'
    for tick in x_axis.ticks:
        at = x_axis.place(tick) * WIDTH
        yield f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{HEIGHT}" stroke="#ddd"/>'
        yield f'<text x="{at:.1f}" y="{HEIGHT + 16}" text-anchor="middle">{_tick(tick)}</text>'
    for tick in y_axis.ticks:
        at = HEIGHT - y_axis.place(tick) * HEIGHT
        yield f'<line x1="0" x2="{WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>'
        yield f'<text x="-6" y="{at + 4:.1f}" text-anchor="end">{_tick(tick)}</text>'
    yield f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT + 34}" text-anchor="middle">{escape(panel.x_name)}</text>'
    for number, (name, curve) in enumerate(panel.curves.items()):
        yield from _curve(
            name, number, [(x_axis.place(x) * WIDTH, HEIGHT - y_axis.place(y) * HEIGHT) for x, y in curve]
        )


def _curve(name: str, number: int, points: list[Point]) -> Iterator[str]:
    colour = COLOURS[number % len(COLOURS)]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points)
    yield f'<text x="4" y="{12 + 13 * number}" fill="{colour}">{escape(name)}</text>'


def _round_step(least: float) -> float:
    """The next of 1, 2, 5, 10, 20, … above; 1 for nothing."""
    if least <= 0:
        return 1.0
    power = float(10) ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * 0.999)


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 or value == 0 else f"{value:g}"
