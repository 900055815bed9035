"""What peers brought goes to the disk with the next write, soon, and before anybody is told that it is there."""

from __future__ import annotations

import pytest

from blockchain.node import unwritten
from blockchain.node.core import Core
from blockchain.node.inputs import MessageReceived
from blockchain.node.messages import VerifiedTransactions
from blockchain.node.store import MemoryStore
from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.seams import (
    Effect,
    PeerConnected,
    PeerId,
    Reply,
    Send,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
    Token,
    TransactionsSubmitted,
    Write,
)
from tests.node.one_chain import NOW, Node, spec_with

ONE, TWO = PeerId(b"1" * 32), PeerId(b"2" * 32)
TICK = TimerFired(TimerKey(TimerKind.STATUS))


class Bench:
    """A node that follows, with two peers."""

    def __init__(self) -> None:
        self.node = Node(spec_with())
        self.store = MemoryStore()
        self.core = Core(self.node.spec, self.store, frozenset[PublicKey]())
        self.core.handle(Started((), 1), NOW)
        for peer in (ONE, TWO):
            self.core.handle(PeerConnected(peer, "", inbound=True), NOW)

    def bring(self, *transactions: VerifiedTransaction, at: int = 0) -> list[Effect]:
        return self.core.handle(MessageReceived(ONE, VerifiedTransactions(transactions)), NOW + at)

    def tick(self, at: int) -> list[Effect]:
        return self.core.handle(TICK, NOW + at)

    def submit(self, *transactions: VerifiedTransaction) -> list[Effect]:
        return self.core.handle(TransactionsSubmitted(Token(1), transactions), NOW)


def added(effects: list[Effect]) -> list[list[Hash32]]:
    """The transactions that each write adds."""
    return [[one.id for one in effect.batch.pending_added] for effect in effects if isinstance(effect, Write)]


def test_what_a_peer_brings_is_passed_on_and_waits_for_its_write() -> None:
    bench = Bench()
    brought, handed_in = bench.node.pay("a", 0), bench.node.pay("b", 0)
    effects = bench.bring(brought)
    assert added(effects) == [] and any(isinstance(effect, Send) for effect in effects)
    assert added(bench.submit(handed_in)) == [[handed_in.id]], "a client waits for no more than is its own"
    assert added(bench.tick(unwritten.WAIT_MS - 1)) == []


def test_what_waited_for_long_is_written_once_with_its_story() -> None:
    bench = Bench()
    early = bench.node.pay("a", 1)
    bench.bring(early)
    [write] = [e for e in bench.tick(unwritten.WAIT_MS) if isinstance(e, Write)]
    [one] = write.batch.pending_added
    assert (one.id, one.raw) == (early.id, early.raw)
    assert [stage.name for stage in one.story] == ["received", "waiting"]
    assert added(bench.tick(2 * unwritten.WAIT_MS)) == [], "once"


def test_what_came_later_waits_on() -> None:
    bench = Bench()
    first, second = bench.node.pay("a", 0), bench.node.pay("b", 0)
    bench.bring(first)
    bench.bring(second, at=1)
    assert added(bench.tick(unwritten.WAIT_MS)) == [[first.id]]
    assert added(bench.tick(unwritten.WAIT_MS + 1)) == [[second.id]]


def test_a_clock_that_was_set_back_keeps_nothing_from_the_disk() -> None:
    bench = Bench()
    brought = bench.node.pay("a", 0)
    bench.bring(brought)
    assert added(bench.tick(-1)) == [[brought.id]]


def test_a_client_who_hands_in_the_same_is_answered_when_it_is_durable() -> None:
    bench = Bench()
    brought = bench.node.pay("a", 0)
    bench.bring(brought)
    effects = bench.submit(brought)
    assert added(effects) == [[brought.id]]
    assert [type(effect) for effect in effects if isinstance(effect, Write | Reply)] == [Write, Reply]


def test_a_client_who_names_it_twice_is_answered_too() -> None:
    bench = Bench()
    brought = bench.node.pay("a", 0)
    bench.bring(brought)
    assert added(bench.submit(brought, brought)) == [[brought.id]]


def test_what_has_left_the_pool_is_not_written() -> None:
    bench = Bench()
    first, better = bench.node.pay("a", 0), bench.node.pay("a", 0, fee=50)
    bench.bring(first)
    [write] = [effect for effect in bench.bring(better) if isinstance(effect, Write)]
    assert [one.id for one in write.batch.pending_added] == [better.id]
    assert [story.id for story in write.batch.ended] == [first.id]
    assert added(bench.tick(unwritten.WAIT_MS)) == []


def test_what_was_never_written_is_not_removed() -> None:
    bench = Bench()
    written, unwritten_yet = bench.node.pay("a", 0), bench.node.pay("b", 0)
    bench.submit(written)
    bench.bring(unwritten_yet)
    batches = []
    for sender in "ab":
        effects = bench.bring(bench.node.pay(sender, 0, fee=50))
        batches += [effect.batch for effect in effects if isinstance(effect, Write)]
    assert [batch.pending_removed for batch in batches] == [(written.id,), ()]
    assert [batch.left_unwritten for batch in batches] == [(), (unwritten_yet.id,)]


def test_the_oldest_of_too_many_are_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwritten, "UNWRITTEN_MAX", 2)
    monkeypatch.setattr(unwritten, "AT_ONCE", 2)
    bench = Bench()
    brought = [bench.node.pay("a", nonce) for nonce in range(3)]
    assert added(bench.bring(*brought[:2])) == []
    assert added(bench.bring(brought[2])) == [[one.id for one in brought[:2]]]
    assert added(bench.tick(unwritten.WAIT_MS)) == [[brought[2].id]]
