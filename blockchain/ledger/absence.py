"""Who was not there: misses over a sliding window of parents' certificates (docs/protocol.md §3.5).

Read from the certificate in the body of a block, which is the same for all. A validator that misses too much is *due*
to be suspended; whether there is room for that is decided where the set is closed (`ledger.closing`).
"""

from __future__ import annotations

from msgspec.structs import replace

from blockchain.ledger.records import (
    Misses,
    misses_of,
    put_misses,
    put_stakeholders,
    stakeholder,
)
from blockchain.ledger.terms import part
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import Stakeholder
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate
from blockchain.seams import State


def note_absent(
    state: State, parameters: Parameters, certificate: Certificate, members: ValidatorSet
) -> tuple[Address, ...]:
    """Count the misses of the certificate's height; returns whose they are. Block 1 has nothing to miss."""
    window = parameters.absence_window
    height = certificate.height
    if window is None or height == 0 or len(certificate.precommits) == len(members):
        return ()
    present = {entry.index for entry in certificate.precommits}
    absent = []
    due = []
    for index, member in enumerate(members.validators):
        if index in present:
            continue
        address = Address(member.address)
        holder = stakeholder(state, address)  # none where a seat has outlived all else that the account had
        if holder is not None and not _is_excused(holder, height):
            absent.append(address)
            misses = _count(state, address, height, window)
            if holder.suspension is None and is_over_limit(misses, parameters, height):
                due.append((address, holder, replace(holder, suspension=0)))
    put_stakeholders(state, due)
    return tuple(absent)


def is_over_limit(misses: Misses | None, parameters: Parameters, last: int) -> bool:
    """Whether more of the window that ends at height `last` was missed than may be."""
    window = parameters.absence_window
    if misses is None or window is None:
        return False
    kept = max(window - (last - misses.newest), 0)
    return (_bits(misses) & ((1 << kept) - 1)).bit_count() > part(window, parameters.absence_share_bp)


def missed_ever(misses: Misses | None) -> int:
    """All misses that are on record: of a suspended validator those for which it was."""
    return 0 if misses is None else _bits(misses).bit_count()


def _is_excused(holder: Stakeholder, height: int) -> bool:
    is_paused = holder.pause is not None and holder.pause.holds_at(height)
    return holder.is_out or bool(holder.suspension) or is_paused


def _count(state: State, address: Address, height: int, window: int) -> Misses:
    before = misses_of(state, address)
    bits = 1
    if before is not None and height - before.newest < window:
        bits |= (_bits(before) << (height - before.newest)) & ((1 << window) - 1)
    misses = Misses(height, bits.to_bytes((bits.bit_length() + 7) // 8, "big"))
    put_misses(state, address, misses)
    return misses


def _bits(misses: Misses) -> int:
    return int.from_bytes(misses.bits, "big")
