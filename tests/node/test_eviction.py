"""What makes room in the pool: a replacement that pays more, and what is evicted when it is full."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import InvalidTransaction
from blockchain.node import mempool, tried
from blockchain.node.mempool import SMALL_STEPS_MAX
from blockchain.primitives.transaction import Unstake, VerifiedTransaction
from tests.ledger.one_ledger import staking
from tests.node.pool_bench import ADDRESSES, NOW, Bench, applied_by, end_of, pay, verified
from tests.samples import deterministic

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
    applied = applied_by(bench, monkeypatch)
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
    """By what is tried anew: two here, where who is paid spends it on."""
    monkeypatch.setattr(tried, "SEARCHED_MAX", 4)
    bench = Bench()
    bench.add(pay("a", 0, to="c"), pay("c", 0), pay("b", 0))
    for fee, now in ((1, 5_000), (2, 5_999)):
        bench.add(pay("a", 0, fee=fee, to="c"), now=now)
        assert bench.pool.ready_count == 3
    with pytest.raises(InvalidTransaction) as caught:
        bench.add(pay("a", 0, fee=3, to="c"), now=5_999)
    assert caught.value.code == "pool_busy"
    bench.add(pay("a", 0, fee=3, to="c"), now=6_000)
    assert bench.pool.ready_count == 3


def test_a_replacement_that_is_refused_counts_what_was_tried_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a client could have all that lives from its money tried for nothing, again and again."""
    monkeypatch.setattr(tried, "SEARCHED_MAX", 4)
    bench = Bench()
    bench.add(pay("a", 0, to="c"), pay("c", 0))
    for _ in range(2):
        assert bench.refuses(pay("a", 0, 5_000, fee=1), must_apply=True) == "insufficient_balance"
    assert bench.refuses(pay("a", 0, 5_000, fee=1), must_apply=True) == "pool_busy"


def test_stakes_that_wait_and_are_tried_for_a_replacement_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "SEARCHED_MAX", 3)
    bench = Bench()
    bench.add(*(verified(name, 0, staking(1, "key")) for name in ("a", "b", "c")))
    bench.add(verified("a", 0, staking(2, "key"), fee=1))
    assert bench.refuses(verified("b", 0, staking(2, "key"), fee=1)) == "pool_busy"  # it has the key; two were tried


def test_replacing_goes_through_those_alone_who_depend_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.add(*(pay("a", nonce) for nonce in range(20)), *(pay("b", nonce) for nonce in range(20)))
    applied = applied_by(bench, monkeypatch)
    for must_apply in (True, False):
        bench.add(pay("a", 5, 2 + must_apply, fee=5 - must_apply), must_apply=must_apply)
        assert bench.pool.ready_count == 40 and applied == []  # its sender can pay either, and all that follows
    bench.add(pay("a", 15, 990, fee=1))
    assert {transaction.sender for transaction in applied} == {ADDRESSES["a"]} and len(applied) <= 10
    assert bench.pool.ready_count == 35


def test_when_a_stake_is_replaced_its_key_is_free_again() -> None:
    bench = Bench()
    owner, rival = verified("a", 0, staking(1, "key")), verified("b", 0, staking(1, "key"))
    bench.add(owner, rival)
    assert bench.pool.ready_count == 1
    assert bench.refuses(verified("b", 0, staking(2, "key"), fee=1), must_apply=True) == "validator_key_used"
    bench.add(pay("a", 0, fee=1), must_apply=True)
    assert bench.select_ready() == [rival, pay("a", 0, fee=1)]


def test_what_is_replaced_counts_no_more_among_those_who_left() -> None:
    """Of two validators one may leave, for a higher fee too: the other one is not the last but one before it."""
    bench = Bench()
    bench.block(verified("b", 0, staking(50, "key")))
    bench.add(verified("b", 1, Unstake(50)), must_apply=True)
    bench.add(verified("b", 1, Unstake(50), fee=1), must_apply=True)
    assert bench.select() == [verified("b", 1, Unstake(50), fee=1)]


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
    monkeypatch.setattr(tried, "SEARCHED_MAX", 1)
    bench = Bench()
    bench.add(pay("a", 0), pay("a", 1))
    bench.add(pay("b", 0, fee=1))
    assert bench.refuses(pay("b", 1, fee=1)) == "pool_busy"
    assert bench.add(pay("b", 1, fee=1), now=NOW + 1_000) is not None
    assert list(bench.pool) == [pay("b", 0, fee=1), pay("b", 1, fee=1)]
