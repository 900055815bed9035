"""The books: each sum, and that a wrong one is told with both numbers."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from blockchain.errors import StoreError
from blockchain.ledger.records import Candidate, Totals, put_account, put_totals, totals_of
from blockchain.ledger.supply import Sums, check_supply
from blockchain.primitives import codec
from blockchain.primitives.records import Account
from blockchain.primitives.transaction import Stake, Unstake
from tests.ledger.one_ledger import Chain, transfer
from tests.samples import address, spec_of


def grown() -> Chain:
    chain = Chain(spec_of(parameters={"stake_step_max_bp": 1_000, "stake_delay": 0, "absence_window": None}, demo=True))
    chain.block(transfer("b", 0, "a", 1, fee=5), chain.send("a", Stake(50)))
    chain.block(chain.send("v", Unstake(30)))
    return chain


def test_all_that_was_minted_is_somewhere() -> None:
    assert check_supply(grown().state) == Sums(
        minted=2_100, burnt=5, balances=1_945, bonded=88, waiting=32, unbonding=30
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"minted": 2_101}, "2101 minted and 5 burnt leave 2096, and its accounts have 2095"),
        ({"burnt": 4}, "2100 minted and 4 burnt leave 2096, and its accounts have 2095"),
        ({"fees": 1}, "it says 1 fees, and its records say 0"),
        ({"stakers": 3}, "it says 3 stakers, and its records say 2"),
        ({"candidates": 1}, "it says 1 candidates, and its records say 2"),
        ({"bonded": 89}, "it says 89 bonded, and its records say 88"),
    ],
)
def test_a_sum_that_is_wrong_is_told(changes: dict[str, int], why: str) -> None:
    state = grown().state
    totals: Totals = totals_of(state)
    put_totals(state, replace(totals, **changes))
    with pytest.raises(StoreError, match=why):
        check_supply(state)


def test_money_from_nowhere_is_told() -> None:
    state = grown().state
    put_account(state, address("thief"), Account(7))
    with pytest.raises(StoreError, match="have 2102"):
        check_supply(state)


@pytest.mark.parametrize(
    ("key", "record", "why"),
    [
        (b"b" + address("v"), Candidate(1, 1, False, False), "its candidates"),
        (b"i", (address("v"),), "suspensions that are due"),
    ],
)
def test_an_index_that_is_wrong_is_told(key: bytes, record: Any, why: str) -> None:
    state = grown().state
    state.set(key, codec.encode(record))
    with pytest.raises(StoreError, match=why):
        check_supply(state)
