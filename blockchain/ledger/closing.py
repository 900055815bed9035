"""A block closes the set of a later height: who has a seat there, and who is away (docs/protocol.md §3.5, §6.1).

Theory of operation. Whatever block h changes counts from height E = h + 1 + stake_delay on, and nothing else changes
the set of E. So where nothing happened that set is the one of E − 1, and costs nothing. Else it is planned from the
candidates' records, which say what each had at E − 1, and then written; only those that change, and those that may be
away, are read in full.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from blockchain.ledger.absence import is_over_limit, missed_ever
from blockchain.ledger.admission import admit, room_for
from blockchain.ledger.records import (
    Candidate,
    Changes,
    add_to_totals,
    candidates,
    due_suspensions,
    forget_pause_ends,
    forget_touched,
    known_stakeholder,
    misses_of,
    pauses_ending_at,
    put_changes,
    put_stakeholder,
    put_stakeholders,
    put_totals,
    stakeholder,
    totals_of,
    touched,
)
from blockchain.ledger.seating import Seating, ranked, seat
from blockchain.ledger.terms import away_budget, away_share, closed_by, part
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import Seat, Stakeholder
from blockchain.seams import Penalty, State


class Closing(Struct, frozen=True):
    suspended: tuple[Address, ...] = ()
    penalties: tuple[Penalty, ...] = ()  # to be burnt


class _Plan(Struct, frozen=True):
    """What a set would be."""

    known: dict[Address, Candidate]
    seating: Seating
    dropped: frozenset[Address]  # whose due suspension is none any more
    away: dict[Address, bool]  # who is away; whether by a suspension that is due, and begins


def close_set(state: State, parameters: Parameters, height: int, total: int) -> Closing:
    """Close the set that follows from the block at `height`, whose own set has `total` stake."""
    closed = closed_by(parameters, height)
    room = room_for(state, parameters, total)
    admitted = admit(state, room)
    who = touched(state)
    is_asked = bool(who or admitted or totals_of(state).left_out or pauses_ending_at(state, closed))
    if not is_asked and not _may_matter(state, parameters, height):
        return Closing()
    plan = _plan(state, parameters, height, room, admitted)
    if not is_asked and not plan.dropped and not any(plan.away.values()):
        return Closing()
    closing, moved = Closing(), set[Address]()
    if plan.seating.top:  # else there is no candidate, and all stays as it is
        closing = _settle_absences(state, parameters, plan, closed)
        moved = _settle_seats(state, plan, closed)
    moved.update(address for address in who if _changes(stakeholder(state, address), closed))
    added = sum(admitted.values()) + plan.seating.entered
    if moved or added:
        put_changes(state, closed, Changes(added, tuple(sorted(moved))))
    forget_touched(state, who)
    forget_pause_ends(state, closed)
    return closing


def _may_matter(state: State, parameters: Parameters, height: int) -> bool:
    """Whether a suspension that is due could begin, or be dropped; a cheap look, at the due ones alone.

    While nothing else happens the eligible stake is at most what it was when the last set was closed.
    """
    share = away_share(away_budget(parameters, totals_of(state).eligible))
    return any(
        known_stakeholder(state, address).bonded <= share
        or not is_over_limit(misses_of(state, address), parameters, height - 1)
        for address in due_suspensions(state)
    )


# ---------------------------------------------------------------------------------------------------- the plan


def _plan(state: State, parameters: Parameters, height: int, room: int | None, admitted: dict[Address, int]) -> _Plan:
    """Changes nothing."""
    known = dict(candidates(state))
    joining = totals_of(state).joining
    order = ranked(list(known.items()))
    seating = seat(order, parameters.validators_max, admitted, room, joining)
    dropped = frozenset(
        address
        for address in due_suspensions(state)
        if not is_over_limit(misses_of(state, address), parameters, height - 1)
    )
    away: dict[Address, bool] = {}
    granted = 0
    budget = away_budget(parameters, sum(seating.top.values()))
    for address, is_due in _would_be_away(state, known, seating, dropped, closed_by(parameters, height)):
        bonded = seating.top[address]
        if bonded <= away_share(budget) and granted + bonded <= budget:
            away[address] = is_due
            granted += bonded
    return _Plan(known, seating, dropped, away)


def _would_be_away(
    state: State, known: dict[Address, Candidate], seating: Seating, dropped: frozenset[Address], closed: int
) -> list[tuple[Address, bool]]:
    """Those paused in the set that is closed, by address; then those suspended, most missed first, then by address.

    With each whether its suspension is only due. Who is paused there is not looked at as suspended.
    """
    paused: list[tuple[Address, bool]] = []
    suspended: list[tuple[int, Address, bool]] = []
    for address, candidate in known.items():
        if not candidate.may_be_away or address not in seating.top:
            continue
        holder = known_stakeholder(state, address)
        if holder.pause is not None and holder.pause.holds_at(closed):
            paused.append((address, False))
        elif holder.suspension is not None and address not in dropped:
            suspended.append((-missed_ever(misses_of(state, address)), address, holder.suspension == 0))
    return [*paused, *((address, is_due) for _, address, is_due in sorted(suspended))]


# ---------------------------------------------------------------------------------------------------- writing it


def _settle_absences(state: State, parameters: Parameters, plan: _Plan, closed: int) -> Closing:
    """Suspensions go and begin, and cost what absence costs; the sums by which PAUSE is judged."""
    dropped = [(address, known_stakeholder(state, address)) for address in plan.dropped]
    put_stakeholders(state, [(address, holder, replace(holder, suspension=None)) for address, holder in dropped])
    penalties = []
    written = []
    begun = tuple(address for address, is_due in plan.away.items() if is_due)
    for address in begun:
        holder = known_stakeholder(state, address)
        lost = part(holder.bonded, parameters.absence_slash_bp)
        written.append((address, holder, replace(holder, suspension=closed, bonded=holder.bonded - lost)))
        if lost:
            penalties.append(Penalty(address, lost, is_evidence=False))
    put_stakeholders(state, written)
    top = plan.seating.top
    inactive = sum(top[address] for address in plan.away)
    put_totals(state, replace(totals_of(state), eligible=sum(top.values()), inactive=inactive))
    add_to_totals(
        state,
        joining=plan.seating.entered,
        left_out=plan.seating.left_out - totals_of(state).left_out,
    )
    return Closing(begun, tuple(penalties))


def _settle_seats(state: State, plan: _Plan, closed: int) -> set[Address]:
    """Write the seats that change; returns whose they are."""
    top = plan.seating.top
    moved = set()
    for address, candidate in plan.known.items():
        is_away = address in plan.away
        stake = 0 if is_away else top.get(address, 0)
        if stake == candidate.seat and is_away == candidate.is_away:
            continue
        holder = known_stakeholder(state, address)
        seats = holder.seats
        if stake != candidate.seat:
            seats = (*seats, Seat(closed, stake))
            moved.add(address)
        put_stakeholder(state, address, holder, replace(holder, seats=seats, is_away=is_away))
    return moved


def _changes(holder: Stakeholder | None, closed: int) -> bool:
    """Whether something of it counts from there on, beside its seat: a key, stake that has left, evidence."""
    if holder is None:
        return False
    has_left = any(entry.leaves == closed for entry in holder.unbonding)
    is_rotated = holder.keys[-1].height == closed and holder.seat_at(closed) > 0
    return holder.is_out or has_left or is_rotated
