"""The rule that tells flat from growing, and the page and plot that a sitting writes."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from tests.endurance.report import Sitting, write
from tests.endurance.samples import Sample
from tests.endurance.verdict import growths, rise

MIB = 1024


def sample(seconds: float, rss_kib: float, descriptors: int = 40, node: str = "node-0") -> Sample:
    return Sample(seconds, node, int(rss_kib), descriptors, 8, 1_000, 1, 0)


def grows(samples: list[Sample]) -> set[str]:
    return {growth.what for growth in growths(samples) if not growth.is_flat}


def sitting(samples: list[Sample], held: float = 80.0, final: int = 10, minutes: float = 600.0) -> Sitting:
    return Sitting(minutes, 2, 100.0, 80.0, held, 10, final, 5, tuple(growths(samples)))


FLAT = [sample(second, 100 * MIB + second % 7 * 100) for second in range(300)]


def test_what_rises_in_the_warm_up_only_is_flat() -> None:
    warming = [sample(second, min(50 + second, 150) * MIB) for second in range(300)]
    assert grows(warming) == set() == grows(FLAT)


def test_memory_that_goes_on_rising_is_seen_and_so_is_one_of_two_nodes() -> None:
    leak = [sample(second, (100 + second / 10) * MIB, node="node-1") for second in range(300)]
    assert grows(leak) == {"memory"}
    assert [growth.node for growth in growths([*FLAT, *leak]) if not growth.is_flat] == ["node-1"]


def test_a_descriptor_lost_now_and_then_is_seen() -> None:
    assert grows([sample(second, 100 * MIB, descriptors=40 + second // 50) for second in range(300)]) == {"descriptors"}


def test_the_line_of_least_squares_rises_by_what_a_straight_line_does() -> None:
    assert abs(rise([0.0, 1.0, 2.0], [5.0, 7.0, 9.0]) - 4.0) < 1e-9
    assert rise([1.0], [5.0]) == 0.0


def test_what_did_not_become_final_is_a_fault() -> None:
    assert sitting(FLAT).faults == []
    assert len(sitting(FLAT, held=70.0).faults) == len(sitting(FLAT, final=9).faults) == 1


def test_a_sitting_that_ends_before_the_caches_are_full_does_not_judge_memory() -> None:
    leak = [sample(second, (100 + second / 10) * MIB) for second in range(300)]
    assert sitting(leak).verdict == "memory of node-0 grows"
    assert sitting(leak, minutes=4.0).faults == [] and "too short" in sitting(leak, minutes=4.0).verdict


def test_a_sitting_writes_its_page_its_plot_and_its_samples(tmp_path: Path) -> None:
    write(sitting(FLAT), FLAT, tmp_path, tmp_path)
    assert "Verdict: **flat**" in (tmp_path / "endurance.md").read_text("utf-8")
    drawn = ElementTree.fromstring((tmp_path / "endurance.svg").read_text("utf-8"))
    assert len([shape for shape in drawn.iter() if shape.get("fill") == "none"]) == 4
    assert len((tmp_path / "endurance.csv").read_text("utf-8").splitlines()) == len(FLAT) + 1
