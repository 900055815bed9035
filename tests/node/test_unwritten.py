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

    def bring(self, *transactions: VerifiedTransaction) -> list[Effect]:
        return self.core.handle(MessageReceived(ONE, VerifiedTransactions(transactions)), NOW)

    def submit(self, *transactions: VerifiedTransaction) -> list[Effect]:
        return self.core.handle(TransactionsSubmitted(Token(1), transactions), NOW)


def added(effects: list[Effect]) -> list[list[Hash32]]:
    """The transactions that each write adds."""
    return [[one.id for one in effect.batch.pending_added] for effect in effects if isinstance(effect, Write)]


def test_what_a_peer_brings_is_passed_on_and_written_with_the_next_write() -> None:
    bench = Bench()
    brought, handed_in = bench.node.pay("a", 0), bench.node.pay("b", 0)
    effects = bench.bring(brought)
    assert added(effects) == [] and any(isinstance(effect, Send) for effect in effects)
    assert added(bench.submit(handed_in)) == [[brought.id, handed_in.id]]
    assert added(bench.core.handle(TICK, NOW + 1_000)) == [], "once"


def test_it_is_written_at_the_next_tick_with_its_story() -> None:
    bench = Bench()
    early = bench.node.pay("a", 1)
    bench.bring(early)
    [write] = [e for e in bench.core.handle(TICK, NOW + 1_000) if isinstance(e, Write)]
    [one] = write.batch.pending_added
    assert (one.id, one.raw) == (early.id, early.raw)
    assert [stage.name for stage in one.story] == ["received", "waiting"]


def test_a_client_who_hands_in_the_same_is_answered_when_it_is_durable() -> None:
    bench = Bench()
    brought = bench.node.pay("a", 0)
    bench.bring(brought)
    effects = bench.submit(brought)
    assert added(effects) == [[brought.id]]
    assert [type(effect) for effect in effects if isinstance(effect, Write | Reply)] == [Write, Reply]


def test_what_has_left_the_pool_is_not_written() -> None:
    bench = Bench()
    first, better = bench.node.pay("a", 0), bench.node.pay("a", 0, fee=50)
    bench.bring(first)
    [write] = [effect for effect in bench.bring(better) if isinstance(effect, Write)]
    assert [one.id for one in write.batch.pending_added] == [better.id]
    assert [story.id for story in write.batch.ended] == [first.id]


def test_too_much_of_it_is_written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwritten, "UNWRITTEN_MAX", 2)
    bench = Bench()
    brought = [bench.node.pay("a", nonce) for nonce in range(3)]
    assert added(bench.bring(*brought[:2])) == []
    assert added(bench.bring(brought[2])) == [[one.id for one in brought]]
