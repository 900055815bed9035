"""What a client has just handed in goes to peers unasked: a little of it, and nobody can be made to take more."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.errors import PeerFault
from blockchain.node.apart import APART_TICKS, LAG_MS
from blockchain.node.core import Core
from blockchain.node.fresh import TAKEN_MAX
from blockchain.node.inputs import MessageReceived
from blockchain.node.messages import (
    FRESH_MAX,
    Fresh,
    Have,
    Message,
    Nothing,
    Transactions,
    VerifiedFresh,
    Want,
    decode_frame,
    encode_frame,
)
from blockchain.node.peers import ALLOWANCES, FLOOD_FACTOR, FRESH_SENT_MAX, OVER_FACTOR, TICK_MS, Peer
from blockchain.node.store import MemoryStore
from blockchain.node.verify import verify_frame
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.runtime.intake import INLINE_BYTES_MAX
from blockchain.seams import (
    Effect,
    PeerConnected,
    PeerId,
    Penalize,
    Reply,
    Send,
    SetTimer,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
    Token,
    TransactionsSubmitted,
    Write,
)
from tests.node.one_chain import NOW, Node, spec_with

ONE, TWO, THREE = PeerId(b"1" * 32), PeerId(b"2" * 32), PeerId(b"3" * 32)
OFFER = SetTimer(TimerKey(TimerKind.OFFER), LAG_MS)
TICK = TimerFired(TimerKey(TimerKind.STATUS))


class Bench:
    """A node that follows, with two peers or more."""

    def __init__(self, peers: tuple[PeerId, ...] = (ONE, TWO)) -> None:
        self.node = Node(spec_with(block_max_transactions=1_000))
        self.core = Core(self.node.spec, MemoryStore(), frozenset[PublicKey]())
        self.core.handle(Started((), 1), NOW)
        for peer in peers:
            self.core.handle(PeerConnected(peer, "", inbound=True), NOW)

    def submit(self, *transactions: VerifiedTransaction) -> list[Effect]:
        return self.core.handle(TransactionsSubmitted(Token(1), transactions), NOW)

    def bring(self, sender: PeerId, message: Message) -> list[Effect]:
        """As it comes over the wire. Raises PeerFault."""
        frame = encode_frame(self.node.spec.hash, message)
        verified = verify_frame(frame, self.core.context(sender))
        return self.core.handle(MessageReceived(sender, verified), NOW)

    def payments(self, count: int) -> list[VerifiedTransaction]:
        return [self.node.pay("a", nonce) for nonce in range(count)]


def fresh(*transactions: VerifiedTransaction) -> Fresh:
    return Fresh(tuple(one.raw for one in transactions))


def told(effects: list[Effect]) -> list[tuple[PeerId, Message]]:
    sends = [effect for effect in effects if isinstance(effect, Send)]
    return [(peer, decode_frame(send.frame).message) for send in sends for peer in send.peers]


def test_what_a_client_hands_in_goes_to_all_peers_in_full_before_it_is_written() -> None:
    bench = Bench()
    [paid] = bench.payments(1)
    effects = bench.submit(paid)
    assert told(effects) == [(ONE, fresh(paid)), (TWO, fresh(paid))]
    steps = [type(effect) for effect in effects if isinstance(effect, Send | Write | Reply)]
    assert steps == [Send, Send, Write, Reply], "nothing is promised before it is durable"
    assert told(bench.submit(paid)) == [], "once"


def test_who_takes_it_passes_on_its_id_to_those_who_may_lack_it() -> None:
    giver, taker = Bench(), Bench()
    [paid] = giver.payments(1)
    [(_, message), _] = told(giver.submit(paid))
    effects = taker.bring(ONE, message)
    assert taker.core.chain.pool.get(paid.id) is not None
    assert told(effects) == [(TWO, Have((paid.id,)))]
    assert told(taker.bring(ONE, message)) == [], "what is there already is no news, and no fault"
    assert told(taker.bring(TWO, Have((paid.id,)))) == []


class Crossed(Bench):
    """What ONE hands out has crossed with these peers, on its way from here to them."""

    def __init__(self, *peers: PeerId) -> None:
        super().__init__((ONE, TWO, THREE))
        first = self.node.pay("b", 0)
        assert {peer for peer, _ in told(self.bring(ONE, fresh(first)))} == {TWO, THREE}
        for peer in peers:
            assert told(self.bring(peer, Have((first.id,)))) == []


def test_what_all_get_from_its_giver_is_offered_to_nobody_at_once() -> None:
    bench = Crossed(TWO, THREE)
    [zero, one] = bench.payments(2)
    effects = bench.bring(ONE, fresh(zero))
    assert told(effects) == [] and OFFER in effects
    effects = bench.bring(ONE, fresh(one))
    assert told(effects) == [] and OFFER not in effects, "the timer is set with the first"
    bench.bring(THREE, Have((one.id,)))
    late = bench.core.handle(TimerFired(OFFER.key), NOW + LAG_MS)
    assert told(late) == [(TWO, Have((zero.id, one.id))), (THREE, Have((zero.id,)))], "to who has not shown it"
    assert OFFER in bench.bring(ONE, fresh(bench.node.pay("a", 2)))


def test_what_another_hands_out_is_offered_at_once() -> None:
    bench = Crossed(TWO, THREE)
    [paid] = bench.payments(1)
    assert told(bench.bring(TWO, fresh(paid))) == [(peer, Have((paid.id,))) for peer in (ONE, THREE)]


def test_one_crossing_alone_says_nothing_of_a_ring() -> None:
    bench = Crossed(TWO)
    [paid] = bench.payments(1)
    assert told(bench.bring(ONE, fresh(paid))) == [(peer, Have((paid.id,))) for peer in (TWO, THREE)]


def test_who_asked_for_it_here_does_not_get_it_elsewhere() -> None:
    bench = Crossed(TWO)
    zero, one = bench.payments(2)
    bench.bring(ONE, fresh(zero))
    assert told(bench.bring(THREE, Want((zero.id,)))) == [(THREE, Transactions((zero.raw,)))]
    bench.bring(THREE, Have((zero.id,)))
    assert {peer for peer, _ in told(bench.bring(ONE, fresh(one)))} == {TWO, THREE}


def test_what_was_found_out_is_forgotten_in_a_while() -> None:
    bench = Crossed(TWO, THREE)
    for tick in range(1, APART_TICKS + 1):
        bench.core.handle(TICK, NOW + tick * TICK_MS)
    [paid] = bench.payments(1)
    assert {peer for peer, _ in told(bench.bring(ONE, fresh(paid)))} == {TWO, THREE}


def test_an_offer_of_what_came_before_the_last_tick_shows_nothing() -> None:
    bench = Crossed()
    bench.core.handle(TICK, NOW + TICK_MS)
    for peer in (TWO, THREE):
        bench.bring(peer, Have((bench.node.pay("b", 0).id,)))
    [paid] = bench.payments(1)
    assert {peer for peer, _ in told(bench.bring(ONE, fresh(paid)))} == {TWO, THREE}


def test_only_so_much_is_kept_back(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TAKEN_MAX >= 10 * FRESH_SENT_MAX * LAG_MS // TICK_MS, "what ten peers send meanwhile"
    monkeypatch.setattr("blockchain.node.fresh.TAKEN_MAX", 2)
    bench = Crossed(TWO, THREE)
    zero, one, two = bench.payments(3)
    assert told(bench.bring(ONE, fresh(zero, one))) == []
    assert {peer for peer, _ in told(bench.bring(ONE, fresh(two)))} == {TWO, THREE}


def test_who_has_it_is_not_sent_it() -> None:
    bench = Bench()
    zero, one = bench.payments(2)
    bench.bring(ONE, Have((zero.id,)))
    assert told(bench.submit(zero, one)) == [(ONE, fresh(one)), (TWO, fresh(zero, one))]


def test_of_many_at_once_the_ids_are_told() -> None:
    bench = Bench()
    many = bench.payments(FRESH_MAX + 1)
    have = Have(tuple(one.id for one in many))
    assert told(bench.submit(*many)) == [(ONE, have), (TWO, have)]
    assert told(Bench().submit(*many[:FRESH_MAX])) == [(peer, fresh(*many[:FRESH_MAX])) for peer in (ONE, TWO)]


def test_a_full_frame_of_transfers_is_verified_where_it_is_read() -> None:
    frame = encode_frame(Bench().node.spec.hash, fresh(*Bench().payments(FRESH_MAX)))
    assert len(frame) <= INLINE_BYTES_MAX


def test_a_node_sends_unasked_what_its_peer_must_take_wherever_their_seconds_begin() -> None:
    bench = Bench()
    payments = bench.payments(FRESH_SENT_MAX + 1)
    kinds = [type(message) for paid in payments for peer, message in told(bench.submit(paid)) if peer == ONE]
    assert kinds == [Fresh] * FRESH_SENT_MAX + [Have], "then by its id"
    assert ALLOWANCES[Fresh] >= 2 * FRESH_SENT_MAX
    bench.core.handle(TICK, NOW + TICK_MS)
    assert told(bench.submit(bench.node.pay("a", len(payments))))[0][1] == fresh(bench.node.pay("a", len(payments)))


def test_what_is_beyond_the_allowance_is_not_verified_and_comes_again_by_its_id() -> None:
    bench = Bench()
    payments = bench.payments(ALLOWANCES[Fresh] + 1)
    for at in range(0, ALLOWANCES[Fresh], FRESH_MAX):
        bench.bring(ONE, fresh(*payments[at : at + FRESH_MAX]))
    late = payments[-1]
    forged = replace(late, raw=late.raw[:-1] + bytes([late.raw[-1] ^ 1]))
    context = bench.core.context(ONE)
    assert verify_frame(encode_frame(bench.node.spec.hash, fresh(forged)), context) == Nothing(Fresh)
    with pytest.raises(PeerFault, match="bad_transaction"):
        bench.bring(TWO, fresh(forged))
    bench.bring(ONE, fresh(late))
    assert bench.core.chain.pool.get(late.id) is None
    assert told(bench.bring(ONE, Have((late.id,)))) == [(ONE, Want((late.id,)))]


@pytest.mark.parametrize("factor, reason", [(1, ""), (OVER_FACTOR, "over_allowance"), (FLOOD_FACTOR, "flood")])
def test_who_sends_far_more_unasked_is_penalized(factor: int, reason: str) -> None:
    bench = Bench()
    bench.core.handle(TICK, NOW)
    [paid] = bench.payments(1)
    for _ in range(factor * ALLOWANCES[Fresh] + (factor > 1)):
        assert told(bench.bring(ONE, fresh(paid))) in ([], [(TWO, Have((paid.id,)))])
    effects = bench.core.handle(TICK, NOW + TICK_MS)
    assert [(one.peer, one.reason) for one in effects if isinstance(one, Penalize)] == (
        [(ONE, reason)] if reason else []
    )


def test_an_answer_that_nobody_asked_for_is_a_fault_as_before() -> None:
    bench = Bench()
    [paid] = bench.payments(1)
    with pytest.raises(PeerFault, match="unasked"):
        bench.bring(ONE, Transactions((paid.raw,)))


def test_what_a_peer_is_sent_unasked_is_counted_by_transactions() -> None:
    peer = Peer(ONE, "", inbound=True)
    assert peer.may_be_sent_fresh(FRESH_SENT_MAX - 1)
    assert not peer.may_be_sent_fresh(2) and peer.may_be_sent_fresh(1) and not peer.may_be_sent_fresh(1)


def test_it_counts_as_fresh() -> None:
    bench = Bench()
    context = bench.core.context(ONE)
    payments = bench.payments(3)
    verified = verify_frame(encode_frame(bench.node.spec.hash, fresh(*payments)), context)
    assert verified == VerifiedFresh(tuple(payments))
    bench.core.handle(MessageReceived(ONE, verified), NOW)
    peer = bench.core.peers[ONE]
    assert (peer.left(Fresh), peer.left(Transactions)) == (ALLOWANCES[Fresh] - 3, ALLOWANCES[Transactions])
