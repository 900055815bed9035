"""Files of results, and what counts as worse."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from benchmarks.figures import Better, Figure, figure, figure_beside
from benchmarks.results import Result, read_result, result_of, what_got_worse, write_result


def measured(*ratios: float, better: Better = "more") -> Figure:
    return figure_beside("sync", "tx/s", [ratio * 1_000 for ratio in ratios], [1_000] * len(ratios), "x", better=better)


def result(*figures: Figure) -> Result:
    return result_of("one", figures, "abc")


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    written = result(measured(0.5, 0.7), figure("select", "ms", [5], better="less", series="growth", at=100))
    write_result(written, tmp_path / "results")
    assert read_result("one", tmp_path / "results") == written
    assert read_result("another", tmp_path / "results") is None


def test_a_file_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"name": "one"}')
    with pytest.raises(msgspec.ValidationError):
        read_result("one", tmp_path)


def test_two_figures_with_one_name_are_a_mistake() -> None:
    with pytest.raises(AssertionError, match="one name"):
        result(measured(1), measured(1))


@pytest.mark.parametrize(
    "better, before, now, is_worse",
    [
        ("more", (0.70, 0.72, 0.74), (0.60, 0.61, 0.62), True),
        ("more", (0.70, 0.72, 0.74), (0.60, 0.61, 0.71), False),  # the ranges meet: noise
        ("more", (0.70, 0.72, 0.74), (0.67, 0.68, 0.69), False),  # below by less than a machine drifts
        ("more", (0.70, 0.72, 0.74), (0.90, 0.95, 0.99), False),  # better
        ("less", (1.8, 1.9, 2.0), (2.2, 2.3, 2.4), True),
        ("less", (1.8, 1.9, 2.0), (2.03, 2.3, 2.4), False),
        ("less", (1.8, 1.9, 2.0), (1.0, 1.1, 1.2), False),
    ],
)
def test_worse_is_what_noise_does_not_explain(
    better: Better, before: tuple[float, ...], now: tuple[float, ...], is_worse: bool
) -> None:
    lines = what_got_worse(result(measured(*before, better=better)), result(measured(*now, better=better)))
    assert bool(lines) is is_worse
    if is_worse:
        [line] = lines
        assert line.startswith("one: sync: ratio ") and ", was " in line


def test_a_figure_that_is_gone_is_told_and_one_without_ratio_and_target_is_for_people() -> None:
    before = result(measured(0.7), figure("select", "ms", [5], better="less"))
    assert what_got_worse(before, result()) == [f"one: {name} is not measured any more" for name in ("sync", "select")]
    slower = result(measured(0.7), figure("select", "ms", [50], better="less"))
    assert what_got_worse(before, slower) == []


@pytest.mark.parametrize(
    "before, now, lines",
    [
        ((4, 5), (6, 7), ["one: select: 6.50 ms, and ≤ 5.00 ms was reached"]),
        ((4, 5), (4.9, 7), []),  # one run reaches it still
        ((6, 7), (60, 70), []),  # it was never reached
    ],
)
def test_a_figure_without_a_ratio_is_judged_by_the_target_that_it_reached(
    before: tuple[float, ...], now: tuple[float, ...], lines: list[str]
) -> None:
    was, new = (figure("select", "ms", values, better="less", target=5) for values in (before, now))
    assert what_got_worse(result(was), result(new)) == lines
