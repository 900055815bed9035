"""Write docs/scale.md's table and docs/scale.svg from the newest line of each size in tests/records/scale.jsonl.

python -m benchmarks.scale_docs
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "tests" / "records" / "scale.jsonl"
PAGE = ROOT / "docs" / "scale.md"
PLOT = ROOT / "docs" / "scale.svg"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
Row = dict[str, Any]

WIDTH, HEIGHT = 240, 200  # of one panel, in px
LEFT, TOP, RIGHT, BELOW = 56, 34, 16, 40  # around it
SIZES_SHOWN: Final = (1, 1_000)  # of the axis of validators
PANELS: Final[tuple[tuple[str, Callable[[Row], float], tuple[int, int]], ...]] = (
    ("messages a node and height", lambda row: sum(row["messages"].values()) / row["validators"], (1, 10_000)),
    ("KB a node and height", lambda row: sum(row["bytes"].values()) / row["validators"] / 1e3, (1, 100_000)),
    ("ms to finality, last node", lambda row: float(row["final_ms"]["last_node"]), (10, 10_000)),
)


def newest(lines: list[str]) -> list[Row]:
    """The newest record of each size, by size."""
    rows = {row["validators"]: row for row in map(json.loads, lines)}
    return [rows[size] for size in sorted(rows)]


def table(rows: list[Row]) -> str:
    """As Markdown: all figures are of one node and height, but for the last two."""
    lines = [
        "| validators | peers: least, median, most | messages | of these votes | KB | of these votes | proposals "
        "| to finality: median node, last | rounds above 0 | CPU of all, a height | commit |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in rows:
        nodes, peers, final = row["validators"], row["peers"], row["final_ms"]
        messages, sizes = row["messages"], row["bytes"]
        cells = (
            f"{nodes:,}",
            f"{peers['least']}, {peers['median']:.0f}, {peers['most']}",
            f"{sum(messages.values()) / nodes:,.0f}",
            f"{messages['votes'] / nodes:,.0f}",
            f"{sum(sizes.values()) / nodes / 1e3:,.0f}",
            f"{sizes['votes'] / nodes / 1e3:,.0f}",
            f"{sizes['proposed'] / nodes / 1e3:,.0f}",
            f"{final['median_node']:,} ms, {final['last_node']:,} ms",
            f"{row['rounds_above_0'] / nodes / row['heights']:.2f}",
            f"{row['cpu_s']['height']:,.1f} s",
            row["commit"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def plot(rows: list[Row]) -> str:
    """Three panels with both axes logarithmic, as SVG."""
    width = len(PANELS) * (LEFT + WIDTH + RIGHT)
    height = TOP + HEIGHT + BELOW
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, (title, value_of, span) in enumerate(PANELS):
        points = [(row["validators"], value_of(row)) for row in rows]
        parts.append(f'<g transform="translate({number * (LEFT + WIDTH + RIGHT) + LEFT} {TOP})">')
        parts.extend(_panel(title, points, span))
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(title: str, points: list[tuple[int, float]], span: tuple[int, int]) -> Iterator[str]:
    yield f'<text x="{WIDTH / 2:.0f}" y="-14" text-anchor="middle" font-weight="bold">{title}</text>'
    for x in _decades(SIZES_SHOWN):
        at = _place(x, SIZES_SHOWN) * WIDTH
        yield f'<line x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{HEIGHT}" stroke="#ddd"/>'
        yield f'<text x="{at:.1f}" y="{HEIGHT + 16}" text-anchor="middle">{x:,}</text>'
    for y in _decades(span):
        at = HEIGHT - _place(y, span) * HEIGHT
        yield f'<line x1="0" x2="{WIDTH}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>'
        yield f'<text x="-6" y="{at + 4:.1f}" text-anchor="end">{y:,}</text>'
    yield f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT + 32}" text-anchor="middle">validators</text>'
    placed = [(_place(x, SIZES_SHOWN) * WIDTH, HEIGHT - _place(y, span) * HEIGHT) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    yield f'<polyline points="{path}" fill="none" stroke="#1f6feb" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1f6feb"/>' for x, y in placed)


def _decades(span: tuple[int, int]) -> list[int]:
    first, last = (round(math.log10(end)) for end in span)
    return [10**power for power in range(first, last + 1)]


def _place(value: float, span: tuple[int, int]) -> float:
    """Where a value lies between both ends, 0 to 1."""
    low, high = map(math.log10, span)
    return (math.log10(value) - low) / (high - low)


def main() -> int:
    rows = newest(RECORDS.read_text(encoding="utf-8").splitlines())
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + BEGIN + table(rows) + END + after, encoding="utf-8", newline="\n")
    PLOT.write_text(plot(rows), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
