"""Sync: what is taken over is proved, who serves nothing rests, and no peer can keep this node from the others."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.errors import StoreError
from blockchain.node import ranges as ranges_module
from blockchain.node import sync as sync_module
from blockchain.node.messages import Blocks, GetBlocks, VerifiedBlocks, decode_frame
from blockchain.node.ranges import HEDGE_TICKS
from blockchain.node.sources import LEFT_MAX, REST_TICKS, Sources
from blockchain.node.sync import ANSWER_TICKS
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.vote import Certificate
from blockchain.seams import (
    BlockFinalized,
    Effect,
    Emit,
    FinalBlock,
    Halt,
    Halted,
    PeerId,
    Penalize,
    Send,
    SetTimer,
    StoreDamaged,
    TimerKey,
    TimerKind,
)
from tests.node.one_chain import KEYS, NOW, sealed
from tests.node.sync_bench import LENGTH, ONE, TWO, Bench, asked, kinds, requests
from tests.samples import BLOCK_A, certificate_of


@pytest.fixture(autouse=True)
def whole_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """One request is for all that there is."""
    monkeypatch.setattr(ranges_module, "FITTING_FIRST", 100)


# ------------------------------------------------------------------------------------------------ asking


def test_a_node_that_is_behind_asks_for_what_comes_next() -> None:
    bench = Bench(blocks=2)
    [send] = bench.tick()
    assert isinstance(send, Send)
    assert decode_frame(send.frame).message == GetBlocks(3, 3) and send.peers == (ONE,)
    assert bench.tick() == [], "one request a peer"


def test_who_tells_that_it_is_one_height_ahead_is_asked_at_once() -> None:
    bench = Bench(blocks=LENGTH - 1)
    assert not bench.sync.is_syncing and asked(bench.sync.on_status(ONE)) == [(ONE, LENGTH)]
    assert bench.sync.on_status(ONE) == [], "one request a peer"
    assert Bench(blocks=LENGTH).sync.on_status(ONE) == []


def test_who_only_speaks_of_the_next_height_is_not_asked_for_what_is_just_being_decided() -> None:
    bench = Bench(blocks=LENGTH - 1)
    assert bench.sync.on_spoke(ONE) == []
    assert asked(bench.tick()) == [(ONE, LENGTH)]
    bench = Bench(blocks=LENGTH - 2)
    assert bench.sync.is_syncing and asked(bench.sync.on_spoke(ONE)) == [(ONE, LENGTH - 1)]


def test_a_node_that_is_not_behind_or_alone_asks_nothing() -> None:
    assert Bench(blocks=LENGTH).tick(3) == [] == Bench(peers=()).tick(3)
    assert Bench(peers=()).sync.best_height == 0


# ------------------------------------------------------------------------------------------------ taking over


def test_a_range_is_taken_over_and_the_next_asked_for() -> None:
    bench = Bench()
    bench.tick()
    effects = bench.answer(1, 3)
    assert bench.height == 3 and bench.node.store.head() == 3
    final = [e.event for e in effects if isinstance(e, Emit) and isinstance(e.event, BlockFinalized)]
    assert [event.block_id for event in final] == [block.id for block in bench.blocks[:3]]
    assert all(event.synced for event in final)
    assert asked(effects) == [(ONE, 4)]
    bench.answer(4, LENGTH)
    assert bench.node.chain.head == bench.source.chain.head and bench.node.chain.seed == bench.source.chain.seed


def test_of_full_blocks_one_at_a_time_and_the_next_range_is_asked_for_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that there is always something to verify while blocks are applied, and others have their turn between."""
    monkeypatch.setattr(sync_module, "APPLIED_TRANSACTIONS", 1)
    bench = Bench()
    bench.tick()
    chosen, seal = tuple(bench.blocks[:3]), bench.certificates[2]
    effects = bench.sync.on_blocks(ONE, VerifiedBlocks(1, chosen, seal), bench.now)
    turn = SetTimer(TimerKey(TimerKind.SYNC), 0)
    assert isinstance(effects[0], Send) and asked(effects) == [(ONE, 4)]
    assert bench.height == 1 and turn in effects
    assert turn in bench.sync.advance(bench.now) and bench.height == 2
    assert turn not in bench.sync.advance(bench.now) and bench.height == 3


def test_the_ranges_of_all_sources_are_together_as_long_as_a_reply_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranges_module, "FITTING_FIRST", 4)
    bench = Bench(peers=(ONE,))
    assert [(start, count) for _, start, count in requests(bench.tick())] == [(1, 4)]
    bench = Bench(peers=(ONE, TWO))
    first = requests(bench.tick())
    assert [(start, count) for _, start, count in first] == [(1, 2), (3, 2)]
    monkeypatch.setattr(ranges_module, "REPLY_BYTES_MAX", len(bench.blocks[0].raw) * 3 // 2)
    assert [(start, count) for _, start, count in requests(bench.answer(1, 2, peer=first[0][0]))] == [(5, 1)]


def test_within_a_range_each_body_proves_the_block_before_it() -> None:
    bench = Bench()
    bench.tick()
    bench.answer(1, 2)
    stored = bench.node.store.block(1)
    assert stored is not None and bench.node.chain.head.certificate == bench.certificates[1]


def test_blocks_that_were_decided_meanwhile_are_passed_over() -> None:
    bench = Bench()
    bench.tick()
    bench.node.perform(bench.node.chain.import_block(bench.blocks[0], bench.certificates[0], NOW))
    bench.answer(1, 3)
    assert bench.height == 3
    bench = Bench()
    bench.tick()
    bench.node.perform(bench.node.chain.import_block(bench.blocks[0], bench.certificates[0], NOW))
    assert asked(bench.answer(1, 1)) == [(ONE, 2)]


@pytest.mark.parametrize("first, peer", [(2, ONE), (1, TWO)], ids=["another range", "another peer"])
def test_an_answer_to_another_question_is_dropped(first: int, peer: PeerId) -> None:
    bench = Bench()
    bench.tick()
    assert bench.answer(first, 3, peer=peer) == []
    assert bench.height == 0
    bench.answer(1, 3)
    assert bench.answer(1, 3) == [], "and so is an answer that comes twice"


# ------------------------------------------------------------------------------------------------ peers that lie


def fails(bench: Bench, effects: list[Effect], height: int) -> None:
    """Up to `height` was good; the peer is penalised, and nothing but that."""
    [penalty] = [effect for effect in effects if isinstance(effect, Penalize)]
    assert (penalty.peer, penalty.reason) == (ONE, "bad_certificate")
    assert bench.height == height and Halt not in kinds(effects)
    assert asked(effects) == [], "there is nobody else to ask"


def forged(bench: Bench) -> dict[str, Certificate]:
    good = bench.certificates[2]
    spec_hash = bench.source.spec.hash
    members = dict(enumerate(KEYS))
    return {
        "of another block": certificate_of(members, 3, BLOCK_A, genesis_hash=spec_hash),
        "of another height": certificate_of(members, 4, bench.blocks[2].id, genesis_hash=spec_hash),
        "of too few": replace(good, precommits=good.precommits[:2]),
        "of nobody": replace(good, precommits=()),
        "in another round": replace(good, round=1),
        "of another chain": certificate_of(members, 3, bench.blocks[2].id),
        "one twice": replace(good, precommits=(good.precommits[0], *good.precommits)),
    }


@pytest.mark.parametrize("what", forged(Bench()).keys())
def test_a_certificate_that_proves_nothing_is_its_peers_fault(what: str) -> None:
    """The blocks before it are good, and proved by each other, unless the range does not even hang together."""
    bench = Bench()
    bench.tick()
    height = 0 if what in ("of another block", "of another height") else 2
    fails(bench, bench.answer(1, 3, certificate=forged(bench)[what]), height)


def test_a_range_without_a_certificate_is_its_peers_fault() -> None:
    bench = Bench()
    bench.tick()
    fails(bench, bench.give(VerifiedBlocks(1, tuple(bench.blocks[:3]), None)), height=0)


@pytest.mark.parametrize("order", [(2, 1, 3), (1, 3, 2), (1, 1, 2), (1, 2, 4), (2,)])
def test_blocks_out_of_order_prove_nothing(order: tuple[int, ...]) -> None:
    bench = Bench()
    bench.tick()
    chosen = tuple(bench.blocks[number - 1] for number in order)
    fails(bench, bench.give(VerifiedBlocks(1, chosen, bench.certificates[order[-1] - 1])), height=0)


def test_a_block_that_nobody_signed_is_its_peers_fault() -> None:
    bench = Bench()
    bench.tick()
    other = sealed(bench.blocks[0], time_ms=NOW + 99)
    fails(bench, bench.give(VerifiedBlocks(1, (other,), bench.certificates[0])), height=0)


def test_a_peer_that_serves_what_is_old_is_not_asked_for_ever() -> None:
    """It says that it is far ahead, answers at once, and no answer helps: it must not take every turn."""
    bench = Bench(blocks=2, peers=(ONE, TWO))
    bench.tell(ONE, 1_000)
    seen = asked(bench.tick())
    for _ in range(20):
        peer, first = seen[-1]
        if peer == TWO:
            break
        chosen = (bench.blocks[0], bench.blocks[1])
        effects = bench.give(VerifiedBlocks(first, chosen, bench.certificates[1]), peer)
        seen += asked(effects) or asked(bench.tick())
    assert seen[-1] == (TWO, 3)
    bench.answer(3, LENGTH, peer=TWO)
    assert bench.height == LENGTH


@pytest.mark.parametrize("is_silent", [True, False])
def test_a_peer_that_does_not_help_rests_and_another_is_asked(is_silent: bool) -> None:
    bench = Bench(peers=(ONE, TWO))
    [(first, _)] = asked(bench.tick())
    other = TWO if first == ONE else ONE
    effects = bench.tick(HEDGE_TICKS) if is_silent else bench.give(VerifiedBlocks(1, (), None), first)
    assert asked(effects) == [(other, 1)] and Penalize not in kinds(effects)
    bench.give(VerifiedBlocks(1, (), None), other)
    assert asked(bench.tick(ANSWER_TICKS)) == []
    bench.sync.on_status(first)
    assert asked(bench.tick(REST_TICKS)) == [(first, 1)], "after a rest, who still says it has the blocks"


def fail_once(bench: Bench, peer: PeerId, *, is_silent: bool) -> list[Effect]:
    """Ask, and get nothing."""
    if not asked(bench.tick()):
        assert asked(bench.tick(REST_TICKS)) == [(peer, 1)]
    return bench.tick(ANSWER_TICKS) if is_silent else bench.give(VerifiedBlocks(1, (), None), peer)


@pytest.mark.parametrize("first_is_silent", [True, False])
@pytest.mark.parametrize("is_silent", [True, False])
def test_who_claims_a_height_and_twice_does_not_serve_it_is_banned(first_is_silent: bool, is_silent: bool) -> None:
    bench = Bench()
    assert Penalize not in kinds(fail_once(bench, ONE, is_silent=first_is_silent))
    bench.sync.on_status(ONE)
    effects = fail_once(bench, ONE, is_silent=is_silent)
    [penalty] = [effect for effect in effects if isinstance(effect, Penalize)]
    assert (penalty.peer, penalty.reason) == (ONE, "not_served")


def test_to_leave_and_come_back_is_no_new_beginning() -> None:
    """A link that says nothing is cut, and dialled again."""
    bench = Bench()
    fail_once(bench, ONE, is_silent=True)
    del bench.peers[ONE]
    bench.sync.on_disconnected(ONE)
    bench.tell(ONE, LENGTH + 1)
    bench.sync.on_status(ONE)
    effects = fail_once(bench, ONE, is_silent=True)
    assert [effect.reason for effect in effects if isinstance(effect, Penalize)] == ["not_served"]


def test_only_so_many_that_left_are_remembered() -> None:
    sources = Sources()
    for number in range(LEFT_MAX + 1):
        peer = PeerId(number.to_bytes(32, "big"))
        sources.on_failed(peer, 0, "it has nothing")
        sources.on_left(peer)
    remembered = [sources.of(PeerId(number.to_bytes(32, "big"))).failures for number in (0, 1, LEFT_MAX)]
    assert remembered == [0, 1, 1]


def test_who_says_nothing_more_is_not_asked_again_and_not_banned() -> None:
    """A stopped process, or a cut line: it claims nothing meanwhile."""
    bench = Bench()
    fail_once(bench, ONE, is_silent=True)
    effects = bench.tick(100)
    assert asked(effects) == [] and Penalize not in kinds(effects)
    assert asked(bench.sync.on_status(ONE)) == [(ONE, 1)]
    bench.answer(1, 1)
    assert bench.height == 1


def test_an_honest_peer_that_is_slow_is_asked_for_less_and_never_banned() -> None:
    bench = Bench(length=20)
    effects = bench.tick()
    for _ in range(20):
        if not asked(effects):
            effects = [*bench.sync.on_status(ONE), *bench.tick(REST_TICKS)]
        [message] = [decode_frame(effect.frame).message for effect in effects if isinstance(effect, Send)]
        assert isinstance(message, GetBlocks)
        effects = bench.tick(ANSWER_TICKS + 1 if message.count > 3 else 0)
        effects += bench.answer(message.first, message.first + message.count - 1)
        assert Penalize not in kinds(effects)
        if bench.height == 20:
            break
    assert bench.height == 20


def test_an_answer_that_comes_late_is_taken_all_the_same() -> None:
    bench = Bench()
    bench.tick(1 + ANSWER_TICKS)
    assert bench.sync.awaited_from(ONE) == 1
    bench.answer(1, LENGTH)
    assert bench.height == LENGTH and bench.sync.awaited_from(ONE) == 0


def test_the_request_of_a_peer_that_left_is_asked_of_another() -> None:
    bench = Bench(peers=(ONE, TWO))
    [(first, _)] = asked(bench.tick())
    other = TWO if first == ONE else ONE
    bench.sync.on_disconnected(other)
    assert bench.tick() == []
    del bench.peers[first]
    bench.sync.on_disconnected(first)
    assert asked(bench.tick()) == [(other, 1)]


# ------------------------------------------------------------------------------------------------ the impossible


def wrong_and_signed(bench: Bench) -> tuple[VerifiedBlock, Certificate]:
    """Block 1 with another state root, under the precommits of all."""
    wrong = sealed(bench.blocks[0], state_root=BLOCK_A)
    return wrong, certificate_of(dict(enumerate(KEYS)), 1, wrong.id, genesis_hash=bench.source.spec.hash)


def test_a_wrong_block_that_the_validators_signed_stops_the_node_and_blames_no_peer() -> None:
    bench = Bench()
    bench.tick()
    wrong, certificate = wrong_and_signed(bench)
    effects = bench.give(VerifiedBlocks(1, (wrong,), certificate))
    [halt] = [effect for effect in effects if isinstance(effect, Halt)]
    assert "state_root" in halt.why and Emit(Halted(halt.why)) in effects
    assert Penalize not in kinds(effects) and bench.height == 0


def test_a_node_that_stopped_asks_for_nothing_more() -> None:
    """Else it would be told the same, and stop again, each second."""
    bench = Bench()
    bench.tick()
    wrong, certificate = wrong_and_signed(bench)
    bench.give(VerifiedBlocks(1, (wrong,), certificate))
    assert bench.tick(30) == [] == bench.sync.on_status(ONE)


# ------------------------------------------------------------------------------------------------ serving


def served(bench: Bench, first: int, count: int) -> Blocks:
    (effect,) = bench.sync.serve(bench.peers[ONE], GetBlocks(first, count))
    assert isinstance(effect, Send) and effect.peers == (ONE,)
    message = decode_frame(effect.frame).message
    assert isinstance(message, Blocks)
    return message


@pytest.mark.parametrize(
    "first, count, heights",
    [(1, 2, [1, 2]), (4, 100, [4, 5]), (5, 1, [5]), (6, 1, []), (1_000, 100, []), (0, 3, [1, 2]), (2**53 - 1, 100, [])],
)
def test_final_blocks_are_served_with_the_last_ones_certificate(first: int, count: int, heights: list[int]) -> None:
    bench = Bench(blocks=LENGTH)
    message = served(bench, first, count)
    assert message.blocks == tuple(bench.blocks[height - 1].raw for height in heights)
    assert message.certificate == (bench.certificates[heights[-1] - 1] if heights else None)
    assert message.first == first


@pytest.mark.parametrize("first, is_kept", [(LENGTH, False), (LENGTH - 1, True), (LENGTH + 1, True)])
def test_from_who_has_to_ask_for_the_newest_block_nothing_is_kept_any_more(first: int, is_kept: bool) -> None:
    """It was at that height, and what others were thought to send it did not come."""
    bench = Bench(blocks=LENGTH)
    peer = bench.peers[ONE]
    peer.apart.note(0b101)
    bench.sync.serve(peer, GetBlocks(first, 1))
    assert peer.apart.voters == (0b101 if is_kept else 0)


def test_a_damaged_block_ends_the_range_and_not_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(blocks=LENGTH)
    sound = bench.node.store.block

    def block(height: int) -> FinalBlock | None:
        if height == 3:
            raise StoreError("block 3 is damaged")
        return sound(height)

    monkeypatch.setattr(bench.node.store, "block", block)
    assert served(bench, 4, 1).blocks == (bench.blocks[3].raw,)
    told, effect = bench.sync.serve(bench.peers[ONE], GetBlocks(1, 5))
    assert told == Emit(StoreDamaged("block 3 is damaged"))
    assert isinstance(effect, Send)
    message = decode_frame(effect.frame).message
    assert isinstance(message, Blocks)
    assert message.blocks == tuple(block.raw for block in bench.blocks[:2])
    assert message.certificate == bench.certificates[1]


def test_a_range_is_cut_where_it_grows_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(blocks=LENGTH)
    size = len(bench.blocks[1].raw)
    monkeypatch.setattr("blockchain.node.sync.REPLY_BYTES_MAX", 2 * size + 10)
    assert len(served(bench, 2, 3).blocks) == 2
    monkeypatch.setattr("blockchain.node.sync.REPLY_BYTES_MAX", 1)
    assert len(served(bench, 2, 3).blocks) == 1, "one at least"


def test_a_whole_chain_is_fetched_from_a_node_that_serves() -> None:
    full, behind = Bench(blocks=LENGTH), Bench()
    effects = behind.tick()
    for _ in range(LENGTH):
        if not asked(effects):
            break
        message = served(full, asked(effects)[0][1], 2)
        blocks = tuple(full.blocks[message.first - 1 : message.first - 1 + len(message.blocks)])
        effects = behind.give(VerifiedBlocks(message.first, blocks, message.certificate))
    assert behind.node.chain.head == full.node.chain.head
