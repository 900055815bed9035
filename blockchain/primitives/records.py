"""The records of an account in the state, as they are stored, proven and read (docs/protocol.md §3.1).

The ledger writes them; a light client reads them out of a state proof. What changes them is the ledger's business.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta, Struct

from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.scalars import Amount, Height, Nonce, PublicKeyField

STAKEHOLDER_PREFIX: Final = b"v"
RECORD_BYTES_MAX: Final = 4 * 1024 * 1024  # one's own records: the cap only catches a damaged store
_ACCOUNT_PREFIX: Final = b"a"
_CHANGES_MAX: Final = 100_002  # one entry a height within stake_delay + 2


class Account(Struct, frozen=True, array_like=True, gc=False):
    balance: Amount = 0
    nonce: Nonce = 0


class StakeFrom(Struct, frozen=True, array_like=True, gc=False):
    """The stake that counts from `height` on."""

    height: Height
    stake: Amount


class Stakeholder(Struct, frozen=True, array_like=True):
    """A validator's key and its stake over time: the newest entry that counts already, and those still to come."""

    key: PublicKeyField
    stakes: Annotated[tuple[StakeFrom, ...], Meta(max_length=_CHANGES_MAX)]

    def stake_at(self, height: int) -> int:
        return next((entry.stake for entry in reversed(self.stakes) if entry.height <= height), 0)

    @property
    def stake_in_the_end(self) -> int:
        return self.stakes[-1].stake


def account_key(address: Address) -> bytes:
    """The key of an account's record."""
    return _ACCOUNT_PREFIX + address


def stakeholder_key(address: Address) -> bytes:
    """The key of the record of an account's stake, which there is once it has staked."""
    return STAKEHOLDER_PREFIX + address


def tree_key(key: bytes) -> Hash32:
    """Where a record stands in the state tree: nobody chooses its place (protocol §3.6)."""
    return Hash32(sha256(key).digest())
