"""Look before signing (protocol §5.6): two processes with one key, older copies, lost records, in the simulator.

Nodes 0 to 3 are validators; node 4 is a copy of node 0 where a script makes it one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import pytest
from _pytest.mark.structures import ParameterSet
from msgspec.structs import replace

from blockchain.node.lookout import Caution
from blockchain.node.reader import status_of
from blockchain.primitives.crypto import Address
from blockchain.seams import EvidenceFound, SigningBegun, SigningRecord, SigningStopped
from blockchain.simulator.node import Node
from blockchain.simulator.scenario import key
from tests.simulator.stage import PARAMETERS, Stage

ALL = (0, 1, 2, 3)
COPY = 4
LOOK = Caution(look_ms=10_000)
ANEW = Caution(look_ms=10_000, sign_anew=True)
LISTENED = 12_000  # the look, and a tick to begin and to end it


def slowly(*values: object) -> list[ParameterSet]:
    """Further values, for `-m slow`."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


def stage_of(caution: Caution = LOOK) -> Stage:
    stage = Stage(followers=1)
    for node in stage.world.nodes:
        node.caution = caution
    return stage


def running(caution: Caution = LOOK) -> Stage:
    """Four validators that have looked, and nothing to do."""
    stage = stage_of(caution)
    stage.start(*ALL)
    stage.run(LISTENED + 2_000)
    return stage


def grow(stage: Stage, blocks: int, *numbers: int) -> None:
    """So many blocks more, at these nodes."""
    head = max(stage.heads())
    for height in range(head + 1, head + 1 + blocks):
        stage.pay(1)
        assert stage.run(30_000, partial(_have, stage, numbers or ALL, height))


def _have(stage: Stage, numbers: tuple[int, ...], height: int) -> bool:
    return all(stage.heads()[number] >= height for number in numbers)


def copy_of(stage: Stage, number: int = 0) -> Node:
    """Node 4 with the key, the store and the record that this one has at the moment."""
    source, made = stage.world.nodes[number], stage.world.nodes[COPY]
    made.keys = dict(source.keys)
    made.records = dict(source.records)
    made.store = copy.deepcopy(source.store)
    return made


def why(stage: Stage, number: int) -> str:
    core = stage.world.nodes[number].core
    assert core is not None
    return status_of(core).silent


def signed_by(stage: Stage, number: int) -> list[tuple[int, int, int]]:
    return [place[1:] for place in stage.world.signed if place[0] == number]


def begin_copy(stage: Stage) -> None:
    copy_of(stage)
    stage.start(COPY)


# ------------------------------------------------------------------------------------------------ nobody else


def test_whoever_is_alone_with_its_key_signs_once_it_has_listened() -> None:
    stage = stage_of()
    stage.start(*ALL)
    stage.pay(1)
    stage.run(9_000)
    assert stage.heads()[:4] == [0] * 4 and not stage.world.signed
    assert "listens for others that sign with its key, for 1 s more" in why(stage, 0)
    assert stage.run(4_000, lambda: stage.heads()[:4] == [1] * 4)
    assert [event.height for event in stage.events(SigningBegun)] == [1] * 4 and why(stage, 0) == ""


@pytest.mark.parametrize("effects", [20, 35, *slowly(*range(0, 60, 3))])
def test_all_that_were_killed_together_go_on_together(effects: int) -> None:
    """In the middle of a round, each with its lock, and with what they had sent on its way back to them."""
    stage = running()
    stage.pay(1)
    for number in ALL:
        stage.world.crash_after(number, effects + number)
    stage.run(200)
    for number in ALL:
        stage.world.spare(number)
    stage.crash(*(number for number in ALL if stage.world.nodes[number].core is not None))
    stage.start(*ALL)
    grow(stage, 2)
    assert stage.events(SigningStopped) == [] == stage.events(EvidenceFound)


def test_a_validator_that_nobody_hears_does_not_count_the_seconds() -> None:
    stage = stage_of()
    stage.start(0)
    stage.run(3 * LISTENED)
    assert why(stage, 0) == "listens for others that sign with its key: no peer has told its height yet"
    stage.start(1)
    stage.run(LISTENED)
    assert why(stage, 0) == ""


def test_its_own_words_of_an_earlier_life_are_no_alarm() -> None:
    """Passed on by the others for as long as they like, with votes that it had sent just before."""
    stage = running()
    grow(stage, 1)
    for _ in range(3):
        stage.crash(0)
        stage.start(0)
        stage.run(1_000)
    stage.run(LISTENED)
    assert why(stage, 0) == "" and stage.events(SigningStopped) == []
    grow(stage, 1)
    assert (2, 0, 2) in signed_by(stage, 0)


# ------------------------------------------------------------------------------------------------ two at once


@pytest.mark.parametrize("busy", [False, True])
def test_a_second_process_with_the_key_is_refused_and_the_first_one_stops(busy: bool) -> None:
    stage = running()
    grow(stage, 2)
    begin_copy(stage)
    if busy:
        grow(stage, 4, 1, 2, 3)
    stage.run(LISTENED)
    assert signed_by(stage, COPY) == []
    stopped = {number for number, event in stage.world.events if isinstance(event, SigningStopped)}
    assert stopped == {0, COPY} and "another process has its key" in why(stage, 0)
    before = signed_by(stage, 0)
    grow(stage, 2, 1, 2, 3)
    assert signed_by(stage, 0) == before, "three of four go on without it"
    assert stage.events(EvidenceFound) == []


@pytest.mark.parametrize("apart_ms", [0, 300, *slowly(1, 900)])
@pytest.mark.parametrize("busy", [False, True])
def test_two_that_start_together_both_refuse(apart_ms: int, busy: bool) -> None:
    stage = stage_of()
    copy_of(stage)
    stage.start(0, 1, 2, 3)
    stage.run(apart_ms)
    stage.start(COPY)
    if busy:
        stage.pay(1)
    stage.run(LISTENED + 5_000)
    assert signed_by(stage, 0) == [] == signed_by(stage, COPY)
    for number in (0, COPY):
        assert "another process has its key" in why(stage, number)
    grow(stage, 1, 1, 2, 3)


@pytest.mark.parametrize("skew_ms", [-20_000, 4_000, *slowly(-60_000, -4_000, 20_000, 60_000)])
@pytest.mark.parametrize("busy", [True, *slowly(False)])
def test_with_clocks_apart_one_of_the_two_stops_before_they_contradict_each_other(skew_ms: int, busy: bool) -> None:
    """Announcements of a clock that is too far ahead are dropped by everybody; then it is the votes that tell."""
    stage = running()
    grow(stage, 2)
    copy_of(stage).skew_ms = skew_ms
    stage.start(COPY)
    stage.run(2 * LISTENED)
    if busy:
        grow(stage, 6, 1, 2, 3)
        stopped = {number for number, event in stage.world.events if isinstance(event, SigningStopped)}
        assert stopped
    assert stage.events(EvidenceFound) == []


@pytest.mark.parametrize("caution", [Caution(is_on=False), LOOK], ids=["off", "on"])
def test_only_without_the_check_a_second_process_signs_against_the_first(caution: Caution) -> None:
    """Two halves without a quorum, one of the two in each: they vote on what they see, and then the halves meet."""
    stage = running(caution)
    if not caution.is_on:
        stage.world.docket.suspect([stage.address(0)])
    begin_copy(stage)
    stage.run(LISTENED)
    stage.crash(3)
    stage.world.network.groups = (frozenset({0, 1}), frozenset({2, COPY}))
    stage.pay(1)
    stage.pay_again(2)
    stage.run(5_000)
    stage.world.network.groups = ()
    stage.run(5_000)
    found = {event.validator for event in stage.events(EvidenceFound)}
    assert found == (set() if caution.is_on else {Address(stage.keys[0].public_key)})


def test_two_that_wait_for_their_stake_to_count_look_when_it_does() -> None:
    """Before that nobody passes on what they announce."""
    new = key("validator", 9)
    stage = Stage(followers=2, parameters=replace(PARAMETERS, stake_delay=1))
    for number in (4, 5):
        stage.world.nodes[number].hold(new)
        stage.world.nodes[number].caution = LOOK
    stage.start(*range(6))
    stage.stake(1, 10, new)
    grow(stage, 3)
    stage.run(LISTENED)
    for number in (4, 5):
        assert "another process has its key" in why(stage, number) and signed_by(stage, number) == []


# ------------------------------------------------------------------------------------------------ older copies


def with_older_copy(stage: Stage) -> None:
    """Node 0 as it was four blocks ago."""
    held = stage.world.nodes[0]
    store, records = copy.deepcopy(held.store), dict(held.records)
    grow(stage, 4)
    stage.crash(0)
    held.store, held.records = store, records


def test_an_older_copy_of_the_whole_folder_follows_and_says_why() -> None:
    stage = running()
    grow(stage, 2)
    with_older_copy(stage)
    before = signed_by(stage, 0)
    stage.start(0)
    stage.run(LISTENED)
    assert "a precommit of height 3, round 0, in" in why(stage, 0) or "a proposal of height 3" in why(stage, 0)
    assert "--sign_anew" in why(stage, 0) and stage.heads()[0] == 6
    grow(stage, 2)
    assert signed_by(stage, 0) == before, "it follows, and signs nothing"
    stage.crash(0)
    stage.start(0)
    stage.run(LISTENED)
    assert "--sign_anew" in why(stage, 0), "nor after a new start"


def test_a_vote_that_only_a_peer_holds_stops_an_older_copy_too() -> None:
    """Nothing final tells of it: it was a vote of the height in progress, which waits for a third validator."""
    stage = running()
    grow(stage, 1)
    held = stage.world.nodes[0]
    store, records = copy.deepcopy(held.store), dict(held.records)
    stage.crash(2, 3)
    stage.pay(1)
    stage.run(5_000)
    assert max(signed_by(stage, 0))[0] == 2
    stage.crash(0)
    held.store, held.records = store, records
    before = signed_by(stage, 0)
    stage.start(0)
    stage.run(LISTENED)
    assert "heard of peer 0000" in why(stage, 0) and signed_by(stage, 0) == before


@pytest.mark.parametrize("keeps_store", [True, False])
def test_a_lost_record_is_noticed_by_what_the_chain_shows(keeps_store: bool) -> None:
    stage = running()
    grow(stage, 3)
    lose_record(stage, keeps_store)
    before = signed_by(stage, 0)
    stage.start(0)
    stage.run(LISTENED)
    grow(stage, 1)
    assert "the record is empty" in why(stage, 0) and signed_by(stage, 0) == before


@pytest.mark.parametrize("look", [with_older_copy, lambda stage: lose_record(stage, False)], ids=["older", "lost"])
def test_who_is_told_to_sign_anew_signs_above_all_that_was_seen_and_the_height_in_progress(
    look: Callable[[Stage], None],
) -> None:
    stage = running()
    grow(stage, 2)
    look(stage)
    head, before = max(stage.heads()), signed_by(stage, 0)
    stage.world.nodes[0].caution = ANEW
    stage.start(0)
    stage.run(LISTENED)
    assert why(stage, 0) == "" and stage.events(SigningBegun, 0)[-1].height == head + 2
    grow(stage, 3)
    new = sorted(set(signed_by(stage, 0)) - set(before))
    assert new and new[0][0] == head + 2
    assert stage.events(SigningStopped) == [] == stage.events(EvidenceFound)


def test_to_sign_anew_is_no_leave_to_run_two() -> None:
    stage = running()
    grow(stage, 2)
    copy_of(stage).caution = ANEW
    stage.world.nodes[COPY].records = {key: SigningRecord(key, is_new=True) for key in stage.world.nodes[0].keys}
    stage.start(COPY)
    stage.run(LISTENED)
    grow(stage, 2, 1, 2, 3)
    assert signed_by(stage, COPY) == [] and "another process has its key" in why(stage, COPY)


def test_on_a_new_chain_an_empty_record_is_as_it_should_be() -> None:
    stage = stage_of(Caution())
    for node in stage.world.nodes[:4]:
        node.records = {key: replace(record, is_new=True) for key, record in node.records.items()}
    stage.start(*ALL)
    grow(stage, 1)
    assert stage.events(SigningStopped) == []


def lose_record(stage: Stage, keeps_store: bool) -> None:
    held = stage.world.nodes[0]
    stage.crash(0)
    held.records = {key: SigningRecord(key, is_new=True) for key in held.keys}
    if not keeps_store:
        held.store = type(held.store)()
