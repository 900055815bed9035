"""Who has a place in the set that is closed: the largest stakes, and no more newcomers than there is room for.

Pure: candidates in, names out (docs/protocol.md §3.5). Stake that is bonded and outside the set does not run; so taking
a place counts as joining, like new stake, however long it has been bonded.
"""

from __future__ import annotations

from msgspec import Struct

from blockchain.ledger.records import Candidate
from blockchain.primitives.crypto import Address

Ranked = list[tuple[Address, Candidate]]


class Seating(Struct, frozen=True):
    """`top` are those with a place, by bonded stake; `entered` what newcomers count for; `left_out` how many wait."""

    top: dict[Address, int]
    entered: int = 0
    left_out: int = 0


def ranked(candidates: Ranked) -> Ranked:
    """By stake, and by address where that is equal, so that all draw the line at the same place."""
    return sorted(
        ((address, one) for address, one in candidates if one.bonded), key=lambda item: (-item[1].bonded, item[0])
    )


def seat(order: Ranked, seats_max: int, admitted: dict[Address, int], room: int | None, joining: int) -> Seating:
    """Place the first of the order; `room` and `joining` are those of `ledger.admission`, in `admitted` this block's.

    Who enters needs room for what it has bonded, less what was admitted in this block and counts already. It comes in
    also where nothing else joins: else a small set could keep a large stake out for ever.
    """
    first = order[:seats_max]
    entered = 0
    left_out: set[Address] = set()
    for address, one in first:
        if room is None or _is_in(one):
            continue
        need = one.bonded - admitted.get(address, 0)
        so_far = joining + entered
        if need <= max(room - so_far, 0) or so_far == 0:
            entered += need
        else:
            left_out.add(address)
    standbys = (item for item in order[seats_max:] if item[1].seat > 0)
    kept = [next(standbys, None) for _ in left_out]
    places = [item for item in (*first, *kept) if item is not None and item[0] not in left_out]
    if not places and first:  # nobody would be left to forge
        address, one = first[0]
        left_out.remove(address)
        entered += one.bonded - admitted.get(address, 0)
        places = [(address, one)]
    return Seating({address: one.bonded for address, one in places}, entered, len(left_out))


def _is_in(candidate: Candidate) -> bool:
    """It has a seat in the set before, or would have one if it were not away."""
    return candidate.seat > 0 or candidate.is_away
