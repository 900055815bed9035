"""Transactions: the envelope, the kinds of the account ledger, and their ids.

Bytes become a `Transaction` when decoded, and a `VerifiedTransaction` when the signature is good; the core accepts
only the last (docs/protocol.md §2).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from blockchain.errors import InvalidSignature
from blockchain.primitives import codec
from blockchain.primitives.crypto import Address, Hash32, PublicKey, SigningKey, tagged, tagged_hash, verify
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

TRANSACTION_BYTES_MAX: Final = 1_024  # the largest kind of the account ledger takes about 250
_SIGN_TAG: Final = "transaction"
_ID_TAG: Final = "transaction-id"


class Exchange(Struct, frozen=True, array_like=True, tag="EXCHANGE", forbid_unknown_fields=True):
    """Mint `amount` to `recipient`: valid only from the issuer that genesis names, up to the supply bound."""

    recipient: AddressField
    amount: PositiveAmount


class Transfer(Struct, frozen=True, array_like=True, tag="TRANSFER", forbid_unknown_fields=True):
    """Move `amount` from the sender to `recipient`."""

    recipient: AddressField
    amount: PositiveAmount


class Stake(Struct, frozen=True, array_like=True, tag="STAKE", forbid_unknown_fields=True):
    """Lock `amount` of the sender's balance as stake; `validator_key` signs its votes (none: the account's own)."""

    amount: PositiveAmount
    validator_key: PublicKeyField | None = None


Payload = Exchange | Transfer | Stake


class Transaction(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
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
    payload = transaction.payload
    sender = Address(transaction.sender)
    if isinstance(payload, Stake) or payload.recipient == sender:
        return (sender,)
    return (sender, Address(payload.recipient))


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


def sign_transaction(unsigned: Transaction, key: SigningKey, genesis_hash: bytes) -> Transaction:
    """The same transaction with `key`'s signature for this chain."""
    message = tagged(_SIGN_TAG, genesis_hash, codec.encode(unsigned)[:-SIGNATURE_TAIL_BYTES])
    return msgspec.structs.replace(unsigned, signature=key.sign(message))


def verify_transaction(raw: bytes, genesis_hash: bytes) -> VerifiedTransaction:
    """Decode canonical bytes and check the signature. Raises MalformedMessage or InvalidSignature."""
    transaction = decode_transaction(raw)
    message = tagged(_SIGN_TAG, genesis_hash, raw[:-SIGNATURE_TAIL_BYTES])
    if not verify(PublicKey(transaction.sender), message, transaction.signature):
        raise InvalidSignature("the transaction")
    return VerifiedTransaction(transaction_id(genesis_hash, raw), raw, transaction)


RawTransaction = Annotated[bytes, Meta(min_length=1, max_length=TRANSACTION_BYTES_MAX)]
