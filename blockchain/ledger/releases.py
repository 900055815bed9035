"""Stake on its way back: it leaves its set, unbonds, is paid out in the order of leaving (docs/protocol.md §3.5)."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from blockchain.ledger.records import (
    Leaver,
    add_to_totals,
    changes_at,
    credit,
    join_leaving,
    known_stakeholder,
    leave_leaving,
    leaver_at,
    leaving_queue,
    put_changes,
    put_stakeholder,
    stakeholder,
)
from blockchain.primitives.block import Header
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import Stakeholder, Unbonding
from blockchain.seams import State

RELEASES_MAX: Final = 1_000  # amounts a block, those that a penalty took included: the end of a block is bounded work


def begin_set(state: State, header: Header) -> None:
    """The set of this height counts: what was before it is forgotten, and who left it begins to unbond."""
    changes = changes_at(state, header.height)
    if changes is None:
        return
    leavers = []
    for address in changes.addresses:
        before = known_stakeholder(state, address)
        newest = max((seat.height for seat in before.seats if seat.height <= header.height), default=0)
        unbonding = tuple(_left(entry, header) for entry in before.unbonding)
        if unbonding != before.unbonding:
            leavers.append(Leaver(header.height, address))
        seats = tuple(seat for seat in before.seats if seat.height >= newest)
        put_stakeholder(state, address, before, replace(before, seats=seats, unbonding=unbonding))
    join_leaving(state, leavers)
    add_to_totals(state, joining=-changes.added)
    put_changes(state, header.height, None)


def _left(entry: Unbonding, header: Header) -> Unbonding:
    return Unbonding(entry.amount, entry.leaves, header.time_ms) if entry.leaves == header.height else entry


def release(state: State, parameters: Parameters, header: Header) -> tuple[tuple[Address, int], ...]:
    """Pay out what has unbonded for long enough, in blocks and in time, at most RELEASES_MAX amounts a block."""
    queue = leaving_queue(state)
    first = queue.first
    released = []
    while first < min(queue.next, queue.first + RELEASES_MAX):
        leaver = leaver_at(state, first)
        address = Address(leaver.address)
        holder = stakeholder(state, address)
        entry = None if holder is None else _entry(holder, leaver.leaves)
        if holder is not None and entry is not None:  # else a penalty has taken all of it
            if not _is_over(parameters, header, entry):
                break
            rest = tuple(other for other in holder.unbonding if other is not entry)
            put_stakeholder(state, address, holder, replace(holder, unbonding=rest))
            credit(state, address, entry.amount)
            released.append((address, entry.amount))
        first += 1
    leave_leaving(state, queue, first)
    return tuple(released)


def _entry(holder: Stakeholder, leaves: int) -> Unbonding | None:
    return next((entry for entry in holder.unbonding if entry.leaves == leaves), None)


def _is_over(parameters: Parameters, header: Header, entry: Unbonding) -> bool:
    assert entry.left_ms is not None, "in the queue of those that left, and has not"
    is_deep = header.height > entry.leaves + parameters.unbonding_blocks
    return is_deep and header.time_ms > entry.left_ms + parameters.unbonding_ms
