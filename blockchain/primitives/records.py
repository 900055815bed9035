"""The records of an account in the state, as they are stored, proven and read (docs/protocol.md §3.1).

The ledger writes them; a light client reads them out of a state proof. What changes them is the ledger's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from typing import Annotated, Final, cast

from msgspec import Meta, Struct

from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.scalars import Amount, Height, Nonce, PositiveAmount, PublicKeyField, TimeMs

STAKEHOLDER_PREFIX: Final = b"v"
RECORD_BYTES_MAX: Final = 4 * 1024 * 1024  # one's own records: the cap only catches a damaged store
KEYS_MAX: Final = 64  # of one validator, ever: each is kept, so that evidence under it finds its owner
WAITING_MAX: Final = 16  # entries of one account; it takes a transaction to make one
UNBONDING_MAX: Final = 16  # entries that UNSTAKE may make; a penalty may add one more
_ACCOUNT_PREFIX: Final = b"a"
_SEATS_MAX: Final = 100_002  # one entry a height within stake_delay + 2


class Account(Struct, frozen=True, array_like=True, gc=False):
    balance: Amount = 0
    nonce: Nonce = 0


class KeyFrom(Struct, frozen=True, array_like=True, gc=False):
    """The key that signs and proves from `height` on."""

    height: Height
    key: PublicKeyField


class Seat(Struct, frozen=True, array_like=True, gc=False):
    """The stake that stands in the set from `height` on; 0: none does."""

    height: Height
    stake: Amount


class Waiting(Struct, frozen=True, array_like=True, gc=False):
    """Stake that waits for its turn to be bonded (protocol §3.5); tickets are drawn in order, once."""

    ticket: Height
    amount: PositiveAmount


class Unbonding(Struct, frozen=True, array_like=True, gc=False):
    """Stake on its way back: it `leaves` the set at that height, and left at `left_ms` (none: not yet)."""

    amount: PositiveAmount
    leaves: Height
    left_ms: TimeMs | None = None


class Pause(Struct, frozen=True, array_like=True, gc=False):
    """An announced absence: from height `start` up to, not including, `until`. What is over stays for the interval."""

    start: Height
    until: Height

    def holds_at(self, height: int) -> bool:
        return self.start <= height < self.until


class Stakeholder(Struct, frozen=True, array_like=True):
    """All of one account's stake, its keys, and its seats in the sets that are closed."""

    keys: Annotated[tuple[KeyFrom, ...], Meta(min_length=1, max_length=KEYS_MAX)]
    seats: Annotated[tuple[Seat, ...], Meta(max_length=_SEATS_MAX)] = ()
    bonded: Amount = 0
    waiting: Annotated[tuple[Waiting, ...], Meta(max_length=WAITING_MAX)] = ()
    unbonding: Annotated[tuple[Unbonding, ...], Meta(max_length=UNBONDING_MAX + 1)] = ()
    is_out: bool = False
    suspension: Height | None = None  # 0: due; else the height from which it holds
    pause: Pause | None = None
    is_away: bool = False  # paused or suspended in the newest closed set, where it would have had a seat

    @property
    def newest_key(self) -> PublicKey:
        return PublicKey(self.keys[-1].key)

    @property
    def newest_seat(self) -> int:
        """Its stake in the newest set that is closed."""
        return self.seats[-1].stake if self.seats else 0

    @property
    def waiting_amount(self) -> int:
        return sum(entry.amount for entry in self.waiting)

    @property
    def staked(self) -> int:
        """What is bonded and what waits for it."""
        return self.bonded + self.waiting_amount

    @property
    def unbonding_amount(self) -> int:
        return sum(entry.amount for entry in self.unbonding)

    @property
    def is_candidate(self) -> bool:
        return self.bonded > 0 and not self.is_out

    def key_at(self, height: int) -> PublicKey | None:
        """The newest key that counts at `height`; none before the first one does."""
        return next((PublicKey(entry.key) for entry in reversed(self.keys) if entry.height <= height), None)

    def seat_at(self, height: int) -> int:
        """Its stake in the set of `height`, the head's or a later one."""
        return next((entry.stake for entry in reversed(self.seats) if entry.height <= height), 0)


def account_key(address: Address) -> bytes:
    """The key of an account's record."""
    return _ACCOUNT_PREFIX + address


def stakeholder_key(address: Address) -> bytes:
    """The key of the record of an account's stake, which there is while it has any."""
    return STAKEHOLDER_PREFIX + address


def tree_key(key: bytes) -> Hash32:
    """Where a record stands in the state tree: nobody chooses its place (protocol §3.6)."""
    return Hash32(sha256(key).digest())


def tree_keys(keys: Iterable[bytes]) -> list[Hash32]:
    """The same of each of them, in their order."""
    return cast("list[Hash32]", [sha256(key).digest() for key in keys])
