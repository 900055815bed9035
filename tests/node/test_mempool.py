"""The pool: what is ready, what a forger takes, what is refused or replaced, and how much it holds."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import InvalidTransaction
from blockchain.ledger.records import account_of
from blockchain.ledger.state import Overlay
from blockchain.node import mempool, readiness
from blockchain.node.mempool import (
    GIVEN_UP_MAX,
    NONCE_GAP_MAX,
    SMALL_STEPS_MAX,
    WAIT_CHECK_MS,
    WAIT_MAX_MS,
    Mempool,
)
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.transaction import (
    Exchange,
    Payload,
    Resume,
    Stake,
    Transaction,
    Transfer,
    Unstake,
    VerifiedTransaction,
)
from blockchain.seams import Stage, TransactionStory
from tests.ledger.one_ledger import Chain, rotating, staking
from tests.samples import address, deterministic, spec_of

NOW = 5_000
ADDRESSES = {name: address(name) for name in ("a", "b", "c", "d", "mint", "new")}
made: dict[Transaction, VerifiedTransaction] = {}


def verified(sender: str, nonce: int, payload: Payload, fee: int = 0, expiry: int | None = None) -> VerifiedTransaction:
    """As verification hands it over; the pool never looks at signatures, so that an id and some bytes will do."""
    transaction = Transaction(1, ADDRESSES[sender], nonce, fee, expiry, payload, NO_SIGNATURE)
    new_id = Hash32((len(made) + 1).to_bytes(32, "big"))
    return made.setdefault(transaction, VerifiedTransaction(new_id, bytes(200), transaction))


def pay(sender: str, nonce: int, amount: int = 1, to: str = "d", **rest: Any) -> VerifiedTransaction:
    return verified(sender, nonce, Transfer(ADDRESSES[to], amount), **rest)


class End(NamedTuple):
    """How a transaction left the pool."""

    id: Hash32
    code: str
    time_ms: int
    why: str


def end_of(told: TransactionStory) -> End:
    last = told.stages[-1]
    assert told.stages[0].name == "received" and last.name in ("refused", "replaced", "evicted", "expired")
    return End(told.id, last.code, last.time_ms, last.why)


class Bench:
    """A pool on a state of its own, and blocks that move the state on."""

    def __init__(self, **parameters: Any) -> None:
        self.chain = Chain(spec_of(parameters=parameters))
        self.ledger, self.final = self.chain.ledger, self.chain.final
        self.height = 1
        self.pool = Mempool(self.ledger, Overlay(self.final), self.height)

    def add(self, *transactions: VerifiedTransaction, now: int = NOW, must_apply: bool = False) -> End | None:
        """Adds all; returns what the last one replaced, or made go."""
        gone: list[TransactionStory] = []
        for transaction in transactions:
            gone = self.pool.add(transaction, now, must_apply=must_apply)
        assert len(gone) <= 1
        return end_of(gone[0]) if gone else None

    def refuses(self, transaction: VerifiedTransaction, *, must_apply: bool = False) -> str:
        before = list(self.pool), self.pool.ready_count, self.pool.bytes
        with pytest.raises(InvalidTransaction) as caught:
            self.pool.add(transaction, NOW, must_apply=must_apply)
        assert (list(self.pool), self.pool.ready_count, self.pool.bytes) == before
        return caught.value.code

    def select(self, count: int = 100, size: int = 10**6) -> list[VerifiedTransaction]:
        state = Overlay(self.final)
        chosen = self.pool.select(state, count, size)
        self.check_applied(state, chosen)
        return chosen

    def select_ready(self, count: int = 100, size: int = 10**6) -> list[VerifiedTransaction]:
        state = Overlay(self.final)
        chosen = self.pool.select_ready(state, count, size)
        self.check_applied(state, chosen)
        return chosen

    def check_applied(self, state: Overlay, chosen: list[VerifiedTransaction]) -> None:
        again = Overlay(self.final)
        for each in chosen:
            self.ledger.apply(again, each.transaction, self.height)
        assert again.changes() == state.changes()

    def block(self, *transactions: VerifiedTransaction, **ending: Any) -> list[End]:
        """These become final, from the pool or from elsewhere; `ending` is what `Chain.block` takes."""
        settlement = self.chain.block(*(each.transaction for each in transactions), **ending)
        self.height += 1
        told = self.pool.on_block(Overlay(self.final), self.height, transactions, settlement, NOW)
        return [end_of(one) for one in told]


# ------------------------------------------------------------------------------------------------ what is ready


def test_what_applies_now_is_ready() -> None:
    bench = Bench()
    bench.add(pay("a", 0), pay("a", 1), pay("b", 0))
    assert (len(bench.pool), bench.pool.ready_count, bench.pool.bytes) == (3, 3, 600)
    assert list(bench.pool) == [pay("a", 0), pay("a", 1), pay("b", 0)]
    assert bench.pool.get(pay("a", 1).id) == pay("a", 1)
    assert bench.pool.get(pay("a", 7).id) is None


def test_a_gap_waits_and_what_fills_it_makes_all_ready() -> None:
    bench = Bench()
    bench.add(pay("a", 2), pay("a", 1))
    assert (len(bench.pool), bench.pool.ready_count, bench.select()) == (2, 0, [])
    bench.add(pay("a", 0))
    assert bench.pool.ready_count == 3
    assert bench.select() == [pay("a", 0), pay("a", 1), pay("a", 2)]


def test_money_that_comes_makes_ready_what_waited_for_it() -> None:
    bench = Bench()
    bench.add(pay("c", 1, 10, fee=9), pay("c", 0, 500, fee=9))
    assert bench.pool.ready_count == 0
    bench.add(pay("a", 0, 600, to="c"))
    assert bench.pool.ready_count == 3
    assert bench.select() == [pay("a", 0, 600, to="c"), pay("c", 0, 500, fee=9), pay("c", 1, 10, fee=9)]


def test_money_through_many_hands_in_any_order_of_arrival() -> None:
    bench = Bench()
    bench.add(pay("c", 0, 700, to="new"), pay("new", 0, 700, to="d"), pay("d", 0, 700, to="b"))
    assert bench.pool.ready_count == 0
    bench.add(pay("a", 0, 700, to="c"))
    assert bench.pool.ready_count == 4 == len(bench.select())


def test_what_can_never_be_paid_blocks_only_its_sender() -> None:
    bench = Bench()
    bench.add(pay("a", 0, 5_000), pay("a", 1), pay("b", 0))
    assert bench.pool.ready_count == 1 and bench.select() == [pay("b", 0)]


def test_who_spends_on_has_money_in_the_order_of_arrival_only_once() -> None:
    bench = Bench()
    bench.add(pay("a", 0, 600), pay("a", 1, 600))
    assert bench.pool.ready_count == 1


def test_the_next_nonce_counts_the_pool() -> None:
    bench = Bench()
    assert bench.pool.next_nonce(ADDRESSES["a"]) == 0
    bench.add(pay("a", 0), pay("a", 1), pay("a", 3))
    assert bench.pool.next_nonce(ADDRESSES["a"]) == 2
    bench.block(pay("a", 0))
    assert bench.pool.next_nonce(ADDRESSES["a"]) == 2
    assert bench.pool.next_nonce(ADDRESSES["new"]) == 0


def test_the_oldest_ready_is_the_one_that_waited_longest() -> None:
    bench = Bench()
    assert bench.pool.oldest_ready_ms is None
    bench.add(pay("a", 1), now=1_000)
    assert bench.pool.oldest_ready_ms is None
    bench.add(pay("b", 0), now=2_000)
    assert bench.pool.oldest_ready_ms == 2_000
    bench.add(pay("a", 0), now=3_000)
    assert bench.pool.oldest_ready_ms == 1_000


# ------------------------------------------------------------------------------------------------ refusals


def test_a_clients_transaction_must_apply_and_a_peers_may_wait() -> None:
    poor = pay("new", 0)
    assert Bench().refuses(poor, must_apply=True) == "insufficient_balance"
    bench = Bench()
    bench.add(poor)
    assert len(bench.pool) == 1 and bench.pool.ready_count == 0


def test_a_clients_transaction_counts_what_is_ready_before_it() -> None:
    bench = Bench()
    bench.add(pay("a", 0, 900), must_apply=True)
    assert bench.refuses(pay("a", 1, 900), must_apply=True) == "insufficient_balance"
    bench.add(pay("a", 1, 100), must_apply=True)
    bench.add(pay("a", 9, 100), must_apply=True)
    assert bench.pool.ready_count == 2


@pytest.mark.parametrize("must_apply", [True, False])
def test_what_can_never_apply_is_refused_from_anybody(must_apply: bool) -> None:
    bench = Bench()
    bench.block(pay("a", 0))
    assert bench.refuses(pay("a", 0, 2), must_apply=must_apply) == "nonce_used"
    assert bench.refuses(pay("a", 1, expiry=1), must_apply=must_apply) == "expired"
    assert bench.refuses(verified("a", 1, Exchange(ADDRESSES["a"], 1)), must_apply=must_apply) == "not_issuer"
    assert bench.refuses(pay("a", 2 + NONCE_GAP_MAX), must_apply=must_apply) == "nonce_gap"
    bench.add(pay("a", 1 + NONCE_GAP_MAX), pay("a", 1, expiry=2))


def test_limits_of_count_and_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "SENDER_TRANSACTIONS_MAX", 2)
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 3)
    bench = Bench()
    bench.add(pay("a", 0), pay("a", 1))
    assert bench.refuses(pay("a", 2)) == "sender_full"
    bench.add(pay("b", 0))
    assert bench.refuses(pay("b", 1)) == "pool_full"
    assert bench.refuses(pay("mint", 0)) == "pool_full"
    bench.add(pay("a", 1, fee=1))
    bench.block(pay("a", 0))
    bench.add(pay("b", 1))
    assert len(bench.pool) == 3


def test_in_a_full_pool_what_applies_takes_the_place_of_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts without money could fill it otherwise, and it would stay full for ever."""
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 3)
    bench = Bench()
    older, newer = pay("new", 0), pay("c", 0)
    bench.add(pay("a", 0), older, newer)
    for waits in (pay("mint", 0), pay("b", 1), pay("new", 1)):
        assert bench.refuses(waits) == "pool_full"
    gone = bench.add(pay("b", 0), must_apply=True)
    assert gone is not None and (gone.id, gone.code, gone.time_ms) == (newer.id, "evicted", NOW)
    bench.pool.protected |= {older.id}
    assert bench.refuses(pay("b", 1), must_apply=True) == "pool_full"
    bench.pool.protected = frozenset()
    gone = bench.add(pay("b", 1))
    assert gone is not None and gone.id == older.id
    assert list(bench.pool) == [pay("a", 0), pay("b", 0), pay("b", 1)] and bench.pool.ready_count == 3
    assert bench.refuses(pay("b", 2)) == "pool_full"


def test_limit_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "BYTES_MAX", 599)
    bench = Bench()
    bench.add(pay("a", 0), pay("a", 1))
    assert bench.refuses(pay("a", 2)) == "pool_full"
    bench = Bench()
    bench.add(pay("new", 0), pay("a", 0))
    long = pay("a", 1, 77)
    assert bench.refuses(VerifiedTransaction(long.id, bytes(400), long.transaction)) == "pool_full"
    assert bench.add(long) is not None


# ------------------------------------------------------------------------------------------------ replacement


@pytest.mark.parametrize("fee, least", [(0, 1), (1, 2), (9, 10), (10, 11), (19, 20), (20, 22), (100, 110), (199, 218)])
def test_a_replacement_pays_a_tenth_more_and_at_least_one(fee: int, least: int) -> None:
    bench = Bench()
    old, cheap, new = pay("a", 0, fee=fee), pay("a", 0, 2, fee=least - 1), pay("a", 0, 2, fee=least)
    bench.add(old)
    assert bench.refuses(cheap, must_apply=True) == "replacement_underpriced"
    replaced = bench.add(new)
    assert replaced is not None and (replaced.id, replaced.code, replaced.time_ms) == (old.id, "replaced", NOW)
    assert new.id.hex() in replaced.why
    assert list(bench.pool) == [new] and bench.pool.bytes == 200 and bench.pool.ready_count == 1


def test_a_replacement_may_make_others_wait_and_ready_again() -> None:
    bench = Bench()
    bench.add(pay("a", 0, 500, to="c"), pay("c", 0, 500), pay("a", 1))
    bench.add(pay("a", 0, 10, to="c", fee=1))
    assert bench.pool.ready_count == 2
    bench.add(pay("a", 0, 600, to="c", fee=2))
    assert bench.pool.ready_count == 3


def test_a_replacement_of_what_waits_is_ready_when_it_applies() -> None:
    bench = Bench()
    bench.add(pay("a", 1), pay("a", 0, 5_000), pay("b", 0))
    bench.add(pay("a", 0, 5, fee=1))
    assert bench.pool.ready_count == 3
    assert bench.select_ready() == [pay("b", 0), pay("a", 0, 5, fee=1), pay("a", 1)]


def test_replacing_what_waits_does_not_go_through_the_whole_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else somebody without money makes every node apply its whole pool, once for each replacement."""
    bench = Bench()
    bench.add(*(pay("a", nonce) for nonce in range(50)))
    bench.add(pay("new", 0))
    applied: list[Transaction] = []
    apply = bench.ledger.apply

    def counted(state: Any, transaction: Transaction, height: int) -> Any:
        applied.append(transaction)
        return apply(state, transaction, height)

    monkeypatch.setattr(bench.ledger, "apply", counted)
    bench.add(pay("new", 0, fee=1))
    assert len(applied) <= 2


def test_what_stands_in_a_proposed_block_is_not_replaced() -> None:
    bench = Bench()
    old, new = pay("a", 0), pay("a", 0, fee=9)
    bench.add(old)
    bench.pool.protected |= {old.id}
    assert bench.refuses(new) == "replacement_too_late"
    bench.block()
    bench.add(new)
    assert list(bench.pool) == [new]


def test_a_clients_replacement_must_apply_in_the_place_of_the_old_one() -> None:
    bench = Bench()
    bench.add(pay("a", 0, 100), pay("a", 1, 100), pay("b", 0, 500, to="a"))
    assert bench.refuses(pay("a", 0, 1_600, fee=1), must_apply=True) == "insufficient_balance"
    bench.add(pay("a", 0, 1_399, fee=1), must_apply=True)
    assert bench.pool.ready_count == 3
    assert bench.refuses(pay("a", 1, 101, fee=1), must_apply=True) == "insufficient_balance"


def test_a_clients_replacement_of_what_waits_must_apply_too() -> None:
    bench = Bench()
    bench.add(pay("new", 0, 5))
    assert bench.refuses(pay("new", 0, 6, fee=1), must_apply=True) == "insufficient_balance"


def test_of_what_peers_bring_the_higher_fee_stays_and_of_equal_fees_the_lower_id() -> None:
    bench = Bench()
    lower, higher, dearer = pay("a", 0, 7, fee=100), pay("a", 0, 8, fee=100), pay("a", 0, 9, fee=101)
    assert lower.id < higher.id < dearer.id
    bench.add(higher)
    assert bench.refuses(lower, must_apply=True) == "replacement_underpriced"
    assert bench.add(lower) is not None and bench.refuses(higher) == "replacement_underpriced"
    assert bench.add(dearer) is not None
    assert bench.refuses(lower) == "replacement_underpriced"


def test_small_steps_in_one_place_are_few() -> None:
    bench = Bench()
    bench.add(pay("a", 0, fee=100))
    for step in range(SMALL_STEPS_MAX):
        assert bench.add(pay("a", 0, fee=101 + step)) is not None
    assert bench.refuses(pay("a", 0, fee=102 + SMALL_STEPS_MAX)) == "replacement_underpriced"
    assert bench.add(pay("a", 0, fee=200)) is not None
    assert bench.refuses(pay("a", 0, fee=201)) == "replacement_underpriced"


@settings(deterministic, max_examples=60)
@given(st.permutations([pay("a", 0, amount, fee=fee) for amount in (3, 4) for fee in (0, 1, 10, 11)]), st.data())
def test_pools_that_hear_the_same_in_any_order_come_to_hold_the_same(
    heard: list[VerifiedTransaction], data: st.DataObject
) -> None:
    held = []
    for order in (heard, data.draw(st.permutations(heard))):
        bench = Bench()
        for each in order:
            try:
                bench.add(each)
            except InvalidTransaction:
                continue
        held.append(list(bench.pool))
    assert held[0] == held[1] == [min((each for each in heard if each.transaction.fee == 11), key=lambda each: each.id)]


def test_replacing_what_is_ready_is_limited_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "SEARCHED_MAX", 4)
    bench = Bench()
    bench.add(pay("a", 0), pay("a", 1), pay("b", 0))
    for fee, now in ((1, 5_000), (2, 5_999)):
        bench.add(pay("a", 0, fee=fee), now=now)
        assert bench.pool.ready_count == 3
    with pytest.raises(InvalidTransaction) as caught:
        bench.add(pay("a", 0, fee=3), now=5_999)
    assert caught.value.code == "pool_busy"
    bench.add(pay("a", 0, fee=3), now=6_000)
    assert bench.pool.ready_count == 3


# ------------------------------------------------------------------------------------------------ eviction


def test_in_a_full_pool_a_higher_fee_takes_the_place_of_the_lowest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 3)
    bench = Bench()
    first, second = pay("a", 0, fee=2), pay("a", 1, fee=2)
    bench.add(first, second, pay("b", 0, fee=3))
    assert bench.refuses(pay("mint", 0, fee=9)) == "pool_full"  # it does not apply
    assert bench.refuses(pay("b", 1, fee=2), must_apply=True) == "pool_full"  # it pays no more
    bench.pool.protected = frozenset({second.id})
    gone = bench.add(pay("b", 1, fee=3), must_apply=True)
    assert gone is not None and (gone.id, gone.code) == (first.id, "evicted") and "pays more" in gone.why
    assert bench.pool.ready_count == 2 and len(bench.pool) == 3
    assert bench.refuses(pay("b", 2, fee=9)) == "pool_full"  # what waits now is protected, the rest its own sender's


def test_many_go_where_bytes_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "BYTES_MAX", 600)
    bench = Bench()
    bench.add(pay("a", 0), pay("a", 1), pay("a", 2, fee=1))
    long = pay("b", 0, 77, fee=1)
    gone = bench.pool.add(VerifiedTransaction(long.id, bytes(400), long.transaction), NOW, must_apply=True)
    assert [end_of(told).id for told in gone] == [pay("a", 1).id, pay("a", 0).id]
    assert (len(bench.pool), bench.pool.bytes, bench.pool.ready_count) == (2, 600, 1)
    longer = pay("b", 0, 78, fee=2)
    with pytest.raises(InvalidTransaction) as caught:
        bench.add(VerifiedTransaction(longer.id, bytes(401), longer.transaction))
    assert caught.value.code == "pool_full"


def test_evicting_what_is_ready_is_limited_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 2)
    monkeypatch.setattr(mempool, "SEARCHED_MAX", 1)
    bench = Bench()
    bench.add(pay("a", 0), pay("a", 1))
    bench.add(pay("b", 0, fee=1))
    assert bench.refuses(pay("b", 1, fee=1)) == "pool_busy"
    assert bench.add(pay("b", 1, fee=1), now=NOW + 1_000) is not None
    assert list(bench.pool) == [pay("b", 0, fee=1), pay("b", 1, fee=1)]


# ------------------------------------------------------------------------------------------------ stories


def stages(bench: Bench, verified: VerifiedTransaction) -> list[str]:
    return [stage.name for stage in bench.pool.story(verified.id)]


def test_a_story_begins_with_where_it_came_from() -> None:
    bench = Bench()
    bench.add(pay("a", 0), now=7, must_apply=True)
    bench.add(pay("a", 1), now=8)
    assert bench.pool.story(pay("a", 0).id) == (Stage("received", 7, why="from a client"),)
    assert bench.pool.story(pay("a", 1).id) == (Stage("received", 8, why="from a peer"),)
    assert bench.pool.story(pay("a", 2).id) == ()


def test_it_tells_what_it_waits_for_at_this_moment() -> None:
    bench = Bench()
    late = pay("c", 3)
    bench.add(late, now=7)

    def waits() -> Stage:
        return bench.pool.story(late.id)[-1]

    assert waits() == Stage("waiting", 7, code="nonce_gap", why="nonce 0 is missing")
    bench.add(pay("c", 0), now=8)
    assert waits() == Stage("waiting", 7, code="nonce_gap", why="nonce 0 waits too, and comes first")
    bench.add(pay("c", 1), pay("a", 0, 2, to="c"), now=9)
    assert waits().why == "nonce 2 is missing"
    bench.add(pay("c", 2), now=10)
    assert waits().why == "nonce 2 waits too, and comes first"
    told = bench.pool.story(pay("c", 2).id)[-1]
    assert (told.code, told.why) == ("insufficient_balance", "it needs 1; the balance is 0")
    bench.add(pay("b", 0, 9, to="c"), now=11)
    assert stages(bench, late) == ["received", "waiting"] and bench.pool.ready_count == 6


def test_what_replaces_what_was_ready_does_not_wait_where_it_applies() -> None:
    bench = Bench()
    bench.add(pay("a", 0), pay("a", 0, fee=1), pay("a", 1), pay("new", 0))
    assert stages(bench, pay("a", 0, fee=1)) == stages(bench, pay("a", 1)) == ["received"]
    bench.add(pay("a", 0, 5_000, fee=2))
    assert stages(bench, pay("a", 0, 5_000, fee=2)) == stages(bench, pay("a", 1)) == ["received", "waiting"]
    assert bench.pool.story(pay("a", 0, 5_000, fee=2).id)[-1].code == "insufficient_balance"


def test_what_is_ready_no_more_waits_again() -> None:
    bench = Bench()
    follower = pay("c", 0, 500)
    bench.add(pay("a", 0, 500, to="c"), follower)
    assert stages(bench, follower) == ["received"]
    bench.add(pay("a", 0, 1, fee=1), now=NOW + 9)
    assert bench.pool.story(follower.id)[-1].time_ms == NOW + 9
    assert bench.pool.story(follower.id)[-1].code == "insufficient_balance"


def test_the_newest_proposals_are_told_each_once() -> None:
    bench = Bench()
    bench.add(pay("a", 0))
    for round in (0, 0, 1, 2, 3, 4):
        bench.pool.note_proposed([pay("a", 0), pay("b", 0)], 1, round, NOW + round)
    told = bench.pool.story(pay("a", 0).id)
    assert [(stage.name, stage.round, stage.time_ms) for stage in told[1:]] == [
        ("proposed", round, NOW + round) for round in (1, 2, 3, 4)
    ]
    assert bench.pool.protected == {pay("a", 0).id, pay("b", 0).id}


def test_the_end_is_told_with_all_that_was_before() -> None:
    bench = Bench()
    bench.add(pay("a", 1, 5))
    bench.pool.note_proposed([pay("a", 1, 5)], 1, 0, NOW)
    bench.block()
    [told] = bench.pool.add(pay("a", 1, 6, fee=1), NOW + 1, must_apply=True)
    assert [stage.name for stage in told.stages] == ["received", "waiting", "proposed", "replaced"]


# ------------------------------------------------------------------------------------------------ given up


def test_what_waits_too_long_is_given_up_and_not_taken_from_peers_again() -> None:
    bench = Bench()
    gap, poor, ready = pay("a", 1), pay("new", 0), pay("b", 0)
    bench.add(gap, ready, now=1_000)
    bench.add(poor, now=1_001)
    assert bench.pool.give_up(1_000 + WAIT_MAX_MS - 1) == []
    at = 1_000 + WAIT_MAX_MS - 1 + WAIT_CHECK_MS
    told = bench.pool.give_up(at)
    assert [(each.id, each.stages[-1].name, each.stages[-1].code) for each in told] == [
        (gap.id, "expired", "waited_too_long"),
        (poor.id, "expired", "waited_too_long"),
    ]
    assert told[0].stages[-1].why == "it waited for 3600 s: nonce 0 is missing (nonce_gap)"
    assert list(bench.pool) == [ready]
    assert bench.refuses(gap) == "waited_too_long"
    bench.add(pay("a", 0), now=at)
    bench.add(gap, now=at)  # it applies now
    assert bench.pool.ready_count == 3


def test_a_client_may_hand_in_again_what_was_given_up() -> None:
    bench = Bench()
    bench.add(pay("a", 1), now=1_000)
    assert len(bench.pool.give_up(1_000 + WAIT_MAX_MS)) == 1
    bench.add(pay("a", 1), now=1_000 + WAIT_MAX_MS, must_apply=True)
    assert bench.pool.give_up(1_000 + 2 * WAIT_MAX_MS - 1) == []


def test_the_waiting_is_counted_over_a_restart() -> None:
    bench, again = Bench(), Bench()
    bench.add(pay("a", 1), now=1_000)
    again.pool.add(pay("a", 1), 9_000, must_apply=False, story=bench.pool.story(pay("a", 1).id))
    assert stages(again, pay("a", 1)) == ["received", "waiting"]
    assert again.pool.give_up(WAIT_MAX_MS) == []
    assert len(again.pool.give_up(WAIT_MAX_MS + WAIT_CHECK_MS)) == 1


def test_what_stands_in_a_proposed_block_is_not_given_up() -> None:
    bench = Bench()
    bench.add(pay("a", 1), now=0)
    bench.pool.protect([pay("a", 1)])
    assert bench.pool.give_up(2 * WAIT_MAX_MS) == []


def test_what_was_given_up_is_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "GIVEN_UP_MAX", 1)
    bench = Bench()
    bench.add(pay("a", 1), pay("b", 1), now=0)
    assert len(bench.pool.give_up(WAIT_MAX_MS)) == 2 and GIVEN_UP_MAX > 1
    bench.add(pay("a", 1))
    assert bench.refuses(pay("b", 1)) == "waited_too_long"


# ------------------------------------------------------------------------------------------------ a new block


def test_what_became_final_is_gone() -> None:
    bench = Bench()
    bench.add(pay("a", 0), pay("a", 1), pay("b", 0))
    assert bench.block(pay("a", 0), pay("b", 0)) == []
    assert list(bench.pool) == [pay("a", 1)]
    assert (bench.pool.bytes, bench.pool.ready_count) == (200, 1)


def test_what_lost_its_nonce_is_refused_with_a_reason() -> None:
    bench = Bench()
    bench.add(pay("a", 0), pay("a", 1))
    [refused] = bench.block(pay("a", 0, 7))
    assert (refused.id, refused.code, refused.time_ms) == (pay("a", 0).id, "nonce_used", NOW)
    assert bench.select() == [pay("a", 1)]


def test_what_expired_is_refused_with_a_reason() -> None:
    bench = Bench()
    last, later = pay("a", 0, expiry=1), pay("b", 0, expiry=2)
    bench.add(last, later)
    [refused] = bench.block()
    assert (refused.id, refused.code) == (last.id, "expired")
    assert list(bench.pool) == [later]
    assert [each.code for each in bench.block()] == ["expired"]
    assert (len(bench.pool), bench.pool.bytes) == (0, 0)


def test_what_no_longer_applies_waits() -> None:
    bench = Bench()
    bench.add(pay("a", 1, 900))
    bench.block(pay("a", 0, 500))
    assert (len(bench.pool), bench.pool.ready_count) == (1, 0)
    bench.block(pay("b", 0, 500, to="a"))
    assert bench.pool.ready_count == 1


def test_what_the_end_of_a_block_pays_makes_ready_what_waited_for_it() -> None:
    bench = Bench(reward_per_block=1_000)
    bench.block(pay("a", 0))
    bench.add(pay("new", 0, 300), pay("new", 1), *(pay("a", nonce) for nonce in (1, 2, 3)))
    assert bench.pool.ready_count == 3
    bench.block(pay("a", 1), forger="new")
    assert bench.pool.ready_count == 3  # 300 earned: the first, and not the second
    bench.block(pay("a", 2), forger="new")
    assert bench.pool.ready_count == 3 == len(bench.select()) == len(bench.select_ready())


def test_what_a_block_mints_may_leave_no_room_for_one_that_mints() -> None:
    bench = Bench(reward_per_block=1_000, supply_max=4_000)
    bench.add(verified("mint", 0, Exchange(ADDRESSES["a"], 1_500)), pay("a", 0), pay("a", 1))
    assert bench.pool.ready_count == 3
    bench.block(pay("a", 0))
    assert bench.pool.ready_count == 1 == len(bench.select_ready())


def test_what_stakes_is_tried_again_at_each_height() -> None:
    bench = Bench(unbonding_blocks=1, unbonding_ms=1)
    bench.block(verified("a", 0, Stake(50)))
    bench.add(verified("a", 1, rotating("new")), pay("b", 0))
    assert bench.pool.ready_count == 1  # the first key does not count yet
    for _ in range(7):
        bench.block()
    assert bench.pool.ready_count == 1
    bench.block()
    assert bench.pool.ready_count == 2 == len(bench.select_ready())


def test_stakes_that_wait_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accounts without money may fill the pool with them; a block must not cost more for each."""
    monkeypatch.setattr(readiness, "TRIED_MAX", 2)
    bench = Bench()
    bench.add(*(verified(name, 0, Resume()) for name in ("a", "b", "c")), verified("new", 0, Stake(10)))
    tried: list[bytes] = []
    apply = bench.ledger.apply

    def counted(state: Any, transaction: Transaction, height: int) -> Any:
        tried.append(transaction.sender)
        return apply(state, transaction, height)

    monkeypatch.setattr(bench.ledger, "apply", counted)
    bench.block()
    assert set(tried) == {ADDRESSES["a"], ADDRESSES["b"]}
    bench.block()
    assert set(tried[2:]) == {ADDRESSES["c"], ADDRESSES["new"]}
    bench.block()
    assert set(tried[4:]) == {ADDRESSES["a"], ADDRESSES["b"]}


def test_a_transaction_of_the_block_that_was_never_here_is_no_matter() -> None:
    bench = Bench()
    assert bench.block(pay("a", 0)) == []


def test_a_block_of_what_was_ready_does_not_go_through_the_whole_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.add(*(pay("a", nonce) for nonce in range(20)), *(pay("new", nonce) for nonce in range(20)))
    stake = verified("c", 0, Stake(1))
    bench.add(pay("b", 1, expiry=1), stake)
    applied: list[Transaction] = []
    apply = bench.ledger.apply

    def counted(state: Any, transaction: Transaction, height: int) -> Any:
        applied.append(transaction)
        return apply(state, transaction, height)

    monkeypatch.setattr(bench.ledger, "apply", counted)
    chosen = bench.select(count=2)
    applied.clear()
    assert [end.code for end in bench.block(*chosen)] == ["expired"]
    assert applied[:2] == [each.transaction for each in chosen]  # by the block itself
    assert applied[2:] == [stake.transaction]  # the height alone may make it ready
    assert bench.pool.ready_count == 18
    bench.add(pay("a", 20), must_apply=True)
    assert bench.pool.ready_count == 19 == len(bench.select_ready())


def test_a_stake_in_a_block_may_make_another_wait() -> None:
    """Of two that name one key the first in the block keeps it, and the other is too late."""
    bench = Bench()
    early, owner = verified("a", 0, staking(1, "b")), verified("b", 0, Stake(1), fee=9)
    bench.add(early, owner, pay("a", 1))
    assert bench.pool.ready_count == 2
    bench.block(owner)
    assert bench.pool.ready_count == 0 and bench.select_ready() == []
    assert bench.pool.story(early.id)[-1].code == "validator_key_used"


@pytest.mark.parametrize("settled_max", [0, 2, 10_000])
def test_the_scratch_state_is_made_anew_now_and_then(monkeypatch: pytest.MonkeyPatch, settled_max: int) -> None:
    monkeypatch.setattr(readiness, "SETTLED_MAX", settled_max)
    bench = Bench()
    for nonce in range(0, 12, 3):
        bench.add(pay("a", nonce), pay("a", nonce + 1), pay("a", nonce + 2), pay("new", 0, fee=nonce))
        bench.block(*bench.select(count=2))
        bench.block(pay("a", nonce + 2))
        assert bench.pool.ready_count == 0 and len(bench.pool) == 1


# ------------------------------------------------------------------------------------------------ forging


def test_a_forger_takes_by_fee_then_arrival_with_nonces_in_order() -> None:
    bench = Bench()
    bench.add(pay("a", 0, fee=1), pay("a", 1, fee=50), pay("b", 0, fee=5))
    assert bench.select() == [pay("b", 0, fee=5), pay("a", 0, fee=1), pay("a", 1, fee=50)]


def test_equal_fees_go_by_arrival() -> None:
    bench = Bench()
    bench.add(pay("b", 0), pay("a", 0), pay("b", 1), pay("a", 1))
    assert bench.select() == [pay("b", 0), pay("a", 0), pay("b", 1), pay("a", 1)]
    assert bench.select(count=3) == [pay("b", 0), pay("a", 0), pay("b", 1)]


def test_a_block_takes_no_more_than_its_count_and_bytes() -> None:
    bench = Bench()
    bench.add(*(pay("a", nonce) for nonce in range(5)))
    assert len(bench.select(count=3)) == len(bench.select_ready(count=3)) == 3
    assert len(bench.select(size=799)) == len(bench.select_ready(size=799)) == 3
    assert bench.select(count=0) == [] == bench.select_ready(count=0)


def test_selecting_changes_nothing() -> None:
    bench = Bench()
    bench.add(pay("a", 0), pay("b", 0))
    assert bench.select() == bench.select()
    assert len(bench.pool) == 2 and account_of(Overlay(bench.final), ADDRESSES["d"]).balance == 0


def test_by_fee_may_be_fewer_than_by_arrival() -> None:
    """Two accounts stake with one key: whoever is first keeps it, and what the other sends next falls away."""
    bench = Bench()
    first, rich = verified("a", 0, staking(1, "votes")), verified("b", 0, staking(1, "votes"), fee=9)
    bench.add(first, pay("a", 1), pay("a", 2), rich)
    assert bench.pool.ready_count == 3
    assert bench.select() == [rich]
    assert bench.select_ready() == [first, pay("a", 1), pay("a", 2)]


# ------------------------------------------------------------------------------------------------ properties

NAMES = st.sampled_from(["a", "b", "c", "mint", "new"])
PAYLOADS: st.SearchStrategy[Payload] = st.one_of(
    st.builds(Transfer, NAMES.map(ADDRESSES.__getitem__), st.sampled_from([1, 300, 900, 1_500])),
    st.builds(Exchange, NAMES.map(ADDRESSES.__getitem__), st.sampled_from([1, 700])),
    st.builds(Stake, st.sampled_from([1, 600])),
    st.builds(Unstake, st.sampled_from([1, 600])),
)
ADDITIONS = st.tuples(NAMES, st.integers(0, 4), PAYLOADS, st.sampled_from([0, 0, 1, 5]), st.sampled_from([None, 1, 3]))
STEPS = st.lists(st.one_of(ADDITIONS, st.just("block"), st.just("others")), max_size=40)


@settings(deterministic, max_examples=200)
@given(STEPS)
def test_the_pool_keeps_its_books_whatever_comes(steps: list[Any]) -> None:
    keep_books(Bench(), steps)


@settings(deterministic, max_examples=100)
@given(STEPS, st.sampled_from([2_100, 5_000]))
def test_the_pool_keeps_its_books_where_blocks_pay(steps: list[Any], supply_max: int) -> None:
    """Its forgers earn, and what they sent before they had money becomes ready; at last there is nothing to mint."""
    keep_books(Bench(reward_per_block=700, supply_max=supply_max, unbonding_blocks=1, unbonding_ms=1), steps)


def keep_books(bench: Bench, steps: list[Any]) -> None:
    for step in steps:
        if step == "block":
            bench.block(*bench.select(count=2), forger="new" if bench.height % 2 else "c")
        elif step == "others":
            nonce = bench.ledger.next_nonce(Overlay(bench.final), ADDRESSES["b"])
            balance = account_of(Overlay(bench.final), ADDRESSES["b"]).balance
            bench.block(*([pay("b", nonce, 1, to="new", fee=1)] if balance > 1 else []))
        else:
            sender, nonce, payload, fee, expiry = step
            try:
                bench.add(verified(sender, nonce, payload, fee=fee, expiry=expiry))
            except InvalidTransaction:
                continue
        check_books(bench)


class Accounts:
    """What was acknowledged and has not ended, kept beside a pool of four, whatever happens to it."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.now = NOW
        self.held: set[Hash32] = set()

    def add(self, each: VerifiedTransaction, *, must_apply: bool) -> None:
        before = self.held | {each.id}
        if each.id in self.held:
            return  # admission lets no transaction in twice
        try:
            gone = self.bench.pool.add(each, self.now, must_apply=must_apply)
        except InvalidTransaction:
            return
        self.held = before
        self.end(gone)

    def end(self, gone: list[TransactionStory]) -> None:
        ids = [end_of(told).id for told in gone]
        assert len(ids) == len(set(ids)) and set(ids) <= self.held
        assert not set(ids) & self.bench.pool.protected
        self.held -= set(ids)

    def block(self) -> None:
        chosen = self.bench.select(count=2)
        self.bench.pool.protected = frozenset()
        self.held -= {each.id for each in chosen}
        self.held -= {end.id for end in self.bench.block(*chosen)}

    def wait(self) -> None:
        self.now += WAIT_MAX_MS
        self.end(self.bench.pool.give_up(self.now))

    def check(self) -> None:
        pool = self.bench.pool
        assert {each.id for each in pool} == self.held
        assert len(self.held) <= 4 and pool.bytes == 200 * len(self.held)
        assert all(pool.story(each)[0].name == "received" for each in self.held)
        assert pool.ready_count == len(self.bench.select_ready())


@settings(deterministic, max_examples=100)
@given(
    st.lists(st.one_of(st.tuples(ADDITIONS, st.booleans()), st.sampled_from(["block", "protect", "wait"])), max_size=40)
)
def test_nothing_vanishes_and_no_limit_is_passed(steps: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mempool, "TRANSACTIONS_MAX", 4)
        accounts = Accounts()
        for step in steps:
            match step:
                case "block":
                    accounts.block()
                case "wait":
                    accounts.wait()
                case "protect":
                    accounts.bench.pool.protect(list(accounts.bench.pool)[-1:])
                case ((sender, nonce, payload, fee, expiry), must_apply):
                    accounts.add(verified(sender, nonce, payload, fee=fee, expiry=expiry), must_apply=must_apply)
            accounts.check()


def check_books(bench: Bench) -> None:
    pool = bench.pool
    held = list(pool)
    places = [(each.transaction.sender, each.transaction.nonce) for each in held]
    assert len(pool) == len(held) == len(set(places)) and pool.bytes == sum(len(each.raw) for each in held)
    for sender in ADDRESSES.values():
        final = bench.ledger.next_nonce(Overlay(bench.final), sender)
        assert all(nonce >= final for owner, nonce in places if owner == sender)
    fresh = Mempool(bench.ledger, Overlay(bench.final), bench.height)
    for each in held:
        fresh.add(each, NOW, must_apply=False)
    assert fresh.ready_count == pool.ready_count == len(bench.select_ready()) == len(bench.select())
    check_nothing_is_left(bench, held)


def check_nothing_is_left(bench: Bench, held: list[VerifiedTransaction]) -> None:
    """After what was selected, no other transaction of the pool applies: the selection was maximal."""
    state = Overlay(bench.final)
    chosen = bench.pool.select(state, 10**6, 10**9)
    for each in held:
        if each not in chosen:
            with pytest.raises(InvalidTransaction):
                bench.ledger.apply(state.child(), each.transaction, bench.height)
