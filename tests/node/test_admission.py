"""What a client is told of its transactions is durable before."""

from __future__ import annotations

from blockchain.node.core import Core
from blockchain.node.store import MemoryStore
from blockchain.primitives.crypto import PublicKey
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


def test_first_it_is_written_then_answered_then_told_to_peers() -> None:
    node = Node(spec_with())
    keys: frozenset[PublicKey] = frozenset()
    core = Core(node.spec, node.store, keys)
    core.handle(Started((), 1), NOW)
    core.handle(PeerConnected(PEER, "", inbound=True), NOW)
    good, poor = node.pay("a", 0), node.pay("b", 0, amount=10_000)
    effects = core.handle(TransactionsSubmitted(Token(1), (good, poor)), NOW)
    steps = [effect for effect in effects if isinstance(effect, Write | Reply | Send)]
    assert [type(step) for step in steps[:3]] == [Write, Reply, Send]
    written = steps[0]
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
