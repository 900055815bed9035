"""What a client is told of its transactions is durable before."""

from __future__ import annotations

from blockchain.node.core import Core
from blockchain.primitives.crypto import PublicKey
from blockchain.seams import PeerConnected, PeerId, Reply, Send, Started, Token, TransactionsSubmitted, Write
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
