"""The books must balance: what was minted and not burnt is what the accounts have (docs/protocol.md §3.1).

Also the counts that the ledger keeps beside its records are what the records say. Reads the whole state: for checks of
a store and for tests.
"""

from __future__ import annotations

from msgspec import Struct

from blockchain.errors import StoreError
from blockchain.ledger.records import (
    ACCOUNT_PREFIX,
    candidates,
    due_suspensions,
    stakeholders,
    totals_of,
)
from blockchain.primitives import codec
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import RECORD_BYTES_MAX, Account, Stakeholder
from blockchain.seams import State


class Sums(Struct, frozen=True):
    """Where all that was minted is."""

    minted: int
    burnt: int
    balances: int
    bonded: int
    waiting: int
    unbonding: int


def sums_of(state: State) -> Sums:
    holders = [holder for _, holder in stakeholders(state)]
    totals = totals_of(state)
    accounts = (raw for _, raw in state.items(ACCOUNT_PREFIX))
    return Sums(
        minted=totals.minted,
        burnt=totals.burnt,
        balances=sum(codec.decode(raw, Account, bytes_max=RECORD_BYTES_MAX).balance for raw in accounts),
        bonded=sum(holder.bonded for holder in holders),
        waiting=sum(holder.waiting_amount for holder in holders),
        unbonding=sum(holder.unbonding_amount for holder in holders),
    )


def check_supply(state: State) -> Sums:
    """Between two blocks. Raises StoreError with the two sums, or with the count, that differ."""
    sums = sums_of(state)
    held = sums.balances + sums.bonded + sums.waiting + sums.unbonding
    if held != sums.minted - sums.burnt:
        raise StoreError(
            f"the state does not balance: {sums.minted} minted and {sums.burnt} burnt leave "
            f"{sums.minted - sums.burnt}, and its accounts have {held}"
        )
    _check_counts(state)
    return sums


def _check_counts(state: State) -> None:
    holders = stakeholders(state)
    totals = totals_of(state)
    expected = {
        "fees": (totals.fees, 0),
        "stakers": (totals.stakers, sum(holder.staked > 0 for _, holder in holders)),
        "candidates": (totals.candidates, sum(holder.is_candidate for _, holder in holders)),
        "bonded": (totals.bonded, sum(holder.bonded for _, holder in holders if holder.is_candidate)),
    }
    for name, (said, found) in expected.items():
        if said != found:
            raise StoreError(f"the state does not balance: it says {said} {name}, and its records say {found}")
    if {address: (one.bonded, one.seat) for address, one in candidates(state)} != _candidates(holders):
        raise StoreError("the state does not balance: its candidates are not those of its stakes")
    if list(due_suspensions(state)) != [address for address, holder in holders if holder.suspension == 0]:
        raise StoreError("the state does not balance: the suspensions that are due are not those of its stakes")


def _candidates(holders: list[tuple[Address, Stakeholder]]) -> dict[Address, tuple[int, int]]:
    pairs = {address: (holder.bonded * (not holder.is_out), holder.newest_seat) for address, holder in holders}
    return {address: pair for address, pair in pairs.items() if any(pair)}
