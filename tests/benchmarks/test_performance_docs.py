"""The page of performance: what is written into it, and the plots."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import performance_docs as docs
from benchmarks import sync
from benchmarks.__main__ import question
from benchmarks.figures import Figure, figure, figure_beside
from benchmarks.plots import Axis, Panel, plot
from benchmarks.results import RESULTS, Result, result_of, write_result

STAGES = [
    figure(f"{stage}, few", "µs", [value], better="less", series="stages: few")
    for stage, value in (("signatures", 75), ("apply", 25))
]
DRAWS = [
    figure(f"a draw, {count}", "µs", [count / 10], better="less", series="draws: stakes of 1", at=count)
    for count in (1_000, 10)
]
SYNC = figure_beside("sync", "tx/s", [18_000], [25_000], "two threads", better="more", target=0.7)


def result(*figures: Figure) -> Result:
    return result_of("sync", figures, "abc")


def test_a_benchmark_has_its_question_its_lines_and_its_curves_as_columns() -> None:
    assert docs.figures([result(SYNC, *STAGES, *DRAWS)]).splitlines() == [
        "### sync",
        "",
        question(sync),
        "",
        "| figure | measured | limit | ratio |",
        "|---|---:|---:|---:|",
        "| sync | 18,000 tx/s | 25,000 two threads | 0.72 |",
        "",
        "| validators | draws, stakes of 1 |",
        "|---|---:|",
        "| 10 | 1.00 µs |",
        "| 1,000 | 100 µs |",
    ]
    assert docs.figures([result(*STAGES)]) == docs.NOTHING


def test_the_targets_of_all_benchmarks_are_one_table() -> None:
    text = docs.targets([result(SYNC, *STAGES, *DRAWS)])
    assert len(text.splitlines()) == 2 + 1
    assert "| sync | sync | 18,000 tx/s | 25,000 two threads | 0.72 | ≥ 0.70 | reached |" in text


def test_stages_have_their_share_of_the_whole() -> None:
    more = figure("apply, many", "µs", [5], better="less", series="stages: many")
    assert docs.stages([result(SYNC, *STAGES, more)]).splitlines() == [
        "| stage | few, µs | many, µs |",
        "|---|---:|---:|",
        "| signatures | 75.0 (75%) |  |",
        "| apply | 25.0 (25%) | 5.00 (100%) |",
        "| all | 100 | 5.00 |",
    ]


def test_points_of_one_series_are_a_curve() -> None:
    [panel] = docs.panels_of([result(SYNC, *STAGES, *DRAWS)])
    assert panel == Panel("draws, µs", "validators", {"stakes of 1": [(10, 1), (1_000, 100)]})


def test_the_machine_is_named_once() -> None:
    other = result_of("growth", [], "abc")
    text = docs.machine([result(SYNC), other])
    assert text.startswith("- sync, growth: ") and text.count("\n") == 1
    assert docs.machine([]) == docs.targets([]) == docs.figures([]) == docs.stages([]) == docs.NOTHING


def test_a_part_is_written_between_its_marks() -> None:
    page = "before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n"
    new = docs.replaced(page, "figures", "new\n")
    assert new == "before\n<!-- figures -->\nnew\n<!-- end of figures -->\nafter\n"
    with pytest.raises(AssertionError, match="no place for stages"):
        docs.replaced(page, "stages", "new\n")


def test_the_committed_page_says_what_the_committed_figures_say() -> None:
    results = docs.read_all(RESULTS)
    text = docs.PAGE.read_text(encoding="utf-8")
    for name, part in docs.parts_of(results).items():
        assert docs.replaced(text, name, part) == text, f"{name}: python -m benchmarks.performance_docs"


def test_the_page_and_the_plot_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, drawn = tmp_path / "page.md", tmp_path / "plot.svg"
    page.write_text(docs.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(docs, "PAGE", page)
    monkeypatch.setattr(docs, "PLOT", drawn)
    monkeypatch.setattr(docs, "RESULTS", tmp_path)
    write_result(result(SYNC, *STAGES, *DRAWS), tmp_path)
    assert docs.main() == 0
    assert "| sync | 18,000 tx/s" in page.read_text(encoding="utf-8")
    assert "draws, µs" in drawn.read_text(encoding="utf-8")


def test_a_plot_is_well_formed_and_holds_every_point() -> None:
    panels = [Panel(f"a & b {number}", "x", {"one": [(1, 1), (1_000, 5)], "two": [(1, 0)]}) for number in range(4)]
    root = ElementTree.fromstring(plot(panels))  # our own, a line above
    assert len(root.findall(".//{*}circle")) == 4 * 3


@pytest.mark.parametrize(
    "values, axis, ticks",
    [
        ([3, 40], Axis(0, 40, is_log=False), [0, 10, 20, 30, 40]),
        ([10, 10_000], Axis(10, 10_000, is_log=True), [10, 100, 1_000, 10_000]),
        ([0, 0.7], Axis(0, 0.8, is_log=False), [0, 0.2, 0.4, 0.6, 0.8]),
        ([0], Axis(0, 1, is_log=False), [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_axes_are_logarithmic_where_values_span_much(values: list[float], axis: Axis, ticks: list[float]) -> None:
    made = Axis.over(values, from_zero=True)
    assert made == axis and made.ticks == pytest.approx(ticks)
    assert made.place(made.low) == 0 and made.place(made.high) == 1
