"""Sync from several peers at once: bounded, in any order, whoever leaves; and who is blamed is who served the bytes."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from blockchain.node.messages import VerifiedBlocks
from blockchain.node.ranges import HEDGE_TICKS, SOURCES_MAX, VERIFY_TICKS
from blockchain.node.sources import REQUESTS_MAX, REST_TICKS
from blockchain.node.sync import ANSWER_TICKS
from blockchain.node.views import SyncView
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Signature
from blockchain.primitives.vote import Certificate
from blockchain.seams import Batch, Effect, Emit, Halt, PeerId, Penalize, SyncProgressed, Write
from tests.node.one_chain import KEYS, NOW, sealed
from tests.node.sync_bench import ONE, TWO, Bench, asked, kinds, requests
from tests.samples import certificate_of, deterministic

THREE, FOUR = PeerId(b"3" * 32), PeerId(b"4" * 32)
LENGTH = 20
RANGE = 4


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockchain.node.sources.BLOCKS_MAX", RANGE)
    monkeypatch.setattr("blockchain.node.ranges.FITTING_FIRST", RANGE * SOURCES_MAX)


def bench_of(*peers: PeerId, blocks: int = 0) -> Bench:
    return Bench(blocks, peers, LENGTH)


def by_first(effects: list[Effect]) -> dict[int, PeerId]:
    return {first: peer for peer, first in asked(effects)}


def garbled(certificate: Certificate) -> Certificate:
    """Its last signature is garbage."""
    *most, last = certificate.precommits
    return replace(certificate, precommits=(*most, replace(last, signature=Signature(bytes(64)))))


def blamed(effects: list[Effect]) -> list[PeerId]:
    return [effect.peer for effect in effects if isinstance(effect, Penalize)]


# ------------------------------------------------------------------------------------------------ at once


def test_each_peer_is_asked_for_a_range_of_its_own() -> None:
    found = requests(bench_of(ONE, TWO, THREE).tick())
    assert sorted((first, count) for _, first, count in found) == [(1, RANGE), (5, RANGE), (9, RANGE)]
    assert {peer for peer, _, _ in found} == {ONE, TWO, THREE}


def test_no_more_peers_are_asked_than_are_of_use() -> None:
    peers = [PeerId(bytes([number]) * 32) for number in range(1, SOURCES_MAX + 4)]
    assert len(asked(bench_of(*peers).tick())) == SOURCES_MAX


def test_nobody_is_asked_for_what_it_does_not_say_it_has() -> None:
    bench = bench_of(ONE, TWO)
    bench.tell(ONE, 4)
    bench.tell(TWO, 7)
    assert sorted(requests(bench.tick())) in ([(ONE, 1, 3), (TWO, 4, 3)], [(TWO, 1, 4)])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
def test_answers_are_kept_until_their_turn(order: tuple[int, ...]) -> None:
    bench = bench_of(ONE, TWO, THREE)
    of = by_first(bench.tick())
    for number in order:
        first = 1 + RANGE * number
        bench.answer(first, first + RANGE - 1, peer=of[first])
        if number != 0 and order.index(0) > order.index(number):
            assert bench.height == 0, "not before its turn"
    assert bench.height == 3 * RANGE


def test_of_an_answer_that_was_cut_the_rest_is_asked_again() -> None:
    bench = bench_of(ONE, TWO)
    of = by_first(bench.tick())
    effects = bench.answer(1, 2, peer=of[1])
    assert bench.height == 2 and asked(effects) == [(of[1], 3)]
    assert requests(effects) == [(of[1], 3, 2)], "up to what the other was asked for"


def test_what_is_expected_and_kept_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockchain.node.ranges.KEPT_BYTES_MAX", 5 * 1024 * 1024)
    bench = bench_of(ONE, TWO, THREE, FOUR)
    of = by_first(bench.tick())
    assert len(of) == 2, "at 2 MiB each"
    monkeypatch.setattr("blockchain.node.ranges.KEPT_BYTES_MAX", 1)
    effects = bench.answer(5, 8, peer=of[5])
    assert asked(effects) == [], "the next range is asked for already"
    assert asked(bench.answer(1, 4, peer=of[1])) != [], "what comes next is always asked for"


def test_what_is_asked_ahead_is_bounded_in_heights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockchain.node.ranges.AHEAD_MAX", 2 * RANGE)
    assert sorted(by_first(bench_of(ONE, TWO, THREE, FOUR).tick())) == [1, 5]


def test_a_peer_is_not_asked_more_often_than_it_will_answer() -> None:
    bench = bench_of(ONE)
    bench.tick()
    effects: list[Effect] = []
    for number in range(REQUESTS_MAX):
        assert effects == [] or asked(effects) == [(ONE, number + 1)]
        effects = bench.answer(number + 1, number + 1)
    assert bench.height == REQUESTS_MAX and asked(effects) == []
    assert asked(bench.tick()) == [(ONE, REQUESTS_MAX + 1)]


def test_a_range_that_all_wait_for_is_asked_of_a_second_peer_and_taken_from_the_first_to_answer() -> None:
    bench = Bench(0, (ONE, TWO), 12)
    of = by_first(bench.tick())
    bench.answer(5, 8, peer=of[5])
    bench.answer(9, 12, peer=of[5])
    effects = bench.tick(HEDGE_TICKS)
    assert (of[5], 1) in asked(effects)
    bench.answer(1, 4, peer=of[5])
    assert bench.height == 12
    assert blamed(bench.answer(1, 4, peer=of[1])) == [] and bench.height == 12


def test_an_answer_that_is_here_and_not_verified_yet_is_waited_for_and_asked_of_nobody_else() -> None:
    """On a slow machine the node's own verification took longer than it waits for peers, and it banned honest ones."""
    bench = Bench(0, (ONE, TWO), 8)
    of = by_first(bench.tick())
    for peer in (ONE, TWO):
        bench.sync.on_arrived(peer)
    assert asked(bench.tick(VERIFY_TICKS)) == []
    assert blamed(bench.answer(1, 4, peer=of[1])) == [] and bench.height == 4
    bench.answer(5, 8, peer=of[5])
    assert bench.height == 8


def test_who_sends_other_blocks_and_never_the_answer_is_given_up() -> None:
    bench = Bench(0, (ONE,), 8)
    bench.tick()
    for _ in range(VERIFY_TICKS + ANSWER_TICKS):
        assert bench.sync.awaited_from(ONE) == 1
        bench.sync.on_arrived(ONE)
        bench.tick()
    assert not bench.sync._ranges.requests


# ------------------------------------------------------------------------------------------------ who is blamed


@pytest.mark.parametrize("order", [(5, 9, 1), (9, 5, 1), (1, 9, 5), (5, 1, 9)])
def test_a_liar_amid_kept_ranges_is_blamed_and_nobody_else(order: tuple[int, ...]) -> None:
    bench = Bench(0, (ONE, TWO, THREE), 12)
    of = by_first(bench.tick())
    effects: list[Effect] = []
    for first in order:
        seal = garbled(bench.certificates[7]) if first == 5 else None
        effects += bench.answer(first, first + 3, peer=of[first], certificate=seal)
    assert blamed(effects) == [of[5]]
    assert bench.height == 7, "block 7 is proved by the body of block 8"
    assert kinds(effects).isdisjoint({Halt})
    [again] = [peer for peer, first in asked(effects) if first == 8]
    assert again != of[5]
    bench.answer(8, 8, peer=again)
    assert bench.height == 12, "what the honest ones served is of use"


def test_nothing_that_a_liar_served_before_is_believed() -> None:
    bench = bench_of(ONE, TWO)
    of = by_first(bench.tick())
    liar, honest = of[5], of[1]
    bench.answer(5, 8, peer=liar)
    bench.answer(9, 12, peer=liar, certificate=replace(bench.certificates[11], round=1))
    assert blamed(bench.sync.on_fault(liar, "malformed")) == [], "the driver's fault was told already"
    effects = bench.answer(1, 4, peer=honest)
    assert bench.height == 4 and (honest, 5) in asked(effects)


def test_a_small_fault_takes_nothing_from_a_peer() -> None:
    bench = bench_of(ONE)
    bench.tick()
    assert bench.sync.on_fault(ONE, "unasked") == []
    bench.answer(1, 4)
    assert bench.height == 4


def test_what_a_peer_served_before_it_left_is_used_or_held_against_it() -> None:
    for seal in (None, "garbage"):
        bench = bench_of(ONE, TWO)
        of = by_first(bench.tick())
        left = of[5]
        bench.answer(5, 8, peer=left, certificate=garbled(bench.certificates[7]) if seal else None)
        del bench.peers[left]
        bench.sync.on_disconnected(left)
        effects = bench.answer(1, 4, peer=of[1])
        assert (bench.height, blamed(effects)) == ((7, [left]) if seal else (8, []))


def test_a_range_that_proves_another_block_where_the_head_is_is_a_fork() -> None:
    bench = bench_of(ONE)
    bench.tick()
    bench.node.perform(bench.node.chain.import_block(bench.blocks[0], bench.certificates[0], NOW))
    other = sealed(bench.blocks[0], time_ms=NOW + 99)
    proof = certificate_of(dict(enumerate(KEYS)), 1, other.id, genesis_hash=bench.source.spec.hash)
    effects = bench.give(VerifiedBlocks(1, (other,), proof))
    [halt] = [effect for effect in effects if isinstance(effect, Halt)]
    [write] = [effect for effect in effects if isinstance(effect, Write)]
    assert write.batch == Batch(evidence=write.batch.evidence, halted=halt.why) and len(write.batch.evidence) == 1
    assert blamed(effects) == [] and bench.tick(20) == []


# ------------------------------------------------------------------------------------------------ progress


def told(effects: list[Effect]) -> list[SyncProgressed]:
    return [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, SyncProgressed)]


def test_progress_is_told_once_a_second_and_at_the_end() -> None:
    bench = bench_of(ONE)
    bench.tick()
    effects = [*bench.answer(1, 4), *bench.answer(5, 8)]
    assert told(effects) == []
    assert told(bench.tick()) == [SyncProgressed(8, LENGTH, 1, 8.0, 1.5)]
    assert told(bench.tick()) == [], "nothing has moved"
    assert bench.sync.view() == SyncView(LENGTH, 4.0, 3.0, 1, "an answer of 1 peer, for 2 s now")
    effects = [*bench.answer(9, 12), *bench.answer(13, 16), *bench.answer(17, 20)]
    assert [(event.height, event.target, event.seconds_left) for event in told(effects)] == [(20, 20, None)]
    assert bench.sync.view() == SyncView(LENGTH, None, None, 0, "")


def test_the_rate_is_of_this_sync_and_needs_a_clock_that_goes_on() -> None:
    bench = bench_of()
    bench.tick(100)
    bench.tell(ONE, LENGTH + 1)
    bench.sync.on_status(ONE)
    bench.now -= 50_000
    bench.answer(1, 4)
    assert bench.sync.view().blocks_per_second is None and bench.sync.view().seconds_left is None
    bench.now += 52_000
    bench.answer(5, 8)
    assert bench.sync.view().blocks_per_second == 4.0


def test_why_it_waits_is_told_in_words() -> None:
    bench = bench_of(ONE, TWO)
    assert bench.sync.view().waiting_for == "" and bench.sync.view().sources == 2
    bench.tick()
    for peer, first in ((ONE, 1), (TWO, 1), (ONE, 5), (TWO, 5)):
        bench.give(VerifiedBlocks(first, (), None), peer)
    bench.tick()
    assert "2 peers rest after failing: it has no block" in bench.sync.view().waiting_for
    assert bench.sync.view().target == LENGTH, "nobody is left to be believed rather"
    bench.sync.on_disconnected(ONE)
    del bench.peers[ONE]
    assert "1 peer rests after failing: it has no block" in bench.sync.view().waiting_for
    bench.sync.stop()
    assert bench.sync.view().waiting_for == "nothing: this node stopped"


# ------------------------------------------------------------------------------------------------ never stuck


class Play:
    """Peers of every kind, answers in any order, losses and departures."""

    LIARS = ("silent", "empty", "garbage", "forged", "shifted", "unlinked")

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        kinds = ["honest", *rng.choices((*self.LIARS, "honest", "slow"), k=rng.randint(0, 5))]
        self.kinds = {PeerId(bytes([number + 1]) * 32): kind for number, kind in enumerate(kinds)}
        self.bench = bench_of(*self.kinds)
        self.open: list[tuple[PeerId, int, int]] = []
        self.blamed: set[PeerId] = set()
        self.log: list[Effect] = []

    def take(self, effects: list[Effect]) -> None:
        assert Halt not in kinds(effects)
        self.open += requests(effects)
        for peer in blamed(effects):
            assert self.kinds[peer] in self.LIARS, f"{self.kinds[peer]} is blamed: {effects}"
            self.blamed.add(peer)
            self.leave(peer)

    def leave(self, peer: PeerId) -> None:
        self.open = [request for request in self.open if request[0] != peer]
        if self.bench.peers.pop(peer, None) is not None:
            self.bench.sync.on_disconnected(peer)

    def second(self) -> None:
        for peer in self.kinds.keys() - self.blamed:
            self.bench.tell(peer, LENGTH + 1)
            self.take(self.bench.sync.on_status(peer))
        self.take(self.bench.tick())

    def answer(self, at: int) -> None:
        peer, first, count = self.open.pop(at)
        kind = self.kinds[peer]
        last = min(first + self.rng.randint(1, count), LENGTH + 1) - 1
        blocks = list(self.bench.blocks[first - 1 : last])
        seal = self.bench.certificates[last - 1]
        match kind:
            case "silent":
                return
            case "empty":
                blocks = []
            case "garbage":
                seal = garbled(seal)
            case "forged":
                blocks[-1] = self._forged(blocks[-1])
                seal = replace(seal, block_id=blocks[-1].id)
            case "shifted":
                blocks.insert(0, self.bench.blocks[(first + 3) % LENGTH])
            case "unlinked":
                blocks[self.rng.randrange(len(blocks))] = self._forged(blocks[0])
            case _:
                pass
        self.take(self.bench.give(VerifiedBlocks(first, tuple(blocks), seal), peer))

    def _forged(self, block: VerifiedBlock) -> VerifiedBlock:
        return sealed(block, time_ms=NOW + self.rng.randint(1_000, 9_000))

    def anything(self) -> None:
        chance = self.rng.random()
        if self.open and chance < 0.6:
            at = self.rng.randrange(len(self.open))
            if self.kinds[self.open[at][0]] != "slow" or chance < 0.2:
                self.answer(at)
        elif chance < 0.7:
            self.leave(self.rng.choice(list(self.kinds)))
        else:
            self.second()


@settings(deterministic, max_examples=25)
@given(st.randoms(use_true_random=False))
def test_whatever_happens_the_blocks_come_as_long_as_one_honest_peer_stays(rng: Random) -> None:
    play_until_synced(Play(rng), rng)


@pytest.mark.slow
@settings(deterministic, max_examples=400)
@given(st.randoms(use_true_random=False))
def test_whatever_happens_the_blocks_come_in_many_more_plays(rng: Random) -> None:
    play_until_synced(Play(rng), rng)


def play_until_synced(play: Play, rng: Random) -> None:
    """Anything for a while; then every answer comes, and enough time passes for all rests to end."""
    for _ in range(rng.randint(0, 60)):
        play.anything()
    for _ in range(12 * (ANSWER_TICKS + REST_TICKS)):
        while play.open and play.bench.height < LENGTH:
            play.answer(0)
        if play.bench.height == LENGTH:
            break
        play.second()
    assert play.bench.height == LENGTH
    assert play.bench.node.chain.head == play.bench.source.chain.head


def test_who_is_only_taken_to_have_gone_on_does_not_have_to_show_it() -> None:
    """A slow peer that was late once would be banned for a block of which it never said that it has it."""
    bench = bench_of(ONE, TWO, blocks=LENGTH - 1)
    bench.tell(TWO, 1)
    effects = bench.tick(1 + ANSWER_TICKS)
    assert asked(effects) == [(ONE, LENGTH)], "it does not answer in time"
    bench.tell(TWO, LENGTH + 1)
    bench.tick()
    bench.answer(LENGTH, LENGTH, peer=TWO)
    assert bench.height == LENGTH
    slow = bench.peers[ONE]
    bench.tell(ONE, LENGTH)
    slow.presume(LENGTH + 1)
    for _ in range(REST_TICKS + 1):
        bench.tell(ONE, LENGTH)
        assert asked([*bench.sync.on_status(ONE), *bench.tick()]) == []
    bench.tell(ONE, LENGTH + 1)
    assert asked(bench.tick()) == [(ONE, LENGTH)], "now it has said so"
