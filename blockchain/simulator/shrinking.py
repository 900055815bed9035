"""Make a scenario that fails smaller, as long as it fails in the same way.

Theory of operation. Greedy, and without chance, so that everybody gets the same small scenario from the same seed:
faults (all, halves, quarters, … single ones), then hostile nodes, nodes, heights and what links do; each cut that
leaves the failure stays. It begins again until nothing more can go, or it has played `RUNS_MAX` runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from blockchain.errors import InvalidGenesis
from blockchain.simulator.cuts import CALM, Cuts, cut
from blockchain.simulator.playing import play, world_of
from blockchain.simulator.scenario import Scenario
from blockchain.simulator.world import Violation

RUNS_MAX: Final = 200  # a run takes a second or so
NOTHING: Final = Cuts()


class Shrunk(Struct, frozen=True):
    """What can go, and how many runs it took to find out."""

    cuts: Cuts
    runs: int


def kind_of(violation: str) -> str:
    """Which rule was broken: what is said before the first colon, without the numbers and ids of this run."""
    told = violation.partition(": ")[2].partition(": ")[0]
    return " ".join(word for word in told.split() if not any(letter.isdigit() for letter in word))


def failure_of(scenario: Scenario) -> str:
    """Which rule a run of this scenario breaks; empty: none, or it is no scenario at all."""
    try:
        play(scenario, world_of(scenario))
    except Violation as violation:
        return kind_of(str(violation))
    except InvalidGenesis:
        return ""
    return ""


def shrink(
    scenario: Scenario,
    failure: str,
    cuts: Cuts = NOTHING,
    fails: Callable[[Scenario], str] = failure_of,
    runs_max: int = RUNS_MAX,
) -> Shrunk:
    """More cuts, after which a scenario still fails like that."""
    search = _Search(scenario, cuts, failure, fails, runs_max)
    while search.has_got_on:
        search.has_got_on = False
        for proposals in (_fewer_faults, _fewer_actors, _fewer_nodes, _lower, _calmer):
            search.try_all(proposals)
    return Shrunk(search.cuts, search.runs)


class _Search:
    def __init__(
        self, scenario: Scenario, cuts: Cuts, failure: str, fails: Callable[[Scenario], str], runs_max: int
    ) -> None:
        self.scenario = scenario
        self.cuts = cuts
        self.runs = 0
        self.has_got_on = True
        self._failure = failure
        self._fails = fails
        self._runs_max = runs_max
        self._tried = {self.cuts}

    def try_all(self, proposals: Callable[[Scenario, Cuts], Iterator[Cuts]]) -> None:
        """Take each proposal that leaves the failure; what is proposed next takes it into account."""
        taken = True
        while taken:
            taken = any(self._holds(proposed) for proposed in proposals(self.scenario, self.cuts))

    def _holds(self, proposed: Cuts) -> bool:
        if self.runs >= self._runs_max or proposed in self._tried:
            return False
        self._tried.add(proposed)
        self.runs += 1
        if self._fails(cut(self.scenario, proposed)) != self._failure:
            return False
        self.cuts = proposed
        self.has_got_on = True
        return True


def _fewer_faults(scenario: Scenario, cuts: Cuts) -> Iterator[Cuts]:
    """All that are left, halves of them, quarters, …, single ones."""
    left = [number for number in range(len(scenario.faults)) if number not in cuts.faults]
    size = len(left)
    while size > 0:
        for start in range(0, len(left), size):
            yield replace(cuts, faults=cuts.faults | set(left[start : start + size]))
        size //= 2


def _fewer_actors(scenario: Scenario, cuts: Cuts) -> Iterator[Cuts]:
    for number, _ in scenario.hostile:
        if number not in cuts.actors | cuts.nodes:
            yield replace(cuts, actors=cuts.actors | {number})


def _fewer_nodes(scenario: Scenario, cuts: Cuts) -> Iterator[Cuts]:
    """The last first: they are followers and who came late."""
    for number in reversed(range(len(scenario.nodes))):
        if number not in cuts.nodes:
            yield replace(cuts, nodes=cuts.nodes | {number})


def _lower(scenario: Scenario, cuts: Cuts) -> Iterator[Cuts]:
    heights = cuts.heights or scenario.heights
    for fewer in dict.fromkeys((1, heights // 4, heights // 2, heights - 1)):
        if 0 < fewer < heights:
            yield replace(cuts, heights=fewer)


def _calmer(scenario: Scenario, cuts: Cuts) -> Iterator[Cuts]:
    for name in CALM:
        if name not in cuts.calm and getattr(scenario.links, name):
            yield replace(cuts, calm=cuts.calm | {name})
