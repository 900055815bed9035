"""What a client is told of its transactions is durable before."""

from __future__ import annotations

import pytest

from blockchain.node import admission
from blockchain.node.core import Core
from blockchain.node.messages import Status
from blockchain.node.peers import USELESS_MAX, Peer
from blockchain.node.store import MemoryStore
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.vote import Step
from blockchain.seams import (
    Effect,
    PeerConnected,
    PeerId,
    Reply,
    Send,
    Started,
    SubmissionResult,
    Token,
    TransactionsSubmitted,
    Write,
)
from tests.node.one_chain import NOW, Node, spec_with

PEER = PeerId(b"1" * 32)


def test_peers_are_told_while_it_is_written_and_then_the_client_is_answered() -> None:
    node = Node(spec_with())
    keys: frozenset[PublicKey] = frozenset()
    core = Core(node.spec, node.store, keys)
    core.handle(Started((), 1), NOW)
    core.handle(PeerConnected(PEER, "", inbound=True), NOW)
    good, poor = node.pay("a", 0), node.pay("b", 0, amount=10_000)
    effects = core.handle(TransactionsSubmitted(Token(1), (good, poor)), NOW)
    steps = [effect for effect in effects if isinstance(effect, Write | Reply | Send)]
    assert [type(step) for step in steps] == [Send, Write, Reply]
    written = steps[1]
    assert isinstance(written, Write)
    assert [one.id for one in written.batch.pending_added] == [good.id]
    assert [one.id for one in written.batch.refused] == [poor.id]


class Counting(MemoryStore):
    """Counts how often it is asked for the place of a transaction."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def locate(self, transaction_id: bytes) -> tuple[int, int] | None:
        self.asked += 1
        return super().locate(transaction_id)


def test_what_is_final_is_acknowledged_again_and_the_store_is_asked_for_used_nonces_alone() -> None:
    """A look-up in a long chain takes longer than all else that an admission does."""
    store = Counting()
    node = Node(spec_with(), store=store)
    final = node.pay("a", 0)
    node.grow(final)
    core = Core(node.spec, store, frozenset[PublicKey]())
    core.handle(Started((), 1), NOW)

    def results(effects: list[Effect]) -> tuple[SubmissionResult, ...]:
        [reply] = [effect for effect in effects if isinstance(effect, Reply)]
        return reply.results

    fresh = [node.pay("a", 1), node.pay("a", 3), node.pay("b", 0)]
    told = results(core.handle(TransactionsSubmitted(Token(1), tuple(fresh)), NOW))
    assert [one.code for one in told] == ["", "", ""] and store.asked == 0
    other = node.pay("a", 0, amount=2)
    told = results(core.handle(TransactionsSubmitted(Token(2), (final, other)), NOW))
    assert [(one.id, one.code) for one in told] == [(final.id, ""), (other.id, "nonce_used")] and store.asked == 2
    assert core.chain.pool.get(final.id) is None


def test_a_client_makes_the_store_be_asked_so_often_a_second_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends what everybody can read in the chain again and again must not keep the node busy with looking."""
    monkeypatch.setattr(admission, "LOOKS_MAX", 2)
    store = Counting()
    node = Node(spec_with(), store=store)
    final = node.pay("a", 0)
    node.grow(final)
    core = Core(node.spec, store, frozenset[PublicKey]())
    core.handle(Started((), 1), NOW)

    def codes() -> list[str]:
        effects = core.handle(TransactionsSubmitted(Token(2), (final, final, final, node.pay("a", 1))), NOW)
        [reply] = [effect for effect in effects if isinstance(effect, Reply)]
        return [one.code for one in reply.results]

    assert codes() == ["", "", "pool_busy", ""] and codes() == ["pool_busy"] * 3 + [""] and store.asked == 2
    core.admission.on_tick(NOW + 1_000)
    assert codes() == ["", "", "pool_busy", ""] and store.asked == 4


@pytest.mark.parametrize(("height", "is_fault"), [(1, False), (2, True)])
def test_for_a_peer_the_store_is_not_asked_and_who_is_behind_is_excused(height: int, is_fault: bool) -> None:
    store = Counting()
    node = Node(spec_with(), store=store)
    old = node.pay("a", 0)
    node.grow(old)
    core = Core(node.spec, store, frozenset[PublicKey]())
    core.handle(Started((), 1), NOW)
    peer = Peer(PEER, "", inbound=True)
    peer.on_status(Status(height, 0, Step.PROPOSE, ()))
    core.admission.receive(peer, (old,) * (USELESS_MAX + 1), NOW)
    assert store.asked == 0 and len(core.chain.pool) == 0
    assert (peer.on_tick(1_000) is not None) is is_fault


def test_what_is_newly_final_is_nobodys_fault() -> None:
    node = Node(spec_with())
    core = Core(node.spec, node.store, frozenset[PublicKey]())
    core.handle(Started((), 1), NOW)
    final = node.pay("a", 0)
    block = node.grow(final)
    core.chain.import_block(block, node.certificate(block), NOW)
    peer = Peer(PEER, "", inbound=True)
    peer.on_status(Status(2, 0, Step.PROPOSE, ()))
    core.admission.receive(peer, (final,) * (USELESS_MAX + 1), NOW)
    assert peer.on_tick(1_000) is None
