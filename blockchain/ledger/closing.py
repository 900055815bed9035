"""A block closes the set of a later height: who has a seat there, and who is away (docs/protocol.md §3.5, §6.1).

Theory of operation. Whatever block h changes counts from height E = h + 1 + stake_delay on, and nothing else changes
the set of E. So where nothing happened that set is the one of E − 1, and costs nothing. Else it is made from the
candidates' records, which say what each had at E − 1; only those that change, and those that may be away, are read in
full.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from blockchain.ledger.absence import missed, missed_max
from blockchain.ledger.admission import admit
from blockchain.ledger.records import (
    Changes,
    candidates,
    forget_pause_ends,
    forget_touched,
    known_stakeholder,
    misses_of,
    pauses_ending_at,
    put_changes,
    put_stakeholder,
    put_totals,
    stakeholder,
    totals_of,
    touched,
)
from blockchain.ledger.terms import away_budget, away_share, closed_by, part
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import Seat, Stakeholder
from blockchain.seams import Penalty, State

Top = dict[Address, int]  # bonded stake of those who may have a seat


class Closing(Struct, frozen=True):
    suspended: tuple[Address, ...] = ()
    penalties: tuple[Penalty, ...] = ()  # to be burnt


def close_set(state: State, parameters: Parameters, height: int, total: int) -> Closing:
    """Close the set that follows from the block at `height`, whose own set has `total` stake."""
    closed = closed_by(parameters, height)
    added = admit(state, parameters, total)
    who = touched(state)
    if not (who or added or totals_of(state).due or pauses_ending_at(state, closed)):
        return Closing()
    closing = Closing()
    seats = before = {address: one.seat for address, one in candidates(state)}
    top = _top(state, parameters)
    if top:
        away, closing = _settle_absences(state, parameters, top, height)
        seats = {address: bonded for address, bonded in top.items() if address not in away}
    moved = {address for address in before.keys() | seats.keys() if before.get(address, 0) != seats.get(address, 0)}
    for address in moved:
        holder = known_stakeholder(state, address)
        entry = Seat(closed, seats.get(address, 0))
        put_stakeholder(state, address, holder, replace(holder, seats=(*holder.seats, entry)))
    moved.update(address for address in who if _changes(stakeholder(state, address), closed, seats.get(address, 0)))
    if moved or added:
        put_changes(state, closed, Changes(added, tuple(sorted(moved))))
    forget_touched(state, who)
    forget_pause_ends(state, closed)
    return closing


def _top(state: State, parameters: Parameters) -> Top:
    """By stake, and by address where that is equal, so that all draw the line at the same place."""
    ranked = sorted((-one.bonded, address) for address, one in candidates(state) if one.bonded)
    return {address: -bonded for bonded, address in ranked[: parameters.validators_max]}


def _changes(holder: Stakeholder | None, closed: int, seat: int) -> bool:
    """Whether something of it counts from there on, beside its seat: a key, or stake that has left."""
    if holder is None:
        return False
    has_left = any(entry.leaves == closed for entry in holder.unbonding)
    return has_left or (seat > 0 and holder.keys[-1].height == closed)


# ---------------------------------------------------------------------------------------------------- absences


def _settle_absences(state: State, parameters: Parameters, top: Top, height: int) -> tuple[set[Address], Closing]:
    """Who of the top is away, as far as there is room for it; writes the suspensions that begin."""
    eligible = sum(top.values())
    budget = away_budget(parameters, eligible)
    away: set[Address] = set()
    inactive = 0
    paused, suspended = _would_be_away(state, parameters, top, height)
    for address in (*paused, *suspended):
        if top[address] <= away_share(budget) and inactive + top[address] <= budget:
            away.add(address)
            inactive += top[address]
    put_totals(state, replace(totals_of(state), eligible=eligible, inactive=inactive))
    begun = [address for address in suspended if address in away]
    return away, _suspend(state, parameters, begun, closed_by(parameters, height))


def _would_be_away(state: State, parameters: Parameters, top: Top, height: int) -> tuple[list[Address], list[Address]]:
    """Those paused in the set that is closed, by address; and those suspended, most missed first, then by address.

    Who is paused there is not looked at as suspended. What is due, and is not any more, is dropped.
    """
    closed = closed_by(parameters, height)
    paused: list[Address] = []
    suspended: list[tuple[int, Address]] = []
    for address, candidate in candidates(state):
        if not candidate.may_be_away or not candidate.bonded:
            continue
        holder = _without_stale_suspension(state, parameters, address, height)
        if address not in top:
            continue
        if holder.pause is not None and holder.pause.holds_at(closed):
            paused.append(address)
        elif holder.suspension is not None:
            misses = misses_of(state, address)
            suspended.append((0 if misses is None else -int.from_bytes(misses.bits, "big").bit_count(), address))
    return paused, [address for _, address in sorted(suspended)]


def _without_stale_suspension(state: State, parameters: Parameters, address: Address, height: int) -> Stakeholder:
    """Its record; a suspension that is due goes when its misses are no more than may be (it could not begin so far)."""
    holder = known_stakeholder(state, address)
    window = parameters.absence_window
    if holder.suspension != 0 or window is None:
        return holder
    if missed(misses_of(state, address), window, height - 1) > missed_max(parameters, window):
        return holder
    after = replace(holder, suspension=None)
    put_stakeholder(state, address, holder, after)
    return after


def _suspend(state: State, parameters: Parameters, granted: list[Address], closed: int) -> Closing:
    """The suspensions that were due begin, and cost what absence costs."""
    begun = []
    penalties = []
    for address in granted:
        holder = known_stakeholder(state, address)
        if holder.suspension != 0:
            continue
        lost = part(holder.bonded, parameters.absence_slash_bp)
        put_stakeholder(state, address, holder, replace(holder, suspension=closed, bonded=holder.bonded - lost))
        begun.append(address)
        if lost:
            penalties.append(Penalty(address, lost, is_evidence=False))
    return Closing(tuple(begun), tuple(penalties))
