"""Who was not there: misses over a sliding window of parents' certificates (docs/protocol.md §3.5).

Read from the certificate in the body of a block, which is the same for all. A validator that misses too much is *due*
to be suspended; whether there is room for that is decided where the set is closed (`ledger.closing`).
"""

from __future__ import annotations

from msgspec.structs import replace

from blockchain.ledger.records import (
    Misses,
    known_stakeholder,
    misses_of,
    put_misses,
    put_stakeholder,
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
    for index, member in enumerate(members.validators):
        if index in present:
            continue
        address = Address(member.address)
        holder = known_stakeholder(state, address)
        if not _is_excused(holder, height):
            absent.append(address)
            _count(state, parameters, address, holder, height, window)
    return tuple(absent)


def missed(misses: Misses | None, window: int, last: int) -> int:
    """How many of the `window` heights up to `last` were missed."""
    kept = 0 if misses is None else window - (last - misses.newest)
    return 0 if misses is None or kept <= 0 else (_bits(misses) & ((1 << kept) - 1)).bit_count()


def missed_max(parameters: Parameters, window: int) -> int:
    """So many of a window may be missed."""
    return part(window, parameters.absence_share_bp)


def _is_excused(holder: Stakeholder, height: int) -> bool:
    is_paused = holder.pause is not None and holder.pause.holds_at(height)
    return holder.is_out or bool(holder.suspension) or is_paused


def _count(
    state: State, parameters: Parameters, address: Address, holder: Stakeholder, height: int, window: int
) -> None:
    before = misses_of(state, address)
    bits = 1
    if before is not None and height - before.newest < window:
        bits |= (_bits(before) << (height - before.newest)) & ((1 << window) - 1)
    put_misses(state, address, Misses(height, bits.to_bytes((bits.bit_length() + 7) // 8, "big")))
    if bits.bit_count() > missed_max(parameters, window) and holder.suspension is None:
        put_stakeholder(state, address, holder, replace(holder, suspension=0))


def _bits(misses: Misses) -> int:
    return int.from_bytes(misses.bits, "big")
