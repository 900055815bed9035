"""Relay of transactions: offered once, asked for once, and of somebody else when it does not come."""

from __future__ import annotations

import pytest

from blockchain.node import relay as relay_module
from blockchain.node import wanted as wanted_module
from blockchain.node.chain import NEWLY_FINAL_BLOCKS
from blockchain.node.messages import (
    IDS_MAX,
    Have,
    Transactions,
    Want,
)
from blockchain.node.wanted import WANT_TICKS
from blockchain.primitives.crypto import Hash32
from tests.node.gossip_bench import ONE, TWO, Bench, sent
from tests.node.one_chain import Node, spec_with


def ids_of(bench: Bench, *nonces: int) -> tuple[Hash32, ...]:
    return tuple(bench.node.pay("a", nonce).id for nonce in nonces)


def test_what_a_peer_does_not_know_of_is_offered_once() -> None:
    bench = Bench(ONE, TWO)
    bench.node.add(bench.node.pay("a", 0), bench.node.pay("a", 1))
    zero, one = ids_of(bench, 0, 1)
    bench.relay.on_have(bench.peers[TWO], (zero,))
    effects = bench.relay.announce((zero, one))
    assert sent(effects, Have) == [((ONE,), Have((zero, one))), ((TWO,), Have((one,)))]
    assert bench.relay.announce((zero, one)) == []


def test_of_a_flood_of_ids_no_more_is_looked_at_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("OFFERED_MAX", "AT_ONCE", "OF_ONE_MIN"):
        monkeypatch.setattr(wanted_module, bound, 10)
    bench = Bench(ONE)
    looked: list[Hash32] = []
    monkeypatch.setattr(bench.node.chain.pool, "get", looked.append)
    bench.relay.on_have(bench.peers[ONE], tuple(Hash32(number.to_bytes(32, "big")) for number in range(1_000)))
    assert len(looked) <= 10 + 11, "those that are asked for now, those that wait, and one more"


def test_an_offer_is_bounded() -> None:
    bench = Bench(ONE)
    ids = [Hash32(number.to_bytes(32, "big")) for number in range(IDS_MAX + 5)]
    [(_, offered)] = sent(bench.relay.offer(bench.peers[ONE], ids), Have)
    assert len(offered.ids) == IDS_MAX


def test_what_is_news_is_wanted_once_and_what_is_here_is_not() -> None:
    bench = Bench(ONE, TWO)
    bench.node.add(bench.node.pay("a", 0))
    here, news = ids_of(bench, 0, 1)
    effects = bench.relay.on_have(bench.peers[ONE], (here, news, news))
    assert sent(effects, Want) == [((ONE,), Want((news,)))]
    assert bench.relay.on_have(bench.peers[TWO], (news,)) == []


def test_what_is_final_is_not_wanted() -> None:
    node = Node(spec_with())
    block = node.grow(node.pay("a", 0))
    bench = Bench(node=node)
    assert bench.relay.on_have(bench.tell(ONE), (block.transactions[0].id,)) == []
    for nonce in range(1, NEWLY_FINAL_BLOCKS):
        node.grow(node.pay("a", nonce))
        assert bench.relay.on_have(bench.tell(ONE), (block.transactions[0].id,)) == []


def test_what_became_final_long_ago_is_taken_for_news() -> None:
    """It does not come in, having a used nonce: to look for every id in a long chain costs more."""
    node = Node(spec_with())
    old = node.grow(node.pay("a", 0)).transactions[0].id
    for nonce in range(1, NEWLY_FINAL_BLOCKS + 1):
        node.grow(node.pay("a", nonce))
    bench = Bench(node=node)
    assert sent(bench.relay.on_have(bench.tell(ONE), (old,)), Want) == [((ONE,), Want((old,)))]


def test_a_want_that_nobody_answered_is_asked_of_somebody_else() -> None:
    bench = Bench(ONE, TWO)
    [news] = ids_of(bench, 1)
    for peer in (ONE, TWO):
        bench.relay.on_have(bench.peers[peer], (news,))
    effects = [effect for _ in range(WANT_TICKS) for effect in bench.relay.on_tick()]
    assert sent(effects, Want) == [((TWO,), Want((news,)))]
    bench.relay.on_arrived((news,))
    assert sent([e for _ in range(9) for e in bench.relay.on_tick()], Want) == []


def test_what_a_peer_that_is_gone_was_asked_for_is_asked_of_others_at_once() -> None:
    bench = Bench(ONE, TWO)
    here, elsewhere = ids_of(bench, 1, 2)
    for peer, ids in ((ONE, (here, elsewhere)), (TWO, (here,))):
        bench.relay.on_have(bench.peers[peer], ids)
    del bench.peers[ONE]
    assert sent(bench.relay.on_disconnected(ONE), Want) == [((TWO,), Want((here,)))]
    back = bench.tell(ONE)
    assert sent(bench.relay.on_have(back, (here, elsewhere)), Want) == [((ONE,), Want((elsewhere,)))]


def test_bodies_are_sent_that_are_here_in_frames_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(ONE)
    chosen = [bench.node.pay("a", nonce) for nonce in range(3)]
    bench.node.add(*chosen)
    monkeypatch.setattr(relay_module, "FRAME_TRANSACTIONS_BYTES", 2 * len(chosen[0].raw))
    wanted = (*(each.id for each in chosen), chosen[0].id, Hash32(bytes(32)))
    effects = bench.relay.on_want(bench.peers[ONE], wanted)
    bodies = [message.transactions for _, message in sent(effects, Transactions)]
    assert bodies == [(chosen[0].raw, chosen[1].raw), (chosen[2].raw,)]
    assert bench.relay.on_want(bench.peers[ONE], (Hash32(bytes(32)),)) == []
    assert bench.relay.announce(each.id for each in chosen) == [], "who asked for it has it now"
