"""The validator set of one height: who may forge and vote, and with how much stake (docs/protocol.md §6)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate

from msgspec import Struct

from blockchain.errors import InvalidCertificate
from blockchain.primitives import codec
from blockchain.primitives.crypto import Address, Hash32, PublicKey, tagged_hash
from blockchain.primitives.scalars import AddressField, PositiveAmount, PublicKeyField
from blockchain.primitives.vote import Certificate, precommit_of, verify_message

_SET_TAG = "validators"


class Validator(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An account that validates: its address, the key that signs its votes, its stake."""

    address: AddressField
    key: PublicKeyField
    stake: PositiveAmount


class ValidatorSet:
    """Validators in address order, with cumulative stakes. Frozen; equal when the validators are."""

    def __init__(self, validators: Iterable[Validator]) -> None:
        self.validators = tuple(sorted(validators, key=lambda validator: validator.address))
        self.index = {validator.address: at for at, validator in enumerate(self.validators)}
        assert len(self.index) == len(self.validators), "a validator stands twice in a set"
        self.by_key = {PublicKey(validator.key): validator.address for validator in self.validators}
        assert len(self.by_key) == len(self.validators), "two validators with one key"
        self.cumulative = tuple(accumulate(validator.stake for validator in self.validators))
        self.total = self.cumulative[-1] if self.cumulative else 0

    def __len__(self) -> int:
        return len(self.validators)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ValidatorSet) and self.validators == other.validators

    def __hash__(self) -> int:
        return hash(self.validators)

    def get(self, address: Address) -> Validator | None:
        at = self.index.get(address)
        return None if at is None else self.validators[at]

    def stake_of(self, address: Address) -> int:
        validator = self.get(address)
        return 0 if validator is None else validator.stake

    def is_quorum(self, stake: int) -> bool:
        """More than two thirds of the stake: 3 × stake > 2 × total."""
        return 3 * stake > 2 * self.total

    @property
    def quorum_stake(self) -> int:
        """The least stake that is a quorum."""
        return 2 * self.total // 3 + 1

    def is_honest_minority(self, stake: int) -> bool:
        """More than one third: at least one correct validator is among them (the paper's f + 1)."""
        return 3 * stake > self.total

    @cached_property
    def encoded(self) -> bytes:
        return codec.encode(self.validators)

    def hash(self, genesis_hash: bytes) -> Hash32:
        """Covers (address, validator key, stake) of each, in address order."""
        return tagged_hash(_SET_TAG, genesis_hash, self.encoded)


def changes_between(before: ValidatorSet, after: ValidatorSet) -> tuple[tuple[Validator, ...], tuple[Validator, ...]]:
    """The members of `after` that are new or have another stake or key, and those of `before` that are no more."""
    come = tuple(one for one in after.validators if before.get(one.address) != one)
    gone = tuple(one for one in before.validators if one.address not in after.index)
    return come, gone


def verify_certificate(certificate: Certificate, validators: ValidatorSet, genesis_hash: bytes) -> int:
    """Check every signature of a certificate, and that more than two thirds of the stake signed; returns that stake.

    Each entry is checked, beyond two thirds too: one that is wrong makes the whole invalid (protocol §4.4).
    Raises InvalidCertificate.
    """
    signed = 0
    previous = -1
    for entry in certificate.precommits:
        if entry.index <= previous:
            raise InvalidCertificate("precommits out of validator order, or one twice")
        if entry.index >= len(validators):
            raise InvalidCertificate(f"no validator has index {entry.index} at height {certificate.height}")
        previous = entry.index
        validator = validators.validators[entry.index]
        vote = precommit_of(certificate, validator.address, entry.signature)
        if not verify_message(vote, validator.key, genesis_hash):
            raise InvalidCertificate(f"the precommit of validator {entry.index} does not verify")
        signed += validator.stake
    if not validators.is_quorum(signed):
        raise InvalidCertificate(f"{signed} of {validators.total} signed: not more than two thirds")
    return signed
