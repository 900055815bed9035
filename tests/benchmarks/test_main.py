"""The command: which benchmarks run, what is kept, and how a check ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import results
from benchmarks.figures import Figure, figure_beside
from benchmarks.options import Options


class Toy:
    """How fast is a toy?"""

    def __init__(self, name: str, ratio: float = 0.7) -> None:
        self.NAME = name
        self.ratio = ratio
        self.asked: list[Options] = []

    def measure(self, options: Options) -> list[Figure]:
        self.asked.append(options)
        return [figure_beside("speed", "tx/s", [self.ratio] * 3, [1] * 3, "of all", better="more", target=0.5)]


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Toy, Toy]:
    both = Toy("one"), Toy("two")
    monkeypatch.setattr(command, "BENCHMARKS", both)
    monkeypatch.setattr(command, "this_commit", lambda: "abc")
    monkeypatch.setattr(command, "write_result", lambda result: results.write_result(result, tmp_path))
    monkeypatch.setattr(command, "read_result", lambda name: results.read_result(name, tmp_path))
    return both


def test_all_run_unless_some_are_named(toys: tuple[Toy, Toy], capsys: pytest.CaptureFixture[str]) -> None:
    one, two = toys
    assert command.main(["--only=two", "--repeat=2", "--quick"]) == 0
    assert (len(one.asked), len(two.asked)) == (0, 1)
    assert two.asked[0].runs == 2 and two.asked[0].is_quick
    assert command.main([]) == 0
    assert (len(one.asked), len(two.asked)) == (1, 2)
    assert "one: How fast is a toy?" in capsys.readouterr().out


def test_an_unknown_name_is_refused(toys: tuple[Toy, Toy]) -> None:
    with pytest.raises(SystemExit, match="no benchmark 'three'; there is: one, two"):
        command.main(["--only=one,three"])
    assert toys[0].asked == []


def test_a_quick_run_keeps_nothing_and_a_check_compares(
    toys: tuple[Toy, Toy], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, _ = toys
    assert command.main(["--only=one", "--quick"]) == 0
    assert list(tmp_path.iterdir()) == []
    assert command.main(["--only=one", "--check"]) == 1
    assert "no figures to compare with" in capsys.readouterr().out
    assert command.main(["--only=one"]) == 0
    assert command.main(["--only=one", "--check"]) == 0
    assert "Nothing got worse." in capsys.readouterr().out
    one.ratio = 0.5
    kept = (tmp_path / "one.json").read_bytes()
    assert command.main(["--only=one", "--check"]) == 1
    assert "one: speed: ratio 0.50" in capsys.readouterr().out
    assert (tmp_path / "one.json").read_bytes() == kept


def test_every_benchmark_has_a_name_and_a_question(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(command.BENCHMARKS) == len({each.NAME for each in command.BENCHMARKS})
    assert all("?" in line for line in lines)
