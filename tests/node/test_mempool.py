"""The pool: what is ready, what a forger takes, what is refused or given up, and what a new block makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from blockchain.ledger.records import account_of
from blockchain.ledger.state import Overlay
from blockchain.node import mempool, readiness
from blockchain.node.mempool import GIVEN_UP_MAX, NONCE_GAP_MAX, WAIT_CHECK_MS, WAIT_MAX_MS
from blockchain.primitives.records import account_key
from blockchain.primitives.transaction import Exchange, Resume, Stake, Transaction, VerifiedTransaction
from blockchain.seams import Stage
from tests.ledger.one_ledger import rotating, staking
from tests.node.pool_bench import ADDRESSES, NOW, Bench, applied_by, pay, verified

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


def test_what_came_in_together_has_one_story_as_long_as_the_same_happens_to_it() -> None:
    """The store tells stories apart by identity, and writes each once."""
    bench = Bench()
    together, apart = (pay("a", 0), pay("b", 0)), pay("c", 0)
    bench.add(*together)
    bench.add(apart, now=NOW + 1)
    bench.pool.note_proposed([*together, apart], 1, 0, NOW)
    stories = [bench.pool.story(one.id) for one in (*together, apart)]
    assert stories[0] is stories[1] and [stage.name for stage in stories[0]] == ["received", "proposed"]
    assert stories[2][0].time_ms == NOW + 1


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
    apply = bench.ledger.apply_but_fee

    def counted(state: Any, transaction: Transaction, height: int) -> Any:
        tried.append(transaction.sender)
        return apply(state, transaction, height)

    monkeypatch.setattr(bench.ledger, "apply_but_fee", counted)
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
    applied = applied_by(bench, monkeypatch)
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


def test_the_scratch_state_holds_no_more_than_what_is_ready_touches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it grows with every account that was ever paid."""
    dropped: list[bytes] = []
    drop = Overlay.drop

    def noted(state: Overlay, key: bytes) -> None:
        dropped.append(key)
        drop(state, key)

    monkeypatch.setattr(Overlay, "drop", noted)
    bench = Bench()
    bench.add(pay("a", 0, to="c"), pay("a", 1, to="d"), pay("b", 0, to="new"))
    bench.block(pay("a", 0, to="c"), pay("b", 0, to="new"))
    assert set(dropped) == {account_key(ADDRESSES[name]) for name in ("b", "c", "new")}
    dropped.clear()
    bench.block(pay("a", 1, to="d"))
    assert set(dropped) == {account_key(ADDRESSES[name]) for name in ("a", "d")}
    bench.add(pay("d", 0), pay("c", 0))
    assert bench.pool.ready_count == 2 == len(bench.select_ready())


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


def test_a_forger_does_not_go_through_all_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting costs nobody anything; but what stakes may win by its fee over one that is ready."""
    monkeypatch.setattr(readiness, "TRIED_MAX", 1)
    bench = Bench()
    winner = verified("a", 0, staking(1, "key"), fee=9)
    bench.add(verified("b", 0, staking(1, "key")), winner)
    bench.add(pay("d", 0), pay("c", 0), verified("mint", 0, Resume()))
    tried: list[bytes] = []
    apply = bench.ledger.apply_but_fee

    def counted(state: Any, transaction: Transaction, height: int) -> Any:
        tried.append(transaction.sender)
        return apply(state, transaction, height)

    assert bench.pool.ready_count == 1
    monkeypatch.setattr(bench.ledger, "apply_but_fee", counted)
    assert bench.pool.select(Overlay(bench.final), 100, 10**6) == [winner]
    assert tried == [ADDRESSES["a"], ADDRESSES["b"]]


def test_by_fee_may_be_fewer_than_by_arrival() -> None:
    """Two accounts stake with one key: whoever is first keeps it, and what the other sends next falls away."""
    bench = Bench()
    first, rich = verified("a", 0, staking(1, "votes")), verified("b", 0, staking(1, "votes"), fee=9)
    bench.add(first, pay("a", 1), pay("a", 2), rich)
    assert bench.pool.ready_count == 3
    assert bench.select() == [rich]
    assert bench.select_ready() == [first, pay("a", 1), pay("a", 2)]
