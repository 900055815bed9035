"""That the rule of liveness is asked, and that a planted bug which costs rounds breaks it and names the seed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from blockchain.consensus.commit import Commit
from blockchain.consensus.forging import Forging
from blockchain.consensus.height import HeightInProgress
from blockchain.consensus.tendermint import Action, Tendermint
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Step
from blockchain.seams import Effect, Locked, NodeEvent, Proposed, SigningBegun
from blockchain.simulator.drawing import draw
from blockchain.simulator.liveness import Asked, Turns, check_liveness
from blockchain.simulator.playing import play, world_of
from blockchain.simulator.wishes import Wishes
from blockchain.simulator.world import Violation, World

OTHER = Hash32(bytes(32))
CALM = draw(6, Wishes(validators=4, followers=0, byzantine=0, heights=3, is_calm=True, loss=0.0))
SCENARIO = replace(
    CALM,
    nodes=tuple(replace(node, stake=10) for node in CALM.nodes[:4]),
    links=replace(CALM.links, delay_ms=(1, 10), late=0.0),
    skew_max_ms=0,
    healed_delay_ms=(1, 20),
    absent=(),
    is_staking=False,
)


def test_it_is_asked_of_what_is_decided_after_healing() -> None:
    outcome = play(SCENARIO, world_of(SCENARIO))
    assert outcome.good_rounds >= 1


def test_a_forger_that_never_proposes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """In round 0: else nothing would ever be decided."""
    real = Forging.propose_if_due

    def planted(self: Forging, current: HeightInProgress, commit: Commit, now: int) -> list[Effect]:
        return [] if current.rules.round == 0 else real(self, current, commit, now)

    monkeypatch.setattr(Forging, "propose_if_due", planted)
    with pytest.raises(Violation, match=r"seed 6: node \d is drawn for round 0 of height \d, .* and does not"):
        play(SCENARIO, world_of(SCENARIO))


def locked_in_round_0(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if locks of the height before were never released: in round 0 all vote nil."""
    real: Callable[[Tendermint], list[Action]] = Tendermint._prevote_new

    def planted(self: Tendermint) -> list[Action]:
        if self.round == 0 and self.step is Step.PROPOSE and 0 in self.proposals:
            return [self._prevote(None)]
        return real(self)

    monkeypatch.setattr(Tendermint, "_prevote_new", planted)


def test_a_lock_that_is_never_released_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    locked_in_round_0(monkeypatch)
    with pytest.raises(Violation, match=r"seed 6: round 0 of height \d is good, and round [1-9] decides"):
        play(SCENARIO, world_of(SCENARIO))


def test_what_was_lost_at_healing_excuses_a_block_that_is_proposed_again() -> None:
    """The prevotes behind it were under way then, and a second later they do not count as lost yet."""
    scenario = draw(626379008, Wishes(heights=20))
    assert play(scenario, world_of(scenario)).good_rounds >= 1


def test_what_a_voter_lacks_of_a_proposal_excuses_it_for_as_long_as_that_takes() -> None:
    """It had started again a second before, and came into the round 106 ms before the proposal was made."""
    scenario = draw(693719508, Wishes(heights=20))
    assert play(scenario, world_of(scenario)).good_rounds >= 1


def asked(world: World, more: dict[int, NodeEvent]) -> Asked:
    """What the rule says of a run in which some nodes said one thing more, before all else."""
    world.events[:0] = list(more.items())
    world.event_ms[:0] = [0] * len(more)
    try:
        return check_liveness(SCENARIO, world, Turns(), 0)
    finally:
        del world.events[: len(more)], world.event_ms[: len(more)]


def test_locks_that_nobody_released_excuse_a_round_unless_they_are_the_forgers_own() -> None:
    world = world_of(SCENARIO)
    play(SCENARIO, world)
    plain = asked(world, {})
    made = [(number, event) for number, event in world.events if isinstance(event, Proposed)]
    forger, proposed = made[-1]
    for at, (number, event) in enumerate(world.events):  # the same run, its last height a round later
        if getattr(event, "height", 0) == proposed.height:
            fields = [name for name in ("round", "decided_round") if name in event.__struct_fields__]
            world.events[at] = number, replace(event, **dict.fromkeys(fields, 1))
    assert asked(world, {}) == plain
    others = [number for number in range(4) if number != forger]
    lock = Locked(proposed.height, 0, OTHER)
    assert asked(world, {others[0]: lock}) == plain, "three of four are enough"
    hidden = asked(world, dict.fromkeys(others[:2], lock))
    assert hidden == Asked(plain.good - 1, plain.hidden + 1)
    with pytest.raises(Violation, match=f"seed 6: node {forger} is locked and proposes another block"):
        asked(world, {forger: lock})


def test_a_spoilt_voter_that_was_silent_when_it_was_proposed_is_not_on_line() -> None:
    """What it kept back comes after the silence, too late for the others (seed 297739054 of 20 heights)."""
    world = world_of(SCENARIO)
    play(SCENARIO, world)
    plain = asked(world, {})
    last = max(event.height for _, event in world.events if isinstance(event, Proposed))
    silent = [number for number in range(4) if number != forger_of(world, last)][:2]
    for number in silent:
        world.nodes[number].has_lost_record = True
    assert asked(world, {}) == plain, "they have signed"
    world.events += [(number, SigningBegun(last)) for number in silent]
    world.event_ms += [world.time_ms] * 2
    assert asked(world, {}) == Asked(plain.good - 1, plain.hidden)


def forger_of(world: World, height: int) -> int:
    [number] = {number for number, event in world.events if isinstance(event, Proposed) and event.height == height}
    return number
