"""Small worlds in which something definite goes wrong at a definite moment."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
from msgspec.structs import replace

from blockchain.primitives.block import decode_block
from blockchain.primitives.vote import Step, Vote, VoteStep
from blockchain.seams import (
    BlockFinalized,
    ClockOff,
    Effect,
    Locked,
    Proposed,
    RoundTimedOut,
    Sign,
    SignatureRefused,
    SyncProgressed,
)
from blockchain.simulator.network import Links
from tests.simulator.plays import ALL, forger_crashes, forger_is_lost, hidden_lock
from tests.simulator.stage import PARAMETERS, Stage

TEN_MINUTES_MS = 600_000


# ------------------------------------------------------------------------------------------------ everybody at once


@pytest.mark.parametrize("after_ms", range(0, 75, 5))
def test_all_four_killed_at_once_in_the_middle_of_a_height_decide_the_block_they_were_at(after_ms: int) -> None:
    """Nobody remembers more than disk and signer hold; the height takes about seventy ms here."""
    stage = Stage()
    stage.start(*ALL)
    stage.run(2_000)
    stage.pay(stage.forger(0))
    stage.run(after_ms)
    stage.crash(*ALL)
    stage.run(1_000)
    stage.start(*ALL)
    assert stage.run(5_000, lambda: min(stage.heads()) == 1)
    proposed = {event.block_id for event in stage.events(Proposed)}
    assert stage.decided(1) == proposed
    assert len(proposed) == 1
    assert not stage.events(SignatureRefused)
    stage.pay(0)
    assert stage.run(5_000, lambda: min(stage.heads()) == 2)


@pytest.mark.parametrize("effects", range(0, 60, 2))
def test_all_four_killed_between_two_effects_go_on(effects: int) -> None:
    """Each dies at its own moment: after so many effects, between write and signature or between two sends."""
    stage = Stage()
    stage.start(*ALL)
    stage.run(2_000)
    for number in ALL:
        stage.world.crash_after(number, effects + number)
    stage.pay(stage.forger(0)) if effects > 8 else None
    stage.run(3_000)
    for number in ALL:
        stage.world.spare(number)
        if stage.world.nodes[number].core is None:
            stage.start(number)
    if effects <= 8:
        stage.pay(0)
    assert stage.run(10_000, lambda: min(stage.heads()) >= 1)
    assert len(stage.decided(1)) == 1
    assert not stage.events(SignatureRefused)


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize("step", [VoteStep.PREVOTE, VoteStep.PRECOMMIT])
def test_all_four_killed_around_their_signatures_repeat_them(step: VoteStep, is_signed: bool) -> None:
    """The vote was written down and not asked for; or given by the signer, and lost before the node had it.

    Nobody else can repeat it, and without it no step is left by anybody: no vote, no time-out. A prevote is signed
    while its record is written: where all lose that, they have their votes and not the body; the next round decides.
    """
    is_body_lost = is_signed and step is VoteStep.PREVOTE
    stage = Stage()
    stage.start(*ALL)
    stage.run(1_000)
    for number in ALL:
        stage.world.crash_before(number, _around(step, is_signed))
    stage.pay(stage.forger(0))
    stage.run(100)
    assert all(node.core is None for node in stage.world.nodes)
    before = {place for place in stage.world.signed if place[3] == step}
    assert len(before) == (4 if is_signed else 0)
    stage.start(*ALL)
    assert stage.run(5_000, lambda: min(stage.heads()) == 1)
    assert {event.decided_round for event in stage.events(BlockFinalized)} == {1 if is_body_lost else 0}
    assert bool(stage.events(RoundTimedOut)) is is_body_lost


def _around(step: VoteStep, is_signed: bool) -> Callable[[Effect], bool]:
    """Holds for the request of a vote of this step, or for the first effect after it."""
    asked = False

    def dies_before(effect: Effect) -> bool:
        nonlocal asked
        if asked:
            return True
        asked = isinstance(effect, Sign) and isinstance(effect.message, Vote) and effect.message.step is step
        return asked and not is_signed

    return dies_before


def test_all_four_killed_again_and_again_get_there_in_the_end() -> None:
    """A node that lives for 25 ms at a time gets one step further in each life."""
    stage = Stage()
    stage.start(*ALL)
    stage.pay(stage.forger(0))
    for _ in range(40):
        stage.run(25)
        stage.crash(*ALL)
        stage.start(*ALL)
    assert min(stage.heads()) == 1
    assert len(stage.decided(1)) == 1


# ------------------------------------------------------------------------------------------------ some of them


def test_one_of_four_killed_for_good_and_the_chain_goes_on() -> None:
    stage = Stage()
    stage.start(*ALL)
    stage.crash(3)
    for height in range(1, 9):
        stage.pay(height % 3)
        assert stage.run(5_000, lambda height=height: stage.heads()[:3] == [height] * 3)  # type: ignore[misc]
    assert any(event.decided_round > 0 for event in stage.events(BlockFinalized))  # the dead one was drawn as well


def test_one_that_was_away_catches_up_and_its_vote_is_needed_again() -> None:
    stage = Stage()
    stage.start(0, 1, 2)
    stage.pay(0)
    assert stage.run(5_000, lambda: stage.heads()[:3] == [1, 1, 1])
    stage.start(3)
    assert stage.run(5_000, lambda: stage.heads() == [1, 1, 1, 1])
    stage.crash(0)
    stage.pay(1)
    assert stage.run(10_000, lambda: stage.heads()[1:] == [2, 2, 2])


def test_a_follower_that_joins_late_syncs_and_follows() -> None:
    stage = Stage(followers=1)
    stage.start(*ALL)
    for height in range(1, 6):
        stage.pay(0)
        assert stage.run(5_000, lambda height=height: min(stage.heads()[:4]) == height)  # type: ignore[misc]
    stage.start(4)
    assert stage.run(5_000, lambda: stage.heads()[4] == 5)
    assert [event.height for event in stage.events(SyncProgressed, 4)] == [5], "once it is there"
    stage.pay(4)  # and what a client sends to it reaches the others
    assert stage.run(5_000, lambda: stage.heads() == [6] * 5)
    assert not stage.events(BlockFinalized, 4)[-1].synced


def test_a_partition_of_two_and_two_makes_no_progress_and_heals() -> None:
    stage = Stage()
    stage.start(*ALL)
    stage.run(1_000)
    stage.world.network.groups = (frozenset({0, 1}), frozenset({2, 3}))
    stage.pay(0)
    stage.pay(1)
    stage.run(60_000)
    assert stage.heads() == [0, 0, 0, 0]
    stage.world.network.heal()
    assert stage.run(10_000, lambda: min(stage.heads()) >= 1)
    assert len(stage.decided(1)) == 1


@pytest.mark.parametrize("step", [Step.PREVOTE, Step.PRECOMMIT])
def test_a_node_whose_store_is_older_than_its_signers_lock_is_silent_for_that_height_only(step: Step) -> None:
    """A data folder put back from a copy, the signer's record beside it not (protocol §5.6)."""
    stage = Stage()
    stage.start(*ALL)
    stage.run(1_000)
    forger = stage.forger(0)
    older = next(number for number in ALL if number != forger)  # what the forger alone holds would be lost
    copy = deepcopy(stage.world.nodes[older].store)
    stage.pay(forger)
    [held] = stage.world.nodes[older].keys
    stage.run(5_000, lambda: (record := stage.world.nodes[older].records[held]).height == 1 and record.step is step)
    stage.crash(*ALL)
    stage.world.nodes[older].store = copy
    stage.start(*ALL)
    signed = {place for place in stage.world.signed if place[0] == older}
    assert stage.run(10_000, lambda: min(stage.heads()) == 1)
    is_silent = {place for place in stage.world.signed if place[:2] == (older, 1)} == {p for p in signed if p[1] == 1}
    assert is_silent is (step is Step.PRECOMMIT), "after a prevote it knows all that binds it"
    assert not stage.events(SignatureRefused)
    stage.pay(0)
    assert stage.run(10_000, lambda: min(stage.heads()) == 2)
    assert any(place[:2] == (older, 2) for place in stage.world.signed)


# ------------------------------------------------------------------------------------------------ late precommits


def test_a_restarted_node_still_protects_what_stands_in_its_locked_block() -> None:
    """Else a client would be told "replaced" of a transaction that is about to be final (protocol §10)."""
    stage = Stage()
    stage.start(*ALL)
    stage.run(1_000)
    voter = next(number for number in ALL if number != stage.forger(0))
    stage.pay(voter)
    assert stage.run(1_000, lambda: bool(stage.events(Locked, voter)))
    stage.crash(*ALL)
    stage.start(voter)
    assert stage.replace_last(voter) == "replacement_too_late"


@pytest.mark.parametrize("wait_ms, precommits", [(0, 3), (100, 4)])
def test_a_forger_waits_a_little_for_precommits_still_missing(wait_ms: int, precommits: int) -> None:
    """Three precommits decide; with two payments for two blocks the next is built before the fourth is there, or not.

    Everybody's certificate is another one; the one in the child counts (protocol §4.4).
    """
    parameters = replace(PARAMETERS, commit_wait_ms=wait_ms, block_max_transactions=1)
    found = []
    for idle_ms in range(1_000, 1_500, 100):  # what comes first is chance, and so another one each time
        stage = Stage(parameters=parameters, links=Links(delay_ms=(1, 50)))
        stage.start(*ALL)
        stage.run(idle_ms)
        stage.pay(stage.forger(0))
        stage.pay(0)
        assert stage.run(5_000, lambda: min(stage.heads()) == 2)  # noqa: B023
        block = stage.world.nodes[0].store.block(2)
        assert block is not None
        found.append(len(decode_block(block.raw).parent_certificate.precommits))
    assert min(found) == precommits, found


def test_a_forger_does_not_wait_for_ever_for_the_precommit_of_the_dead() -> None:
    stage = Stage(parameters=replace(PARAMETERS, commit_wait_ms=100))
    stage.start(0, 1, 2)
    for height in (1, 2, 3):
        stage.pay(0)
        assert stage.run(5_000, lambda height=height: stage.heads()[:3] == [height] * 3)  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------ idle


@pytest.mark.parametrize("pending", [0, 1])
def test_an_idle_chain_does_not_spin(pending: int) -> None:
    """Ten minutes with nothing to do, or with less than a block takes: no time-out, no round above 0."""
    stage = Stage(followers=1, parameters=replace(PARAMETERS, block_threshold=2))
    stage.start(*ALL, 4)
    for _ in range(pending):
        stage.pay(4)
    stage.run(TEN_MINUTES_MS)
    assert set(stage.rounds()) == {0}
    assert not stage.events(RoundTimedOut)
    assert stage.heads() == [0] * 5
    for _ in range(2 - pending):
        stage.pay(0)
    assert stage.run(3_000, lambda: min(stage.heads()) == 1)


# ------------------------------------------------------------------------------------------------ locks


def test_a_hidden_lock_is_proposed_again_and_decided() -> None:
    stage = hidden_lock()
    (block_id,) = stage.decided(1)
    first = [event for event in stage.events(Locked) if event.round == 0]
    assert [event.block_id for event in first] == [block_id]  # one validator alone
    again = [event for event in stage.events(Proposed) if event.round == 1]
    assert [(event.valid_round, event.block_id) for event in again] == [(0, block_id)]  # L16, L19
    assert {event.decided_round for event in stage.events(BlockFinalized)} == {1}
    later = [vote for place, vote in stage.world.signed.items() if place[1:] == (1, 1, VoteStep.PREVOTE)]
    assert {(vote.block_id, vote.polka_round) for vote in later if isinstance(vote, Vote)} == {(block_id, 0)}  # L28


def test_a_forger_that_crashes_after_proposing_is_not_missed() -> None:
    stage = forger_crashes()
    assert len(stage.decided(1)) == 1
    assert {event.decided_round for event in stage.events(BlockFinalized)} == {0}


def test_a_forger_that_nobody_heard_is_replaced_in_the_next_round() -> None:
    stage = forger_is_lost()
    assert len({event.block_id for event in stage.events(Proposed)}) == 2
    assert len(stage.decided(1)) == 1
    assert {event.decided_round for event in stage.events(BlockFinalized)} == {1}
    assert stage.heads() == [1, 1, 1, 1]


# ------------------------------------------------------------------------------------------------ clocks


def test_the_node_whose_clock_is_off_is_the_one_that_tells_it() -> None:
    """By the median of three: each of the others has one peer whose clock is not its own, and is not told a thing."""
    stage = Stage()
    stage.world.nodes[2].skew_ms = 3_000
    stage.start(*ALL)
    stage.run(60_000)
    assert stage.events(ClockOff) == stage.events(ClockOff, 2) == [ClockOff(-3_000, 2_500, 3)]
    core = stage.world.nodes[0].core
    assert core is not None and core.surroundings.view().clock_offset_ms == 0
    assert {peer.clock.offset_ms for peer in core.peers.values()} == {0, 3_000}
