"""What third parties, clocks and restarts try against the pool of a node, and against those who relay to it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from blockchain.node import mempool, peers
from blockchain.node.checkpoint import Checkpoint, Vouched
from blockchain.node.core import Core
from blockchain.node.inputs import MessageReceived
from blockchain.node.mempool import WAIT_MAX_MS, Mempool
from blockchain.node.messages import Have, Transactions, VerifiedAnnouncement, Want, decode_frame
from blockchain.node.wanted import WANT_TICKS
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.scalars import INTEGER_MAX
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.primitives.vote import Announcement, sign_message
from blockchain.seams import (
    Effect,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    Penalize,
    ProveVrf,
    Reply,
    Send,
    SetTimer,
    Sign,
    SigningRecord,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
    Token,
    TransactionsSubmitted,
)
from tests.node.test_attacks import NOW, PEER, Bench, chain_of
from tests.samples import address, wallet

SPEC, KEYS = chain_of(4, block_threshold=100)
TICK = TimerFired(TimerKey(TimerKind.STATUS))


def pay(sender: str, nonce: int, fee: int = 0) -> VerifiedTransaction:
    return wallet(sender, SPEC.hash).transfer(address("d"), 1, nonce, fee)


def ids_of(pool: Iterable[VerifiedTransaction]) -> set[Hash32]:
    return {each.id for each in pool}


def wants_of(effects: list[Effect], peer: PeerId) -> set[Hash32]:
    sent = [effect for effect in effects if isinstance(effect, Send) and peer in effect.peers]
    messages = [decode_frame(effect.frame).message for effect in sent]
    return {wanted for message in messages if isinstance(message, Want) for wanted in message.ids}


def test_what_went_and_came_back_in_one_submission_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes room for the first, and comes again as the third, which applies by then."""
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 3)
    node = Bench(SPEC, None)
    again = pay("b", 1)
    node.submit(again, pay("c", 5, fee=1), pay("c", 6, fee=2))
    node.effects.clear()
    node.submit(pay("a", 0), pay("b", 0), again)
    [reply] = [effect for effect in node.effects if isinstance(effect, Reply)]
    assert [result.code for result in reply.results] == ["", "", ""]
    held = ids_of(node.core.chain.pool)
    assert again.id in held
    assert {pending.id for pending in node.store.pending()} == held


def test_what_came_and_went_in_one_submission_is_not_kept() -> None:
    node = Bench(SPEC, None)
    node.submit(pay("a", 0), pay("a", 0, fee=1))
    assert [pending.id for pending in node.store.pending()] == [pay("a", 0, fee=1).id]


def test_a_restart_keeps_what_was_far_ahead_of_one_that_was_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """The replacement came last, and so is read last: until then the others seem to be further ahead than allowed."""
    monkeypatch.setattr(mempool, "NONCE_GAP_MAX", 2)
    node = Bench(SPEC, None)
    node.submit(pay("a", 0), pay("a", 1), pay("a", 2), pay("a", 5), pay("a", 0, fee=1))
    pool = node.core.chain.pool
    before = {each.id: pool.story(each.id) for each in pool}
    assert len(before) == 4 and pool.ready_count == 3
    node.start()
    pool = node.core.chain.pool
    assert {each.id: pool.story(each.id) for each in pool} == before
    assert pool.ready_count == 3


def test_who_relays_what_another_pool_replaced_is_not_to_blame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody can give two nodes two transactions with one nonce: neither of them is at fault."""
    monkeypatch.setattr(peers, "USELESS_MAX", 1)
    monkeypatch.setattr(mempool, "NONCE_GAP_MAX", 5)
    node = Bench(SPEC, None)
    node.submit(*(pay("a", nonce, fee=5) for nonce in range(3)))
    node.feed(TICK)
    relayed = [*(pay("a", nonce, fee=1) for nonce in range(3)), pay("b", 8), pay("b", 9)]
    node.receive(Have(tuple(each.id for each in relayed)))
    node.receive(Transactions(tuple(each.raw for each in relayed)))
    node.effects.clear()
    node.feed(TICK)
    assert not [effect for effect in node.effects if isinstance(effect, Penalize)]


def test_two_that_offer_by_turns_and_never_send_keep_no_transaction_away() -> None:
    node = Bench(SPEC, None)
    liars, honest = [PEER, PeerId(b"l" * 32)], PeerId(b"q" * 32)
    for peer in (liars[1], honest):
        node.feed(PeerConnected(peer, "", inbound=True))
    wanted = pay("a", 0).id
    for _ in range(10):
        for peer in (*liars, honest):
            node.feed(MessageReceived(peer, Have((wanted,))))
        node.feed(TICK)
    assert wants_of(node.effects, honest) == {wanted}


def test_a_clock_that_is_set_gives_up_nothing_that_has_just_come() -> None:
    """Nor does one that is set back keep what waits for longer."""
    core = Core(SPEC, Bench(SPEC, None).store, frozenset())
    waiting = pay("a", 1)
    for now in (NOW, NOW + 1_000):
        core.handle(Started((), 1) if now == NOW else TICK, now)
    core.chain.pool.add(waiting, NOW + 1_000, must_apply=True)
    for now in (NOW + WAIT_MAX_MS * 24, NOW - WAIT_MAX_MS * 24):
        for second in range(30):
            core.handle(TICK, now + second * 1_000)
    assert ids_of(core.chain.pool) == {waiting.id}
    for second in range(WAIT_MAX_MS // 1_000):
        core.handle(TICK, now + second * 1_000)
    assert ids_of(core.chain.pool) == set()


def test_a_clock_that_is_set_back_makes_nobody_silent() -> None:
    core = Bench(SPEC, None).core
    core.handle(PeerConnected(PEER, "", inbound=True), NOW)
    for now in (NOW, NOW - 3_600_000):
        said = sign_message(Announcement(Address(KEYS[0].public_key), 1, now), KEYS[0], SPEC.hash)
        assert isinstance(said, Announcement)
        core.handle(TICK, now)
        core.handle(MessageReceived(PEER, VerifiedAnnouncement(said)), now)
        assert list(core.announcements) == [said]


def test_what_waits_again_has_not_waited_while_it_was_ready() -> None:
    """The money for it came, stayed for hours on an idle chain, and went: it is not given up at once."""
    node = Bench(SPEC, None)
    pool = node.core.chain.pool
    waiting = pay("a", 1)
    pool.add(waiting, NOW, must_apply=True)
    pool.add(pay("a", 0), NOW + 1_000, must_apply=True)
    later = NOW + 2 * WAIT_MAX_MS
    unpaid = wallet("a", SPEC.hash).transfer(address("d"), INTEGER_MAX, 0, 1)
    pool.add(unpaid, later, must_apply=False)  # in the place of the one before, and does not apply
    assert pool.ready_count == 0
    assert pool.story(waiting.id)[-1].time_ms == later
    assert pool.give_up(later) == []
    assert {story.id for story in pool.give_up(later + WAIT_MAX_MS)} == {waiting.id, unpaid.id}


def test_who_is_given_a_checkpoint_forges_no_other_block_of_its_height() -> None:
    """It exists: a validator that is alone, or whose peers have not come yet, must not decide another one."""
    spec, [alone] = chain_of(1)
    core = Core(spec, Bench(spec, None).store, frozenset({alone.public_key}), Vouched(Checkpoint(1, Hash32(b"c" * 32))))
    core.handle(Started((SigningRecord(alone.public_key),), 1), NOW)
    payment = wallet("a", spec.hash).transfer(address("d"), 1, 0)
    effects = core.handle(TransactionsSubmitted(Token(1), (payment,)), NOW)
    for timer in [effect.key for effect in effects if isinstance(effect, SetTimer)]:
        effects += core.handle(TimerFired(timer), NOW)
    assert core.chain.pool.ready_count == 1
    assert not [effect for effect in effects if isinstance(effect, ProveVrf | Sign)]


def test_proposals_of_what_is_nowhere_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forger of a stalled height may name ten thousand others in each of its rounds."""
    monkeypatch.setattr(mempool, "PROTECTED_MAX", 3)
    pool = Bench(SPEC, None).core.chain.pool
    here = pay("a", 0)
    pool.add(here, NOW, must_apply=True)
    pool.protect([here])
    for nonce in range(10):
        pool.protect([pay("b", nonce)])
        assert len(pool.protected) <= 3 and here.id in pool.protected


def test_no_input_goes_through_the_whole_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vote must not wait until a hundred thousand transactions have been looked at."""
    looks = []

    def look(pool: Mempool) -> int:
        looks.append(len(pool))
        return NOW

    node = Bench(SPEC, None)
    node.submit(pay("a", 0))
    monkeypatch.setattr(Mempool, "oldest_ready_ms", property(look))
    for _ in range(3):
        node.feed(TICK)
    assert SPEC.parameters.block_max_wait_ms is not None and looks == []


def test_nothing_is_kept_of_peers_that_come_and_go() -> None:
    """A node id costs nothing: what each of them leaves behind would add up."""
    node = Bench(SPEC, None)
    relay = node.core.relay
    node.submit(pay("a", 0))
    for number in range(5):
        peer = PeerId(bytes([number]) * 32)
        node.feed(PeerConnected(peer, "", inbound=True))
        node.feed(MessageReceived(peer, Have((pay("a", 0).id, *(pay("b", n).id for n in range(number % 2))))))
        node.feed(TICK)
        node.feed(PeerDisconnected(peer))
    for _ in range(2 * WANT_TICKS):
        node.feed(TICK)
    assert not relay._wanted._asked and not relay._wanted._offered and set(relay._wanted._counts) <= {PEER}
