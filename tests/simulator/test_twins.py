"""Twins: two copies of one validator, five processes, the network split anew period by period (arXiv:2004.10617).

The suite plays a sample; `make twins` plays all 50,625 scenarios of both plans (tests/simulator/all_twins.py).
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from msgspec.structs import replace

from blockchain.consensus.tendermint import Action, Tendermint
from blockchain.consensus.votes import Added, VoteBook
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Evidence, Step, Vote
from blockchain.simulator.twins.play import play
from blockchain.simulator.twins.process import Making
from blockchain.simulator.twins.scenario import SPLITS, Period, Plan, Scenario, count, enumerated, sampled, words
from tests.simulator.all_twins import chunks, counts, play_chunk, verdict
from tests.simulator.twin_bugs import BUGS, C_IS_KILLED, HIDDEN_LOCK, LIAR, OLD_POLKA, SIGNER_ALONE, SPLIT_ONCE, Bug

SCRIPTS = {"hidden": HIDDEN_LOCK, "old": OLD_POLKA, "killed": C_IS_KILLED, "once": SPLIT_ONCE}


def test_all_ways_to_split_five_processes_in_two() -> None:
    assert len(set(SPLITS)) == 15 and all(split[0] == 0 and sum(split) > 0 for split in SPLITS)
    assert count() == 50_625
    assert len({enumerated(number, Plan.STEPS) for number in range(0, 50_625, 97)}) == len(range(0, 50_625, 97))
    assert [period.split for period in enumerated(50_624, Plan.ROUNDS).periods] == [SPLITS[-1]] * 4


def test_a_sample_of_all_scenarios() -> None:
    """Everybody decides the same block, whoever was contradicted has evidence, no honest signer refuses anything."""
    rng = Random(5)
    seen: Counter[str] = Counter()
    for number in range(30):
        plan = Plan.STEPS if number % 4 else Plan.ROUNDS
        scenario = enumerated(rng.randrange(count()), plan) if number % 3 else sampled(rng, plan)
        outcome = play(scenario, twin=LIAR if number % 6 == 0 else None)
        assert not outcome.conflicts and outcome.wrong == (), words(scenario)
        seen.update(counts(outcome))
    wanted = {"locks", "reproposals", "past decisions", "syncs", "offended", "round 0", "round 1", "round 2"}
    assert {name for name in wanted if not seen[name]} == set(), "a sample that comes by nothing shows nothing"


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_makes_no_conflict_with_the_production_rules(script: str) -> None:
    for making, twin in ((Making(), None), (Making(), LIAR), (SIGNER_ALONE, None)):
        outcome = play(SCRIPTS[script], making, twin)
        assert not outcome.conflicts and outcome.wrong == ()


@pytest.mark.parametrize("name", BUGS)
def test_a_script_shows_each_bug_that_breaks_agreement(name: str) -> None:
    """What random runs do not find (and Twins with one split a round neither): a lock that is not kept."""
    bug = BUGS[name]
    outcome = play(bug.script, bug.making, bug.twin)
    assert outcome.conflicts is bug.conflicts
    if not bug.conflicts:
        assert any("signer" in wrong for wrong in outcome.wrong), "the signer's own rule is what holds"


def test_the_second_plan_finds_a_dropped_lock_by_itself() -> None:
    """Its scenario is one of the 50,625."""
    assert any(enumerated(number, Plan.STEPS) == HIDDEN_LOCK for number in _near(HIDDEN_LOCK))


def test_a_conflict_by_a_dropped_lock_leaves_evidence_against_whoever_dropped_it() -> None:
    bug = BUGS["lock-new+signer"]
    assert any("accuses an honest validator" in wrong for wrong in play(bug.script, bug.making).wrong)


class _NobodyIsEnough(ValidatorSet):
    def is_quorum(self, stake: int) -> bool:
        return False


class _BlindBook(VoteBook):
    def add(self, vote: Vote, current_round: int) -> tuple[Added, list[Evidence]]:
        return super().add(vote, current_round)[0], []


class _Blind(Tendermint):
    def __init__(self, validators: ValidatorSet) -> None:
        super().__init__(validators)
        self.book = _BlindBook(validators)


class _Late(Tendermint):
    """Votes for nothing new before round 4."""

    def _prevote_new(self) -> list[Action]:
        if self.round < 4 and self.step is Step.PROPOSE and self.round in self.proposals:
            return [self._prevote(None)]
        return super()._prevote_new()


def test_the_verdict_can_fail() -> None:
    split = Scenario(periods=(Period(SPLITS[4], 0, Step.PRECOMMIT),), forgers=(1,))
    assert play(split).wrong == ()
    assert "B decided nothing" in play(split, Making(validators=_NobodyIsEnough)).wrong
    assert any("rounds of honest forgers" in wrong for wrong in play(split, Making(rules=_Late)).wrong)
    assert any("saw nothing" in wrong for wrong in play(split, Making(rules=_Blind)).wrong)


def test_a_scenario_in_words() -> None:
    assert words(replace(C_IS_KILLED, periods=C_IS_KILLED.periods[:3])) == (
        "forgers A A A A, stakes (1, 1, 1, 1)\n"
        "to round 0 prevote: A B C | A' D\n"
        "to round 0 precommit: A | A' B C D\n"
        "to round 1 prevote: A B | A' C D, C killed"
    )


def _near(scenario: Scenario) -> range:
    """The number of an enumerated scenario, as a range of one."""
    number = 0
    for period in scenario.periods:
        number = number * len(SPLITS) + SPLITS.index(period.split)
    return range(number, number + 1)


def test_each_bug_is_of_a_validator_set_that_the_production_rules_keep() -> None:
    """A script that needs other stakes than its enumeration has would show nothing there."""
    assert all(_has_its_stakes(bug) for bug in BUGS.values())


def _has_its_stakes(bug: Bug) -> bool:
    return bug.script.stakes == bug.stakes


def test_the_long_run_plays_each_scenario_once_and_counts_what_is_wrong() -> None:
    """`make twins`, in a small form: its parts make the whole, and a bug shows in its counts."""
    parts = [chunk for chunk in chunks(0, 1) if chunk.plan is Plan.STEPS and not chunk.drawn]
    whole = [number for chunk in parts for number in chunk.numbers]
    assert sorted(whole) == list(range(count()))
    drawn = next(chunk for chunk in chunks(4, 1) if chunk.drawn)
    total = play_chunk(drawn, "")
    assert (total["scenarios"], total["wrong"]) == (len(drawn.numbers), 0)
    wanted = replace(drawn, numbers=(_near(HIDDEN_LOCK)[0],), plan=Plan.STEPS, drawn=False)
    assert play_chunk(wanted, "lock-new+signer")["conflicts"] == 1
    assert play_chunk(wanted, "")["conflicts"] == 0


def test_a_run_ends_with_a_verdict() -> None:
    well, broken = Counter(scenarios=50_625), Counter(scenarios=1, conflicts=1, wrong=1)
    assert verdict("", {"steps": well}) == "no conflict in 50,625 scenarios, nothing else wrong"
    assert (
        verdict("", {"steps": well, "rounds": broken}) == "1 conflicts in 50,626 scenarios, 1 with something else wrong"
    )
    assert verdict("no_lock", {"steps": broken}) == "1 conflicts in 1 scenarios with the bug no_lock"
