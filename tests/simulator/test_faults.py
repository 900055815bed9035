"""Each kind of fault has the effect that its words tell, and ends. Nodes 0 to 3 of a `Stage` are equal validators."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import get_args

import msgspec
import pytest

from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX
from blockchain.primitives.vote import Certificate
from blockchain.seams import SigningBegun, SigningStopped, TimerFired, TimerKey, TimerKind
from blockchain.simulator.clock import Clock
from blockchain.simulator.disk import Disk
from blockchain.simulator.draw_faults import draw_condition, draw_crash, draw_faults, draw_loss, draw_partition
from blockchain.simulator.faults import (
    NOTHING,
    ClockDrift,
    ClockStep,
    Crash,
    Fault,
    Healing,
    LyingDisk,
    Narrow,
    OneWay,
    Partition,
    Pause,
    RecordGone,
    Slow,
)
from blockchain.simulator.network import QUEUE_MS_MAX, WIDE_AREA, Links, Network
from blockchain.simulator.story import told
from tests.simulator.stage import Stage

ALL = (0, 1, 2, 3)
BEGIN_MS = 2_000
END_MS = 5_000


def played(fault: Fault, until_ms: int = BEGIN_MS + 1) -> Stage:
    """Four validators at height 1, one block made, then the fault has begun and a payment waits at node 1."""
    stage = Stage()
    stage.start(*ALL)
    stage.pay(1)
    assert stage.run(BEGIN_MS - 1, lambda: min(stage.heads()) == 1)
    stage.world.at(fault.at_ms, lambda: fault.begin(stage.world))
    stage.world.at(fault.until_ms, lambda: fault.end(stage.world))
    stage.world.run_until(until_ms)
    return stage


def goes_on(stage: Stage, height: int, *numbers: int, ms: int = 4_000) -> bool:
    """Whether these nodes come to a height within so much time."""
    return stage.run(ms, lambda: all(stage.heads()[number] >= height for number in numbers))


TIMES = {"at_ms": BEGIN_MS, "until_ms": END_MS}


def test_a_partition_holds_both_sides_up_until_it_ends() -> None:
    stage = played(Partition(at_ms=BEGIN_MS, until_ms=END_MS, groups=((0, 1), (2, 3))))
    stage.pay(1)
    assert not goes_on(stage, 2, 0, ms=2_500)
    stage.world.run_until(END_MS)
    assert goes_on(stage, 2, *ALL)


def test_who_is_not_heard_still_hears_the_others_decide() -> None:
    stage = played(OneWay(at_ms=BEGIN_MS, until_ms=END_MS, senders=(0,), receivers=(1, 2, 3)))
    stage.pay(1)
    assert goes_on(stage, 2, *ALL)
    assert all(0 not in _signers(stage, node.number, 2) for node in stage.world.nodes[1:])


def test_who_hears_nothing_falls_behind_though_its_votes_count() -> None:
    stage = played(OneWay(at_ms=BEGIN_MS, until_ms=END_MS, senders=(1, 2, 3), receivers=(0,)))
    stage.pay(1)
    assert goes_on(stage, 2, 1, 2, 3)
    assert stage.heads()[0] == 1
    stage.world.run_until(END_MS)
    assert goes_on(stage, 2, *ALL)


def test_a_partition_heals_link_by_link() -> None:
    fault = Healing(at_ms=BEGIN_MS, until_ms=END_MS, groups=((0, 1), (2, 3)), order=1)
    stage = played(fault)
    counts = []
    for time_ms in range(BEGIN_MS, END_MS + 1, 250):
        stage.world.run_until(time_ms)
        counts.append(len(stage.world.network.cut))
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 8 and counts[-1] == 0 and len(set(counts)) > 4
    one_way = [link for link in _cut_at(fault, BEGIN_MS + 1_500) if link[::-1] not in _cut_at(fault, BEGIN_MS + 1_500)]
    assert one_way, "some pairs hear each other in one direction only"


def test_a_narrow_uplink_is_late_with_what_it_sends() -> None:
    quick, narrow = (
        played(Narrow(at_ms=BEGIN_MS, until_ms=END_MS, nodes=ALL, bytes_per_s=rate)) for rate in (10_000_000, 10_000)
    )
    for stage in (quick, narrow):
        stage.pay(1)
        assert goes_on(stage, 2, *ALL)
    assert narrow.world.time_ms > quick.world.time_ms + 100
    narrow.world.run_until(END_MS)
    assert narrow.world.network.narrow == {}


def test_an_uplink_sends_one_message_after_the_other_and_no_queue_grows_for_ever() -> None:
    network = Network(Random(1), Links(delay_ms=(10, 10), bytes_per_s=1_000))
    assert [network.deliveries(0, 1, 100, 0) for _ in range(3)] == [[110], [210], [310]]
    assert network.deliveries(1, 0, 100, 0) == [110], "another node has an uplink of its own"
    assert network.deliveries(0, 1, 100, 1_000) == [110], "it is free again"
    assert [network.deliveries(0, 1, 10_000, 2_000) for _ in range(5)][3:] == [[], []]
    assert network.deliveries(0, 1, 100, QUEUE_MS_MAX + 2_000) != []


def test_delays_between_regions_have_the_least_of_the_matrix_and_a_tail() -> None:
    network = Network(Random(1), WIDE_AREA)
    delays = sorted(network.deliveries(3, 7, 100, 0)[0] for _ in range(1_000))
    assert delays[0] >= WIDE_AREA.regions[3][7] and delays[500] < 1.25 * WIDE_AREA.regions[3][7] < delays[-5]
    assert network.deliveries(3, 11, 100, 0)[0] < 15, "node 11 is in the region of node 3"


@pytest.mark.parametrize("effects", [-1, 3])
def test_who_has_crashed_is_down_until_the_end(effects: int) -> None:
    stage = played(Crash(at_ms=BEGIN_MS, until_ms=END_MS, nodes=(0, 1), effects=effects))
    stage.pay_again(2)
    assert not goes_on(stage, 2, 2, ms=2_500)
    assert [node.core is None for node in stage.world.nodes] == [True, True, False, False]
    stage.world.run_until(END_MS)
    stage.pay(2)
    assert goes_on(stage, 2, *ALL)


def test_who_stands_still_finds_all_that_came_and_goes_on() -> None:
    stage = played(Pause(at_ms=BEGIN_MS, until_ms=END_MS, nodes=(0,)))
    before = len(stage.world.transcript)
    stage.pay(1)
    assert goes_on(stage, 2, 1, 2, 3)
    assert not any(" node 0:" in line for line in stage.world.transcript[before:])
    stage.world.run_until(END_MS - 1)
    assert stage.heads()[0] == 1
    assert goes_on(stage, 2, *ALL, ms=10)


def test_timers_of_who_stands_still_are_late() -> None:
    stage = played(Pause(at_ms=BEGIN_MS, until_ms=END_MS, nodes=ALL))
    sent = stage.world.frames.hexdigest()
    stage.world.run_until(END_MS - 1)
    assert stage.world.frames.hexdigest() == sent, "no status left while all stood still"
    stage.world.run_until(END_MS + 1)
    assert stage.world.frames.hexdigest() != sent


def test_a_timer_replaces_the_one_of_its_kind_whatever_height_that_was_of(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.start(0)
    fired = []
    monkeypatch.setattr(stage.world, "feed", lambda _, given: fired.append(given))
    over, current = (TimerKey(TimerKind.PROPOSE, height) for height in (1, 2))
    for key in (over, current):
        stage.world._set_timer(stage.world.nodes[0], key, 5)
    stage.world.run_until(stage.world.time_ms + 5)
    assert [given for given in fired if given in map(TimerFired, (over, current))] == [TimerFired(current)]


def test_who_is_down_while_it_stands_still_forgets_what_came() -> None:
    stage = played(Pause(at_ms=BEGIN_MS, until_ms=END_MS, nodes=(0,)))
    stage.run(1_000)
    stage.crash(0)
    stage.start(0)
    assert stage.world.nodes[0].core is not None
    stage.world.run_until(END_MS)
    stage.pay(1)
    assert goes_on(stage, 2, *ALL)


def test_a_slow_node_votes_late() -> None:
    quick, slow = (
        played(Slow(at_ms=BEGIN_MS, until_ms=END_MS, nodes=(0, 2, 3), cost_ms=cost_ms)) for cost_ms in (0, 5)
    )
    for stage in (quick, slow):
        stage.pay(1)
        goes_on(stage, 2, *ALL)
    assert slow.world.time_ms > quick.world.time_ms + 50
    slow.world.run_until(END_MS)
    assert goes_on(slow, 2, *ALL)
    slow.run(10)
    assert all(node.pace.is_at_once for node in slow.world.nodes)


def test_a_clock_that_was_set_is_right_again_at_the_end() -> None:
    stage = played(ClockStep(at_ms=BEGIN_MS, until_ms=END_MS, nodes=(0,), by_ms=-5_000))
    world = stage.world
    assert world.wall_ms(world.nodes[0]) == world.wall_ms(world.nodes[1]) - 5_000
    stage.pay(1)
    assert goes_on(stage, 2, *ALL)
    world.run_until(END_MS)
    assert world.wall_ms(world.nodes[0]) == world.wall_ms(world.nodes[1])


def test_clocks_that_most_have_set_ahead_hold_up_the_forgers_among_them_only() -> None:
    """More than a third say of a block of an hour's future that it is untimely; the one whose clock is right forges."""
    stage = played(ClockStep(at_ms=BEGIN_MS, until_ms=60_000, nodes=(0, 1), by_ms=3_600_000))
    stage.pay(1)
    assert goes_on(stage, 2, *ALL, ms=20_000)
    block = stage.world.nodes[0].core
    assert block is not None and block.chain.head.time_ms < stage.world.wall_ms(stage.world.nodes[3]) + 1_000


def test_a_drifting_clock_moves_away_and_its_timers_with_it() -> None:
    clock = Clock()
    clock.drift(50_000, 1_000)
    assert [clock.ahead_ms(time_ms) for time_ms in (1_000, 2_000, 21_000)] == [0, 50, 1_000]
    assert clock.lasts_ms(2_100) == 2_000 and not clock.was_set_back
    clock.correct(21_000)
    assert clock.ahead_ms(30_000) == 0 and clock.lasts_ms(2_100) == 2_100 and clock.was_set_back
    stage = played(ClockDrift(at_ms=BEGIN_MS, until_ms=END_MS, nodes=(0,), ppm=-50_000))
    stage.world.run_until(BEGIN_MS + 2_000)
    assert stage.world.wall_ms(stage.world.nodes[0]) == stage.world.wall_ms(stage.world.nodes[1]) - 100


def test_a_disk_that_lost_its_last_writes_holds_a_prefix() -> None:
    stage = played(Partition(at_ms=BEGIN_MS, until_ms=END_MS, groups=()))
    store = stage.world.nodes[0].store
    assert store.head() == 1
    heads = [store.without_last(count).head() for count in range(store.writes + 1)]
    assert heads == sorted(heads, reverse=True) and heads[0] == 1 and heads[-1] == 0
    whole = store.without_last(0)
    assert whole.round_record() == store.round_record() and whole.state_records() == store.state_records()
    assert Disk().without_last(5).writes == 0


def test_who_lost_its_last_writes_is_silent_up_to_its_record_and_signs_nothing_twice() -> None:
    """All of the height that its record is at, was written; all of it is lost (protocol §5.6 rule 7)."""
    stage = played(LyingDisk(at_ms=BEGIN_MS, until_ms=END_MS, node=0, writes=30))
    world = stage.world
    assert world.nodes[0].core is None and world.nodes[0].has_lost_writes and stage.heads()[0] == 0
    signed = {place for place in world.signed if place[0] == 0}
    world.run_until(END_MS)
    core = world.nodes[0].core
    assert core is not None and core.engine.voice.silent_until == max(height for _, height, _, _ in signed)
    stage.run(3_000)
    assert {place for place in world.signed if place[0] == 0} == signed
    stage.pay(1)
    assert goes_on(stage, 2, *ALL)
    stage.pay(1)
    assert goes_on(stage, 3, *ALL) and max(height for at, height, _, _ in world.signed if at == 0) == 3


@pytest.mark.parametrize("loss", ["lost", "older"])
def test_who_lost_its_record_looks_stops_and_signs_anew_above_all_that_was_seen(loss: str) -> None:
    fault = RecordGone(at_ms=BEGIN_MS, until_ms=END_MS, node=0, loss="lost" if loss == "lost" else "older")
    stage = played(fault)
    stage.pay(1)
    assert goes_on(stage, 2, *ALL)  # so that the copy of the record is older than what it signed
    world = stage.world
    signed = {place for place in world.signed if place[0] == 0}
    world.run_until(END_MS)
    stopped = stage.events(SigningStopped, 0)
    assert len(stopped) == 1 and "is lost or an old copy" in stopped[0].why
    stage.run(20_000)  # whoever runs it starts it again, to sign anew, and it looks
    begun = stage.events(SigningBegun, 0)
    assert begun[-1].height > 2
    assert {place for place in world.signed if place[0] == 0} == signed
    for height in (3, 4):
        stage.pay(1)
        assert goes_on(stage, height, *ALL)
    assert max(height for at, height, _, _ in world.signed if at == 0) == 4


def test_words_say_who_and_how_and_stay_in_what_is_told() -> None:
    when = {"at_ms": 100, "until_ms": 200}
    faults: list[Fault] = [
        OneWay(**when, senders=(1,), receivers=(0, 2)),
        Crash(**when, nodes=(1, 0), effects=4),
        ClockDrift(**when, nodes=(2,), ppm=-25_000),
        LyingDisk(**when, node=3, writes=5),
        RecordGone(**when, node=3, loss="older"),
    ]
    assert [fault.words for fault in faults] == [
        "nothing from node 1 reaches nodes 0, 2; the other direction works",
        "crash after 4 more actions: nodes 1, 0",
        "clock 2.5 % too slow: node 2",
        "crash, and the disk has lost the last 5 writes: node 3",
        "killed at the end of this, and started with its signing record as it is now: node 3",
    ]
    stage = Stage()
    for fault in (*faults, Pause(**when, nodes=(1,))):
        stage.world.tell(fault.words)
    assert len(list(told(stage.world))) == len(faults) + 1


def test_no_more_than_a_third_lose_what_no_machine_may_lose() -> None:
    stage = played(LyingDisk(at_ms=BEGIN_MS, until_ms=END_MS, node=0, writes=5))
    again = LyingDisk(at_ms=END_MS, until_ms=END_MS + 1_000, node=1, writes=5)
    record = RecordGone(at_ms=END_MS, until_ms=END_MS + 1_000, node=2, loss="lost")
    stage.world.run_until(END_MS)
    for fault in (again, record):
        fault.begin(stage.world)
        fault.end(stage.world)
    stage.run(2_000)
    assert [node.is_spoilt for node in stage.world.nodes] == [True, False, False, False]
    assert sum(line.endswith(NOTHING) for line in stage.world.transcript) == 2, "nobody reads of what did not happen"


DRAWS = (draw_partition, draw_crash, draw_condition, draw_loss)


@pytest.mark.parametrize("draw", DRAWS, ids=lambda draw: draw.__name__)
def test_what_is_drawn_fits_the_world_and_has_words_and_a_json_form(
    draw: Callable[[Random, int, int, int], Fault],
) -> None:
    rng = Random(1)
    faults = [draw(rng, nodes, 100, 200) for nodes in (4, 5, 9) for _ in range(30)]
    assert len({fault.words for fault in faults}) > 10
    for fault in faults:
        raw = msgspec.json.encode(fault)
        assert msgspec.json.decode(raw, type=Fault) == fault
        assert (fault.at_ms, fault.until_ms) == (100, 200)


def test_every_kind_is_drawn() -> None:
    rng = Random(1)
    kinds = {type(fault) for _ in range(60) for fault in draw_faults(rng, 5, 16_000)}
    assert kinds == set(get_args(Fault))


def _cut_at(fault: Healing, time_ms: int) -> frozenset[tuple[int, int]]:
    return played(fault, time_ms).world.network.cut


def _signers(stage: Stage, number: int, height: int) -> set[int]:
    """Whose precommits a node holds in the certificate of a block."""
    block = stage.world.nodes[number].store.block(height)
    assert block is not None
    certificate = codec.decode(block.certificate, Certificate, bytes_max=BLOCK_BYTES_MAX)
    members = sorted(stage.keys, key=lambda held: held.public_key)
    return {stage.keys.index(members[signed.index]) for signed in certificate.precommits}
