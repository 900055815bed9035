"""Write the tables of docs/performance.md, and docs/performance.svg, from benchmarks/results/*.json.

    python -m benchmarks.performance_docs

What stands between the marks of a part (`<!-- figures -->` … `<!-- end of figures -->`) is written here; all else in
the page is written by hand. A figure whose `series` is "panel: curve" is a point of a plot where it has a place (`at`),
and a stage of a profile where it has none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.__main__ import BENCHMARKS, question
from benchmarks.figures import Figure, limit_cell, number, ratio_cell, target_of, value_cell, word_of
from benchmarks.options import ROOT
from benchmarks.plots import Panel, plot
from benchmarks.results import RESULTS, Result, read_result

PAGE: Final = ROOT / "docs" / "performance.md"
PLOT: Final = ROOT / "docs" / "performance.svg"
NOTHING: Final = "Not measured yet: `make bench`.\n"
X_NAMES: Final = {"blocks": "height", "draws": "validators", "elections": "validators"}


def main() -> int:
    results = read_all(RESULTS)
    text = PAGE.read_text(encoding="utf-8")
    for name, part in parts_of(results).items():
        text = replaced(text, name, part)
    panels = panels_of(results)
    if panels:
        PLOT.write_text(plot(panels), encoding="utf-8", newline="\n")
    PAGE.write_text(text, encoding="utf-8", newline="\n")
    return 0


def parts_of(results: Sequence[Result]) -> dict[str, str]:
    """What is written here, by the name of its place in the page."""
    return {
        "machine": machine(results),
        "targets": targets(results),
        "figures": figures(results),
        "stages": stages(results),
    }


def read_all(folder: Path) -> list[Result]:
    """By name."""
    read = (read_result(path.stem, folder) for path in sorted(folder.glob("*.json")))
    return [result for result in read if result is not None]


def replaced(text: str, name: str, part: str) -> str:
    """The page with this part between its marks. Raises AssertionError for a page without them."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    before, mark, rest = text.partition(begin)
    _, end_mark, after = rest.partition(end)
    assert mark and end_mark, f"the page has no place for {name}"
    return before + begin + part + end + after


def machine(results: Sequence[Result]) -> str:
    """On what, when and of which code: a line for each that differs."""
    lines: dict[str, list[str]] = {}
    for result in results:
        on = result.machine
        what = (
            f"{on.cores} cores, {on.architecture}, {on.system}, {on.python}; code {result.commit}, {result.time[:10]}"
        )
        lines.setdefault(what, []).append(result.name)
    return "".join(f"- {', '.join(names)}: {what}\n" for what, names in lines.items()) or NOTHING


def targets(results: Sequence[Result]) -> str:
    """What was to be reached, of all benchmarks."""
    rows = [
        (result.name, each.name, value_cell(each), limit_cell(each), ratio_cell(each), target_of(each), word_of(each))
        for result in results
        for each in result.figures
        if each.target is not None
    ]
    heads = ("benchmark", "figure", "measured", "limit", "ratio", "target", "")
    return markdown(heads, rows, texts=2) if rows else NOTHING


def figures(results: Sequence[Result]) -> str:
    """A section a benchmark: its question, all but the stages of profiles, and its curves as columns."""
    questions = {each.NAME: question(each) for each in BENCHMARKS}
    sections = [
        "\n".join([f"### {result.name}\n", f"{questions[result.name]}\n", _lines_of(result), *_curves_of(result)])
        for result in results
        if not all(map(_is_stage, result.figures))
    ]
    return "\n".join(sections) or NOTHING


def _lines_of(result: Result) -> str:
    lines = [each for each in result.figures if not each.series]
    if any(each.limit for each in lines):
        limited = [(each.name, value_cell(each), limit_cell(each), ratio_cell(each)) for each in lines]
        return markdown(("figure", "measured", "limit", "ratio"), limited)
    return markdown(("figure", "measured"), [(each.name, value_cell(each)) for each in lines]) if lines else ""


def _curves_of(result: Result) -> list[str]:
    """A table for each x: a line a place, a column a curve."""
    tables: dict[str, dict[str, dict[float, str]]] = {}
    for each in result.figures:
        if each.at is not None:
            columns = tables.setdefault(_x_name(each), {})
            columns.setdefault(each.series.replace(": ", ", "), {})[each.at] = value_cell(each)
    return [_curve_table(x_name, columns) for x_name, columns in tables.items()]


def _curve_table(x_name: str, columns: dict[str, dict[float, str]]) -> str:
    places = sorted({at for column in columns.values() for at in column})
    rows = [(f"{at:,.0f}", *(column.get(at, "") for column in columns.values())) for at in places]
    return markdown((x_name, *columns), rows)


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> str:
    """A table; all columns but the first, or some first ones, stand to the right."""
    rule = "|" + "---|" * texts + "---:|" * (len(heads) - texts) + "\n"
    head, *lines = (f"| {' | '.join(cells)} |\n" for cells in (heads, *rows))
    return head + rule + "".join(lines)


def stages(results: Iterable[Result]) -> str:
    """A line a stage, a column a profile: µs of one transaction, and the share of the whole."""
    profiles: dict[str, dict[str, Figure]] = {}
    for each in (each for result in results for each in result.figures if _is_stage(each)):
        stage = each.name.removesuffix(f", {_curve(each)}")
        profiles.setdefault(f"{_curve(each)}, {each.unit}", {})[stage] = each
    if not profiles:
        return NOTHING
    whole = {name: sum(each.value.median for each in profile.values()) for name, profile in profiles.items()}
    lines = [f"| stage | {' | '.join(profiles)} |", f"|---|{'---:|' * len(profiles)}"]
    for stage in dict.fromkeys(stage for profile in profiles.values() for stage in profile):
        shares = (_share(profile.get(stage), whole[name]) for name, profile in profiles.items())
        lines.append(f"| {stage} | {' | '.join(shares)} |")
    return "\n".join([*lines, f"| all | {' | '.join(map(number, whole.values()))} |"]) + "\n"


def panels_of(results: Iterable[Result]) -> list[Panel]:
    """A panel for what stands before the colon of a series, a curve for what stands behind."""
    panels: dict[str, Panel] = {}
    for each in (each for result in results for each in result.figures):
        if not each.series or each.at is None:
            continue
        name = each.series.partition(": ")[0]
        panel = panels.setdefault(name, Panel(f"{name}, {each.unit}", _x_name(each), {}))
        panel.curves.setdefault(_curve(each), []).append((each.at, each.value.median))
    for panel in panels.values():
        for curve in panel.curves.values():
            curve.sort()
    return list(panels.values())


def _is_stage(each: Figure) -> bool:
    return bool(each.series) and each.at is None


def _x_name(each: Figure) -> str:
    return X_NAMES.get(each.series.partition(": ")[0], "load, tx/s")


def _curve(each: Figure) -> str:
    return each.series.partition(": ")[2]


def _share(each: Figure | None, whole: float) -> str:
    return "" if each is None else f"{number(each.value.median)} ({each.value.median / whole:.0%})"


if __name__ == "__main__":
    sys.exit(main())
