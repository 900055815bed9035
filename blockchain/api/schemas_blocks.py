"""The shapes of blocks, with their certificates and evidence, and of genesis; see `schemas`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from blockchain.api import examples
from blockchain.api.schemas import (
    AddressText,
    Hash,
    Key,
    Number,
    Part,
    PooledTransaction,
    Positive,
    RoundOrNone,
    SignatureHex,
    TimeMs,
    config_with,
)


class PrecommitEntry(Part):
    """`index` is the validator's place in the set of that height."""

    index: Number
    signature: SignatureHex


class CertificatePart(Part):
    height: Number
    round: Number
    block_id: Hash
    precommits: list[PrecommitEntry]


class VotePart(Part):
    height: Number
    round: Number
    step: Literal["prevote", "precommit"]
    block_id: Hash | None
    polka_round: RoundOrNone
    validator: AddressText
    signature: SignatureHex


class ProposalPart(Part):
    height: Number
    round: Number
    valid_round: RoundOrNone
    block_id: Hash
    forger: AddressText
    signature: SignatureHex


class ConflictingVotesPart(Part):
    kind: Literal["votes"]
    first: VotePart
    second: VotePart


class ConflictingProposalsPart(Part):
    kind: Literal["proposals"]
    first: ProposalPart
    second: ProposalPart


class ForgottenLockPart(Part):
    kind: Literal["lock"]
    precommit: VotePart
    prevote: VotePart


class HeaderPart(Part):
    """Every field of the header, so that the id can be computed."""

    id: Hash
    version: Literal[1]
    height: Number
    round: Number
    seed: Hash
    time_ms: TimeMs
    parent: Hash
    forger: AddressText
    vrf_proof: str
    transaction_root: Hash
    state_root: Hash
    validators_hash: Hash
    next_validators_hash: Hash
    evidence_root: Hash
    parent_certificate_hash: Hash
    transaction_count: Number
    evidence_count: Number


class PageBlock(HeaderPart):
    """The header with transactions and evidence."""

    model_config = config_with(examples.BLOCK)
    transactions: list[PooledTransaction]
    evidence: list[ConflictingVotesPart | ConflictingProposalsPart | ForgottenLockPart]


class BlockAnswer(PageBlock):
    model_config = config_with(examples.FULL_BLOCK)
    parent_certificate: CertificatePart
    certificate: CertificatePart


class BlocksAnswer(BaseModel):
    """Lowest height first; `next` is the `before` of the page of older blocks, or null."""

    model_config = config_with(examples.BLOCKS)
    blocks: list[PageBlock]
    next: Positive | None


class GenesisAccountPart(Part):
    address: AddressText
    balance: Number


class GenesisValidatorPart(Part):
    address: AddressText
    stake: Positive
    key: Key | None


class GenesisAnswer(BaseModel):
    model_config = config_with(examples.GENESIS)
    hash: Hash
    account_count: Number
    version: Literal[1]
    chain_id: str
    time_ms: TimeMs
    demo: bool
    engine: str
    ledger: str
    parameters: dict[str, int | None]
    issuer: AddressText | None
    accounts: list[GenesisAccountPart]
    validators: list[GenesisValidatorPart]
