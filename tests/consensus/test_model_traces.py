"""The production algorithm against 34 traces of a model of Tendermint that nobody here wrote."""

from __future__ import annotations

import pytest

from tests.consensus.model_check import DIFFERENCES, check_driver_trace, check_trace
from tests.consensus.model_traces import TRACE_COUNT, trace_names


@pytest.mark.parametrize("name", trace_names())
def test_does_what_the_model_does(name: str) -> None:
    check_trace(name)


def test_all_traces_are_here() -> None:
    assert len(trace_names()) == TRACE_COUNT
    assert {name for name, _ in DIFFERENCES} <= set(trace_names())


def test_half_of_the_stake_faulty_makes_two_decisions() -> None:
    """Nothing can be safe above a third; an adapter that repaired it would be deciding."""
    validators = check_driver_trace("disagreementTest_disagreementTest_0")
    assert {name: ours.decisions for name, ours in validators.items()} == {"v3": {0: "a"}, "v4": {0: "b"}}


def test_below_a_third_all_decide_the_same() -> None:
    for name in trace_names():
        if not name.startswith(("votekeeper", "consensus", "disagreement")):
            decisions = [ours.decisions.items() for ours in check_driver_trace(name).values()]
            values = {(height, value) for items in decisions for height, value in items}
            assert len(values) == len({height for height, _ in values}), name
