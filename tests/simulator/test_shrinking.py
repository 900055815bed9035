"""A scenario that fails is made small: everybody gets the same one, and one command plays it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.errors import ConfigError
from blockchain.primitives.validators import ValidatorSet
from blockchain.simulator.cuts import Cuts, cut, cuts_of, words_of
from blockchain.simulator.drawing import draw
from blockchain.simulator.faults import Crash, Partition
from blockchain.simulator.playing import play, world_of
from blockchain.simulator.scenario import Scenario
from blockchain.simulator.shrinking import failure_of, kind_of, shrink
from blockchain.simulator.wishes import Wishes
from blockchain.simulator.world import Violation

HALVES = Partition(at_ms=600, until_ms=6_000, groups=((0, 1), (2, 3, 4)))
CRASH = Crash(at_ms=100, until_ms=900, nodes=(1, 4))
SCENARIO = replace(
    draw(1, Wishes(validators=4, followers=1, heights=8, is_calm=True, byzantine=0, loss=0.1)),
    faults=(CRASH, HALVES, replace(CRASH, at_ms=500)),
    hostile=((3, ("floods",)),),
)


def needs(scenario: Scenario) -> str:
    """Fails while there are three nodes, the partition, heights enough for it, and somebody hostile."""
    is_apart = any(isinstance(fault, Partition) for fault in scenario.faults)
    return "fork" if is_apart and len(scenario.nodes) >= 3 and scenario.heights >= 3 and scenario.hostile else ""


def test_all_that_a_failure_does_not_need_goes() -> None:
    shrunk = shrink(SCENARIO, "fork", fails=needs)
    left = cut(SCENARIO, shrunk.cuts)
    assert needs(left) == "fork"
    assert (len(left.nodes), len(left.faults), left.heights, left.links.loss) == (3, 1, 3, 0.0)
    assert shrink(SCENARIO, "fork", fails=needs) == shrunk


def test_another_failure_does_not_count() -> None:
    assert shrink(SCENARIO, "fork", fails=lambda _: "halted").cuts == Cuts()


def test_it_gives_up_after_so_many_runs() -> None:
    assert shrink(SCENARIO, "fork", fails=needs, runs_max=2).runs == 2


def test_who_is_left_keeps_key_and_stake_and_its_part() -> None:
    left = cut(SCENARIO, Cuts(nodes=frozenset({0, 2})))
    assert left.nodes == (SCENARIO.nodes[1], *SCENARIO.nodes[3:])
    assert left.hostile == ((1, ("floods",)),)
    assert left.faults[0] == replace(CRASH, nodes=(0, 2))
    assert left.faults[1] == replace(HALVES, groups=((0,), (1, 2)))
    assert cut(SCENARIO, Cuts(nodes=frozenset({1, 4}))).faults[0] == replace(HALVES, groups=((0,), (1, 2)))
    assert cut(replace(SCENARIO, absent=(0, 3)), Cuts(nodes=frozenset({0}))).absent == (2,)


@pytest.mark.parametrize("text", ["node3", "node1,node12,fault0,actor2,loss,late,heights5", "duplicates"])
def test_cuts_have_words(text: str) -> None:
    assert words_of(cuts_of(text)) == text


@pytest.mark.parametrize("text", ["", "node", "node-1", "nodes3", "late,", "heights" + "9" * 30])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        cuts_of(text)


def test_a_planted_bug_is_found_and_shrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a third is called a quorum: the two sides of a partition decide by themselves."""
    monkeypatch.setattr(ValidatorSet, "is_quorum", lambda self, stake: 3 * stake > self.total)
    calm = replace(SCENARIO.links, loss=0.0, late=0.0, duplicates=0.0, delay_ms=(1, 10))
    scenario = replace(SCENARIO, hostile=(), links=calm, heights=9, faults=(replace(HALVES, at_ms=1),))
    with pytest.raises(Violation) as caught:
        play(scenario, world_of(scenario))
    failure = kind_of(str(caught.value))
    assert failure == "nodes and made different blocks final at height"
    shrunk = shrink(scenario, failure, runs_max=6)
    left = cut(scenario, shrunk.cuts)
    assert failure_of(left) == failure
    assert len(left.nodes) < len(scenario.nodes) and len(left.faults) == 1


def test_what_ends_a_core_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: ValidatorSet, stake: int) -> bool:
        raise KeyError(stake)

    monkeypatch.setattr(ValidatorSet, "is_quorum", broken)
    assert failure_of(SCENARIO) == "a node falls over with KeyError in broken"
