"""The set of a height, read out of the records (docs/protocol.md §6.1)."""

from __future__ import annotations

from blockchain.ledger.records import changes_at, known_stakeholder, stakeholders
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.records import Stakeholder
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.seams import State


def set_at(state: State, height: int) -> ValidatorSet:
    """The set of a height that is closed, the head's or a later one, from all records."""
    seated = (_member(address, holder, height) for address, holder in stakeholders(state))
    return ValidatorSet(member for member in seated if member is not None)


def set_after(state: State, height: int, previous: ValidatorSet) -> ValidatorSet:
    """The same from the set of `height` − 1: that very one if nothing changes."""
    changes = changes_at(state, height)
    if changes is None:
        return previous
    members: dict[Address, Validator | None] = {Address(one.address): one for one in previous.validators}
    for address in changes.addresses:
        members[address] = _member(address, known_stakeholder(state, address), height)
    following = ValidatorSet(member for member in members.values() if member is not None)
    return previous if following == previous else following


def _member(address: Address, holder: Stakeholder, height: int) -> Validator | None:
    stake = holder.seat_at(height)
    return Validator(address, _key(holder, height), stake) if stake else None


def _key(holder: Stakeholder, height: int) -> PublicKey:
    key = holder.key_at(height)
    assert key is not None, "a seat without a key"
    return key
