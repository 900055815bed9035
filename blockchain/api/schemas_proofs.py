"""The shapes of proofs, for the OpenAPI document and the tests; see `schemas`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from blockchain.api import examples
from blockchain.api.schemas import (
    AddressText,
    Bytes,
    Hash,
    Key,
    Number,
    Part,
    SignedTransaction,
    config_with,
)
from blockchain.api.schemas_blocks import CertificatePart, HeaderPart


class HeaderProof(Part):
    """`header` is what was signed and is checked, canonical bytes; `block` is the same for people."""

    header: Bytes
    block: HeaderPart
    certificate: CertificatePart


class TransactionProofAnswer(HeaderProof):
    """`raw` is the transaction's canonical bytes, `path` the hashes beside the way to the root, leaf first."""

    model_config = config_with(examples.TRANSACTION_PROOF)
    id: Hash
    raw: Bytes
    transaction: SignedTransaction
    position: Number
    path: list[Hash]


class StateQuery(Part):
    """The leaf at which the way to one record's key ends, or no value: an empty place (LIP-0039)."""

    key: Hash
    value: Bytes
    bitmap: Bytes


class StateProofPart(Part):
    """`queries` are two: for the record of the account, and for that of its stake."""

    sibling_hashes: list[Hash]
    queries: Annotated[list[StateQuery], Field(min_length=2, max_length=2)]


class AccountProofAnswer(HeaderProof):
    model_config = config_with(examples.ACCOUNT_PROOF)
    address: AddressText
    public_key: Key
    proof: StateProofPart
