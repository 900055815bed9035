"""Stake that waits becomes bonded: oldest first, and no more at a time than the chain allows (docs/protocol.md §3.5).

New stake that nobody runs is stake that does not vote. So what joins within the heights that are closed ahead is at
most a share of the set, whoever brings it; the rest waits.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from blockchain.ledger.records import (
    add_to_totals,
    leave_waiting,
    put_stakeholder,
    stakeholder,
    ticket_owner,
    totals_of,
    waiting_queue,
)
from blockchain.ledger.terms import WHOLE_BP
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import Stakeholder, Waiting
from blockchain.seams import State

ADMISSIONS_MAX: Final = 1_000  # tickets a block, those taken back included: the end of a block is bounded work


def room_for(state: State, parameters: Parameters, total: int) -> int | None:
    """How much new stake there may be in the sets that are closed; `total` is the stake of the block's own set.

    None: any. Of a chain that most of the stake leaves in this very block, what is left is what counts; where nothing
    is left, somebody has to come.
    """
    if parameters.stake_step_max_bp is None:
        return None
    whole = min(total, totals_of(state).bonded or total)
    return -(-whole * parameters.stake_step_max_bp // WHOLE_BP)  # rounded up: a small set grows too


def admit(state: State, room: int | None) -> dict[Address, int]:
    """Bond what there is room for; returns how much, by account."""
    queue = waiting_queue(state)
    first = queue.first
    admitted: dict[Address, int] = {}
    while first < min(queue.next, queue.first + ADMISSIONS_MAX):
        address = ticket_owner(state, first)
        holder = stakeholder(state, address)
        entry = None if holder is None else _entry(holder, first)
        if holder is not None and entry is not None:  # else it was taken back meanwhile
            amount = entry.amount if room is None else min(entry.amount, free_room(state, room))
            if amount:
                put_stakeholder(state, address, holder, _bonded(holder, entry, amount))
                add_to_totals(state, joining=amount)
                admitted[address] = admitted.get(address, 0) + amount
            if amount < entry.amount:
                break
        first += 1
    leave_waiting(state, queue, first)
    return admitted


def free_room(state: State, room: int) -> int:
    return max(room - totals_of(state).joining, 0)


def _entry(holder: Stakeholder, ticket: int) -> Waiting | None:
    return next((entry for entry in holder.waiting if entry.ticket == ticket), None)


def _bonded(holder: Stakeholder, entry: Waiting, amount: int) -> Stakeholder:
    rest = (Waiting(entry.ticket, entry.amount - amount),) if amount < entry.amount else ()
    waiting = tuple(kept for other in holder.waiting for kept in (rest if other.ticket == entry.ticket else (other,)))
    return replace(holder, bonded=holder.bonded + amount, waiting=waiting)
