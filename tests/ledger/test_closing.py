"""The set that a block closes: the largest, how much may come in at a time, and how much may be away."""

from __future__ import annotations

from typing import Any

import pytest

from blockchain.ledger import admission, closing
from blockchain.ledger.records import Changes, changes_at, put_stakeholder, stakeholders, totals_of, waiting_queue
from blockchain.primitives.chain import GenesisAccount, GenesisValidator
from blockchain.primitives.records import Seat
from blockchain.primitives.transaction import Pause, Resume, Stake, Unstake
from tests.ledger.one_ledger import Chain
from tests.samples import address, spec_of

DELAY = 2


def chain_of(stakes: dict[str, int], **parameters: Any) -> Chain:
    return Chain(
        spec_of(
            validators=tuple(GenesisValidator(address(name), stake) for name, stake in stakes.items()),
            accounts=tuple(GenesisAccount(address(name), 10_000) for name in "abcd"),
            parameters={"stake_delay": DELAY, "unbonding_blocks": 5, "unbonding_ms": 1, **parameters},
            demo=True,
        )
    )


def seats(chain: Chain, names: str, height: int | None = None) -> list[int]:
    """Of the newest set that is closed."""
    at = chain.head + 1 + DELAY if height is None else height
    return [chain.stake(name, at) for name in names]


# ---------------------------------------------------------------------------------------------------- the top


def test_only_the_largest_have_a_seat() -> None:
    chain = chain_of({"v": 100, "w": 100}, validators_max=2)
    chain.block(chain.send("a", Stake(101)))
    assert sorted(seats(chain, "avw")) == [0, 100, 101]
    assert totals_of(chain.state).eligible == 201 and totals_of(chain.state).candidates == 3


def test_of_equals_the_smaller_address_has_it() -> None:
    names = sorted("vwx", key=address)
    chain = chain_of(dict.fromkeys(names, 100), validators_max=3)
    other = next(name for name in "abcd" if address(name) < address(names[2]))
    chain.block(chain.send(other, Stake(100)))
    standing = {name for name in (*names, other) if chain.stake(name, chain.head + 1 + DELAY)}
    assert standing == {*names[:2], other}


def test_a_set_in_which_nothing_changes_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = chain_of({"v": 100})
    chain.block(chain.send("a", Stake(10)))
    chain.blocks(8)
    monkeypatch.setattr(closing, "_plan", lambda *_: pytest.fail("nothing asked for it"))
    chain.block()


# ---------------------------------------------------------------------------------------------------- admission


def test_new_stake_comes_in_by_a_share_of_the_set_oldest_first() -> None:
    chain = chain_of({"v": 991}, stake_step_max_bp=1_000)
    chain.block(chain.send("a", Stake(70)), chain.send("b", Stake(50)), chain.send("c", Stake(10)))
    assert seats(chain, "abc") == [70, 30, 0]  # a tenth of 991, rounded up: 100
    assert totals_of(chain.state).joining == 100 and chain.holder("b").waiting_amount == 20
    chain.blocks(DELAY + 1)
    assert seats(chain, "abc") == [70, 30, 0]
    chain.block()  # the set of height 4 begins: its own stake is no new stake any more
    assert seats(chain, "abc") == [70, 50, 10] and totals_of(chain.state).joining == 30
    queue = waiting_queue(chain.state)
    assert queue.first == queue.next == 3 and len(list(chain.state.items(b"w"))) == 1
    assert changes_at(chain.state, chain.head + 1 + DELAY) == Changes(30, tuple(sorted([address("b"), address("c")])))


def test_a_ticket_whose_stake_was_taken_back_is_passed_over() -> None:
    chain = chain_of({"v": 1_000}, stake_step_max_bp=100)
    chain.block(chain.send("a", Stake(20)), chain.send("b", Stake(5)))
    chain.block(chain.send("a", Unstake(10)))
    assert chain.holder("a").waiting == () and chain.holder("b").waiting_amount == 5
    chain.blocks(5)
    assert seats(chain, "ab") == [10, 5]


def test_room_is_of_what_stays() -> None:
    """Else those who come while most leave would be most of what is left."""
    chain = chain_of({"v": 100, "w": 900}, stake_step_max_bp=1_000)
    chain.block(chain.send("w", Unstake(900)), chain.send("a", Stake(100)))
    assert seats(chain, "vwa") == [100, 0, 10]


def test_a_block_serves_a_bounded_number_of_tickets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "ADMISSIONS_MAX", 2)
    chain = chain_of({"v": 1_000})
    chain.block(*(chain.send(name, Stake(5)) for name in "abc"))
    assert seats(chain, "abc") == [5, 5, 0]
    chain.block()
    assert seats(chain, "abc") == [5, 5, 5]


def test_a_ticket_of_nobody_is_a_broken_store() -> None:
    chain = chain_of({"v": 1_000}, stake_step_max_bp=1)
    chain.block(chain.send("a", Stake(5)))
    overlay = chain.state
    overlay.set(b"w" + bytes(8), None)
    with pytest.raises(AssertionError):
        chain.finish(overlay)


# ---------------------------------------------------------------------------------------------------- entering


def crowd(**parameters: Any) -> Chain:
    """Three seats of 100 each, and three accounts with 99 bonded outside."""
    chain = chain_of(dict.fromkeys("vwx", 100), validators_max=3, stake_step_max_bp=3_333, **parameters)
    for name in "abc":
        chain.block(chain.send(name, Stake(99)))
        chain.blocks(chain.head + DELAY + 1)
    assert seats(chain, "vwxabc") == [100, 100, 100, 0, 0, 0]
    return chain


def test_who_takes_a_place_needs_room_for_all_that_it_has_bonded() -> None:
    """A unit each would make the whole set new at one height; a third of 300 may come in, rounded up."""
    chain = crowd()
    chain.block(*(chain.send(name, Stake(2)) for name in "abc"))
    assert seats(chain, "abc") == [0, 0, 0] and totals_of(chain.state).left_out == 3  # 94 of room beside the new 6
    chain.blocks(chain.head + DELAY)
    assert seats(chain, "abc") == [0, 0, 0]
    chain.block()
    assert sorted(seats(chain, "abc")) == [0, 0, 101]
    assert totals_of(chain.state).left_out == 2 and totals_of(chain.state).joining == 101
    chain.blocks(chain.head + 3 * (DELAY + 2))
    assert seats(chain, "abc") == [101, 101, 101] and totals_of(chain.state).left_out == 0
    chain.blocks(chain.head + DELAY + 2)
    assert totals_of(chain.state).joining == 0


def test_whose_place_is_not_taken_yet_keeps_it() -> None:
    chain = crowd()
    before = {name: chain.stake(name, chain.head + 1 + DELAY) for name in "vwx"}
    chain.block(*(chain.send(name, Stake(2)) for name in "abc"))
    assert {name: chain.stake(name, chain.head + 1 + DELAY) for name in "vwx"} == before


def test_when_all_leave_a_standby_comes_in_whether_there_is_room_or_not() -> None:
    chain = crowd()
    chain.block(
        chain.send("a", Stake(1)),
        *(chain.send(name, Unstake(100)) for name in "vwx"),
        *(chain.send(n, Unstake(99)) for n in "bc"),
    )
    assert seats(chain, "vwxabc") == [0, 0, 0, 100, 0, 0]
    assert totals_of(chain.state).joining == 100 and totals_of(chain.state).left_out == 0


def test_a_small_set_does_not_keep_large_ones_out_for_ever() -> None:
    """A tenth of one unit is one; where nothing else joins they come in, one at a time."""
    chain = chain_of({"v": 1_000, "w": 999}, validators_max=2, stake_step_max_bp=1_000)
    for name in "ab":
        chain.block(chain.send(name, Stake(150)))
        chain.blocks(chain.head + DELAY + 1)
    chain.block(chain.send("v", Unstake(999)), chain.send("w", Unstake(998)))
    seen = []
    for _ in range(3 * (DELAY + 2)):
        seen.append(seats(chain, "vwab"))
        chain.block()
    assert seats(chain, "vwab") == [0, 0, 150, 150]
    assert all(sum(stakes) for stakes in seen)
    assert max(sum(1 for stake in stakes[2:] if stake) for stakes in seen[:DELAY]) <= 1


def test_who_comes_back_from_a_pause_needs_no_room() -> None:
    chain = chain_of({"v": 900, "w": 870, "s": 58}, stake_step_max_bp=1, validators_max=3, pause_blocks_max=9)
    chain.block(chain.send("s", Pause(9)))
    chain.blocks(6)
    assert seats(chain, "vws") == [900, 870, 0] and chain.holder("s").is_away
    chain.block(chain.send("s", Resume()))
    assert seats(chain, "vws") == [900, 870, 58] and not chain.holder("s").is_away
    assert totals_of(chain.state).joining == 0


def test_who_loses_its_place_while_it_is_away_needs_room_to_come_back() -> None:
    chain = chain_of({"v": 900, "w": 870, "s": 58}, stake_step_max_bp=1_000, validators_max=3, pause_blocks_max=20)
    chain.block(chain.send("s", Pause(20)))
    chain.block(chain.send("a", Stake(59)))
    assert not chain.holder("s").is_away and seats(chain, "vwsa") == [900, 870, 0, 59]
    chain.block(chain.send("a", Unstake(59)))
    assert chain.holder("s").is_away and totals_of(chain.state).joining == 59 + 58


# ---------------------------------------------------------------------------------------------------- being away


def small_ones() -> Chain:
    """2,000 in all: 200 may be away, 66 of one account."""
    return chain_of({"v": 900, "w": 860, **dict.fromkeys("styz", 60)}, absence_window=10)


def test_who_missed_most_is_suspended_first_and_the_rest_waits_for_room() -> None:
    chain = small_ones()
    chain.blocks(1)
    order = sorted("styz", key=address)
    for _ in range(5):
        chain.block(absent=order)
    assert totals_of(chain.state).inactive == 0
    settlement = chain.block(absent=order)
    assert settlement.suspended == tuple(address(name) for name in order[:3])
    assert chain.holder(order[3]).suspension == 0 and totals_of(chain.state).inactive == 180
    assert seats(chain, "".join(order)) == [0, 0, 0, 60]
    for _ in range(4):  # the last has missed more, and is first when the set is made anew
        chain.block(absent=order)
    assert [chain.holder(name).is_away for name in order] == [name != order[2] for name in order]
    assert chain.holder(order[2]).suspension is not None and seats(chain, order[2]) == [60]


def test_room_that_comes_free_is_taken_at_once() -> None:
    chain = small_ones()
    chain.blocks(1)
    order = sorted("styz", key=address)
    for _ in range(6):
        chain.block(absent=order)
    last = order[3]
    assert chain.holder(last).suspension == 0
    chain.block(chain.send(order[0], Resume()))
    assert chain.holder(last).suspension == chain.head + 1 + DELAY
    assert seats(chain, "".join(order)) == [60, 0, 0, 0]


def test_what_is_due_and_cannot_begin_costs_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = small_ones()
    chain.blocks(1)
    for _ in range(6):
        chain.block(absent=["v"])
    assert chain.holder("v").suspension == 0
    monkeypatch.setattr(closing, "_plan", lambda *_: pytest.fail("nothing asked for it"))
    chain.block(absent=["v"])


def test_a_closing_that_only_a_due_one_asks_for_leaves_no_trace_where_it_cannot_begin() -> None:
    chain = small_ones()
    chain.blocks(1)
    for _ in range(6):
        chain.block(absent="styz")
    waiting = next(name for name in "styz" if chain.holder(name).suspension == 0)
    before = {name: chain.holder(name) for name in "vwstyz"}
    chain.block()
    assert chain.holder(waiting).suspension == 0
    assert {name: chain.holder(name) for name in "vwstyz"} == before


def test_pauses_go_before_suspensions() -> None:
    chain = small_ones()
    chain.blocks(1)
    order = sorted("styz", key=address)
    for _ in range(5):
        chain.block(absent=order[:3])
    chain.block(chain.send(order[3], Pause(5)), absent=order[:3])
    assert [chain.holder(name).is_away for name in order] == [True, True, False, True]
    assert chain.holder(order[2]).suspension == 0


# ---------------------------------------------------------------------------------------------------- nobody left


def test_without_candidates_the_seats_stay_until_somebody_comes() -> None:
    """All but one leave, and evidence takes the one: nothing is at stake, and the chain goes on to mend itself."""
    chain = chain_of({"v": 100, "w": 60})
    chain.block(chain.send("w", Unstake(60)), offenders=["v"])
    assert seats(chain, "vw") == [100, 60] and totals_of(chain.state).candidates == 0
    chain.blocks(20)
    assert chain.ledger.has_stake(chain.state, address("w")) and chain.balance("w") == 60
    assert chain.set == chain.again() and len(chain.set) == 2
    assert (totals_of(chain.state).eligible, totals_of(chain.state).inactive) == (160, 0)
    chain.block(chain.send("a", Stake(40)))
    assert seats(chain, "vwa") == [0, 0, 40]
    chain.block(absent=["w"])
    chain.blocks(chain.head + DELAY + 2)
    assert not chain.ledger.has_stake(chain.state, address("w")) and chain.set == chain.again()
    assert [holder.seats for one, holder in stakeholders(chain.state) if one == address("a")] == [(Seat(24, 40),)]


def test_where_nobody_is_left_there_is_room() -> None:
    chain = chain_of({"v": 100, "w": 60}, stake_step_max_bp=1_000)
    chain.block(chain.send("w", Unstake(60)), offenders=["v"])
    chain.block(chain.send("a", Stake(40)))
    assert seats(chain, "vwa") == [0, 0, 16]


def test_an_absence_of_who_has_nothing_left_is_no_matter() -> None:
    chain = chain_of({"v": 100, "w": 60}, absence_window=10)
    chain.block(chain.send("w", Unstake(60)), offenders=["v"])
    chain.blocks(20)
    chain.block(chain.send("a", Stake(40)))
    while chain.head < 26:
        chain.block(absent=["w", "v"])
    assert not chain.ledger.has_stake(chain.state, address("w"))


def test_a_member_without_a_key_is_a_broken_store() -> None:
    chain = chain_of({"v": 100})
    overlay, holder = chain.state, chain.holder("v")
    put_stakeholder(
        overlay, address("v"), holder, type(holder)((type(holder.keys[0])(9, holder.newest_key),), holder.seats, 100)
    )
    with pytest.raises(AssertionError):
        chain.ledger.validators(overlay, 1, None)
