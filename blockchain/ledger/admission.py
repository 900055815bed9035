"""Stake that waits becomes bonded: oldest first, and no more at a time than the chain allows (docs/protocol.md §3.5).

New stake that nobody runs is stake that does not vote. So what joins within the heights that are closed ahead is at
most a share of the set, whoever brings it; the rest waits.
"""

from __future__ import annotations

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
from blockchain.primitives.records import Stakeholder, Waiting
from blockchain.seams import State


def admit(state: State, parameters: Parameters, total: int) -> int:
    """Bond what there is room for beside a set with `total` stake; returns how much that was."""
    queue = waiting_queue(state)
    if queue.first == queue.next:
        return 0
    room = _room(state, parameters, total)
    first = queue.first
    added = 0
    while first < queue.next:
        address = ticket_owner(state, first)
        holder = stakeholder(state, address)
        entry = None if holder is None else _entry(holder, first)
        if holder is not None and entry is not None:  # else it was taken back meanwhile
            amount = entry.amount if room is None else min(entry.amount, room - added)
            if amount:
                put_stakeholder(state, address, holder, _bonded(holder, entry, amount))
                added += amount
            if amount < entry.amount:
                break
        first += 1
    leave_waiting(state, queue, first)
    add_to_totals(state, joining=added)
    return added


def _room(state: State, parameters: Parameters, total: int) -> int | None:
    if parameters.stake_step_max_bp is None:
        return None
    most = -(-total * parameters.stake_step_max_bp // WHOLE_BP)  # rounded up: a small set grows too
    return max(most - totals_of(state).joining, 0)


def _entry(holder: Stakeholder, ticket: int) -> Waiting | None:
    return next((entry for entry in holder.waiting if entry.ticket == ticket), None)


def _bonded(holder: Stakeholder, entry: Waiting, amount: int) -> Stakeholder:
    rest = (Waiting(entry.ticket, entry.amount - amount),) if amount < entry.amount else ()
    waiting = tuple(kept for other in holder.waiting for kept in (rest if other.ticket == entry.ticket else (other,)))
    return replace(holder, bonded=holder.bonded + amount, waiting=waiting)
