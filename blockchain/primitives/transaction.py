"""Transactions: the envelope, the kinds of the account ledger, and their ids.

Bytes become a `Transaction` when decoded, and a `VerifiedTransaction` when the signature is good; the core accepts
only the last (docs/protocol.md §2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from blockchain.errors import InvalidSignature
from blockchain.primitives import codec
from blockchain.primitives.crypto import (
    Address,
    Hash32,
    PublicKey,
    Signature,
    SigningKey,
    tagged,
    tagged_hash,
    tagged_hashes,
    verify,
)
from blockchain.primitives.scalars import (
    NO_SIGNATURE,
    SIGNATURE_TAIL_BYTES,
    AddressField,
    Amount,
    Height,
    Nonce,
    PositiveAmount,
    PublicKeyField,
    SignatureField,
)

TRANSACTION_BYTES_MAX: Final = 1_024  # the largest kind of the account ledger takes about 330
_SIGN_TAG: Final = "transaction"
_POSSESSION_TAG: Final = "validator-key"
_ID_TAG: Final = "transaction-id"


class Exchange(Struct, frozen=True, array_like=True, tag="EXCHANGE", forbid_unknown_fields=True, gc=False):
    """Mint `amount` to `recipient`: valid only from the issuer that genesis names, up to the supply bound."""

    recipient: AddressField
    amount: PositiveAmount


class Transfer(Struct, frozen=True, array_like=True, tag="TRANSFER", forbid_unknown_fields=True, gc=False):
    """Move `amount` from the sender to `recipient`."""

    recipient: AddressField
    amount: PositiveAmount


class Stake(Struct, frozen=True, array_like=True, tag="STAKE", forbid_unknown_fields=True, gc=False):
    """Lock `amount` of the sender's balance as stake; `validator_key` signs its votes (none: the account's own).

    A key that is named comes with its `proof` (`prove_possession`): nobody validates with a key that is not its own.
    """

    amount: PositiveAmount
    validator_key: PublicKeyField | None = None
    proof: SignatureField | None = None

    def __post_init__(self) -> None:
        if (self.validator_key is None) != (self.proof is None):
            raise ValueError("a validator key and its proof stand together")


class Unstake(Struct, frozen=True, array_like=True, tag="UNSTAKE", forbid_unknown_fields=True, gc=False):
    """Take `amount` of the sender's stake back: it leaves the set after the delay, and is paid out after unbonding."""

    amount: PositiveAmount


class Rotate(Struct, frozen=True, array_like=True, tag="ROTATE", forbid_unknown_fields=True, gc=False):
    """Validate with another key from the next set on that is not closed yet."""

    validator_key: PublicKeyField
    proof: SignatureField


class Pause(Struct, frozen=True, array_like=True, tag="PAUSE", forbid_unknown_fields=True, gc=False):
    """Leave the set for `blocks` heights, announced, without a penalty."""

    blocks: PositiveAmount


class Resume(Struct, frozen=True, array_like=True, tag="RESUME", forbid_unknown_fields=True, gc=False):
    """Come back from a suspension, or early from a pause."""


_NAMING: Final = (Stake, Rotate)  # the kinds that may name a validator key
Payload = Exchange | Transfer | Stake | Unstake | Rotate | Pause | Resume
# The kinds that name a recipient; all others concern the sender's own stake. The usual one first: `isinstance` says no
# of a struct in six times the time in which it says yes.
PAYMENTS: Final = (Transfer, Exchange)


class Transaction(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The envelope. The signature comes last and has a fixed length: what is signed is a slice of the encoding."""

    version: Literal[1]
    sender: AddressField
    nonce: Nonce
    fee: Amount
    expiry: Height | None  # the last height at which it may stand in a block
    payload: Payload
    signature: SignatureField = NO_SIGNATURE

    @property
    def kind(self) -> str:
        return str(type(self.payload).__struct_config__.tag)


def parties_of(transaction: Transaction) -> tuple[Address, ...]:
    """The accounts that it names as sender or recipient, the sender first; one where both are the same."""
    payload, sender = transaction.payload, transaction.sender
    if not isinstance(payload, PAYMENTS) or payload.recipient == sender:
        return (sender,)
    return (sender, payload.recipient)


class VerifiedTransaction(Struct, frozen=True, gc=False):
    """A transaction whose signature is good, with its canonical bytes and its id; hashed and encoded once."""

    id: Hash32
    raw: bytes
    transaction: Transaction


def decode_transaction(raw: bytes) -> Transaction:
    """Canonical bytes (at most TRANSACTION_BYTES_MAX) to a Transaction. Raises MalformedMessage."""
    return codec.decode(raw, Transaction, bytes_max=TRANSACTION_BYTES_MAX)


def transaction_id(genesis_hash: bytes, raw: bytes) -> Hash32:
    """The id hashes everything, the signature included (protocol §2)."""
    return tagged_hash(_ID_TAG, genesis_hash, raw)


def transaction_ids(genesis_hash: bytes, raws: Iterable[bytes]) -> tuple[Hash32, ...]:
    """The ids of many, in their order."""
    return tuple(tagged_hashes(_ID_TAG, genesis_hash, raws))


def sign_transaction(unsigned: Transaction, key: SigningKey, genesis_hash: bytes) -> Transaction:
    """The same transaction with `key`'s signature for this chain."""
    message = tagged(_SIGN_TAG, genesis_hash, codec.encode(unsigned)[:-SIGNATURE_TAIL_BYTES])
    return msgspec.structs.replace(unsigned, signature=key.sign(message))


def prove_possession(key: SigningKey, sender: Address, nonce: int, genesis_hash: bytes) -> Signature:
    """The proof that whoever holds the validator key `key` lets `sender` name it in its transaction `nonce`."""
    return key.sign(_possession_message(sender, nonce, genesis_hash))


def verify_transaction(raw: bytes, genesis_hash: bytes) -> VerifiedTransaction:
    """Decode canonical bytes and check all signatures. Raises MalformedMessage or InvalidSignature."""
    transaction = check_transaction(raw, genesis_hash)
    return VerifiedTransaction(transaction_id(genesis_hash, raw), raw, transaction)


def check_transaction(raw: bytes, genesis_hash: bytes) -> Transaction:
    """The same without the id, for who has hashed it before."""
    transaction = decode_transaction(raw)
    message = tagged(_SIGN_TAG, genesis_hash, raw[:-SIGNATURE_TAIL_BYTES])
    if not verify(PublicKey(transaction.sender), message, transaction.signature):
        raise InvalidSignature("the transaction")
    if type(transaction.payload) in _NAMING:
        _verify_possession(transaction, genesis_hash)
    return transaction


def _verify_possession(transaction: Transaction, genesis_hash: bytes) -> None:
    """A validator key that is named signs too. Raises InvalidSignature."""
    match transaction.payload:
        case Stake(validator_key=bytes() as key, proof=bytes() as proof) | Rotate(validator_key=key, proof=proof):
            message = _possession_message(transaction.sender, transaction.nonce, genesis_hash)
            if not verify(PublicKey(key), message, proof):
                raise InvalidSignature("the validator key")


def _possession_message(sender: Address, nonce: int, genesis_hash: bytes) -> bytes:
    return tagged(_POSSESSION_TAG, genesis_hash, codec.encode((sender, nonce)))


RawTransaction = Annotated[bytes, Meta(min_length=1, max_length=TRANSACTION_BYTES_MAX)]
