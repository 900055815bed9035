"""A scenario is data: it can be written down, read again, and comes to the same."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.errors import ConfigError
from blockchain.simulator.drawing import draw
from blockchain.simulator.scenario import SCENARIO_BYTES_MAX, Member, of_json, spec_of, to_json
from blockchain.simulator.wishes import Wishes


@pytest.mark.parametrize("seed", range(20))
def test_what_is_written_is_read_again(seed: int) -> None:
    scenario = draw(seed)
    assert of_json(to_json(scenario)) == scenario
    assert to_json(of_json(to_json(scenario))) == to_json(scenario)


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[1]", b'{"seed": 1}', b"[" * 5_000, b"\xff", b" " * (SCENARIO_BYTES_MAX + 1)]
)
def test_what_is_no_scenario_is_refused(raw: bytes) -> None:
    with pytest.raises(ConfigError):
        of_json(raw)


def test_one_whose_chain_is_none_is_refused() -> None:
    alike = replace(draw(1), nodes=(Member(0, 100), Member(0, 100)))
    with pytest.raises(ConfigError, match="no scenario: "):
        of_json(to_json(alike))


def test_a_wish_leaves_the_rest_as_it_was() -> None:
    drawn, wished = draw(3), draw(3, Wishes(loss=0.5))
    assert wished.links.loss == 0.5
    assert replace(wished, links=drawn.links) == drawn
    longer = draw(3, Wishes(heights=30))
    assert (longer.nodes, longer.parameters, longer.links) == (drawn.nodes, drawn.parameters, drawn.links)


def test_wishes_are_granted() -> None:
    scenario = draw(4, Wishes(validators=9, followers=3, heights=11, is_calm=True))
    validators = [member for member in scenario.nodes if member.stake > 0]
    assert len(validators) == 9 and scenario.heights == 11 and scenario.faults == ()
    assert sum(member == Member() for member in scenario.nodes) == 3


def test_an_absent_stake_is_just_under_a_third() -> None:
    scenarios = [scenario for seed in range(100) if (scenario := draw(seed)).absent]
    assert scenarios
    for scenario in scenarios:
        stakes = [member.stake for member in scenario.nodes]
        absent = sum(stakes[number] for number in scenario.absent)
        assert 3 * absent < sum(stakes) <= 3 * (absent + 1)
        spec_of(scenario)
