"""Lines over time as SVG, one panel above the other: enough for docs, and no dependency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

Points = Sequence[tuple[float, float]]

_WIDTH: Final = 720
_PANEL: Final = 170
_LEFT: Final = 70
_RIGHT: Final = 20
_TOP: Final = 30
_GAP: Final = 45
_COLORS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")  # told apart by all eyes
_TICKS: Final = 4


@dataclass(frozen=True)
class Panel:
    """Lines by name, over one axis of minutes; from 0 up."""

    title: str
    lines: Mapping[str, Points]


def svg(panels: Sequence[Panel], warm_up: float) -> str:
    """Everything left of `warm_up` (minutes) is shaded."""
    height = len(panels) * (_PANEL + _GAP) + _TOP
    minutes = max(x for panel in panels for points in panel.lines.values() for x, _ in points) or 1.0
    body = "\n".join(
        _panel(panel, _TOP + index * (_PANEL + _GAP), minutes, warm_up) for index, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12">\n<rect width="{_WIDTH}" height="{height}" fill="white"/>\n{body}\n</svg>\n'
    )


def _panel(panel: Panel, top: int, minutes: float, warm_up: float) -> str:
    most = max(y for points in panel.lines.values() for _, y in points) * 1.1 or 1.0
    across = (_WIDTH - _LEFT - _RIGHT) / minutes
    parts = [
        f'<text x="{_LEFT}" y="{top - 8}" font-weight="bold">{escape(panel.title)}</text>',
        f'<rect x="{_LEFT}" y="{top}" width="{warm_up * across:.1f}" height="{_PANEL}" fill="#eeeeee"/>',
    ]
    for tick in range(_TICKS + 1):
        y = top + _PANEL - _PANEL * tick / _TICKS
        x = _LEFT + minutes * across * tick / _TICKS
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{most * tick / _TICKS:.4g}</text>')
        parts.append(
            f'<text x="{x:.1f}" y="{top + _PANEL + 15}" text-anchor="middle">{minutes * tick / _TICKS:.3g} min</text>'
        )
    for index, (name, points) in enumerate(panel.lines.items()):
        color = _COLORS[index % len(_COLORS)]
        path = "L".join(f"{_LEFT + x * across:.1f} {top + _PANEL * (1 - y / most):.1f}" for x, y in points)
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        parts.append(
            f'<text x="{_WIDTH - _RIGHT - 70 * (len(panel.lines) - index) + 60}" y="{top - 8}" text-anchor="end" '
            f'fill="{color}">{escape(name)}</text>'
        )
    return "\n".join(parts)
