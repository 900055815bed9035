"""What genesis says: the parameters, accounts and validators that all nodes of a chain share (docs/protocol.md §9).

Its canonical hash is the chain's identity; `blockchain.genesis` loads, checks and writes it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_TRANSACTIONS_MAX
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.scalars import (
    VALIDATORS_MAX,
    AddressField,
    Amount,
    PositiveAmount,
    PublicKeyField,
    TimeMs,
)

GENESIS_ACCOUNTS_MAX: Final = 1_000_000
CHAIN_ID_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]*\Z"  # not $, which lets a newline pass
DurationMs = Annotated[int, Meta(ge=1, le=86_400_000)]
DeltaMs = Annotated[int, Meta(ge=0, le=86_400_000)]
BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]  # 1/10,000


class Parameters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rules of one chain that are numbers. Durations are in milliseconds, amounts in the smallest unit."""

    block_threshold: Annotated[int, Meta(ge=1, le=BLOCK_TRANSACTIONS_MAX)] = 1
    block_max_transactions: Annotated[int, Meta(ge=1, le=BLOCK_TRANSACTIONS_MAX)] = 1_000
    block_max_wait_ms: DurationMs | None = 1_000
    heartbeat_ms: DurationMs | None = None
    stake_delay: Annotated[int, Meta(ge=0, le=100_000)] = 32
    propose_timeout_ms: DurationMs = 3_000
    propose_delta_ms: DeltaMs = 500
    prevote_timeout_ms: DurationMs = 1_000
    prevote_delta_ms: DeltaMs = 500
    precommit_timeout_ms: DurationMs = 1_000
    precommit_delta_ms: DeltaMs = 500
    timeout_max_ms: DurationMs = 60_000
    commit_wait_ms: DeltaMs = 400  # longer than a round trip to the farthest: who is far away is not absent (§4.4)
    clock_drift_ms: DurationMs = 5_000
    supply_max: PositiveAmount = 2**53 - 1
    unbonding_blocks: Annotated[int, Meta(ge=1, le=10_000_000)] = 100_000
    unbonding_ms: Annotated[int, Meta(ge=1, le=10**12)] = 1_814_400_000  # three weeks
    stake_min: PositiveAmount = 10
    stake_step_max_bp: Annotated[int, Meta(ge=1, le=10_000)] | None = 1_000
    validators_max: Annotated[int, Meta(ge=1, le=VALIDATORS_MAX)] = 100
    reward_per_block: Amount = 0
    reward_forger_bp: BasisPoints = 3_000
    slash_bp: BasisPoints = 1_000
    evidence_reward_bp: Annotated[int, Meta(ge=0, le=900)] = 500
    absence_window: Annotated[int, Meta(ge=10, le=10_000)] | None = 1_000
    absence_share_bp: Annotated[int, Meta(ge=0, le=9_999)] = 5_000
    absence_slash_bp: Annotated[int, Meta(ge=0, le=100)] = 0
    pause_blocks_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 1_000
    pause_interval: Annotated[int, Meta(ge=1, le=10_000_000)] = 10_000
    active_share_min_bp: BasisPoints = 9_000


class GenesisAccount(Struct, frozen=True, forbid_unknown_fields=True):
    address: AddressField
    balance: Amount


class GenesisValidator(Struct, frozen=True, forbid_unknown_fields=True):
    """A validator of the first set; its key is the account's own where none is named."""

    address: AddressField
    stake: PositiveAmount
    key: PublicKeyField | None = None


class ChainSpec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of genesis, as a value."""

    version: Literal[1] = 1
    chain_id: Annotated[str, Meta(min_length=1, max_length=64, pattern=CHAIN_ID_PATTERN)]
    time_ms: TimeMs
    demo: bool = False
    engine: str = "pos"
    ledger: str = "accounts"
    parameters: Parameters
    issuer: AddressField | None = None
    accounts: Annotated[tuple[GenesisAccount, ...], Meta(max_length=GENESIS_ACCOUNTS_MAX)] = ()
    validators: Annotated[tuple[GenesisValidator, ...], Meta(min_length=1, max_length=VALIDATORS_MAX)]

    @property
    def hash(self) -> Hash32:
        """The chain's identity: SHA-256 of a tag and the canonical encoding of everything above."""
        tag = b"\x07genesis"
        return Hash32(sha256(tag + codec.encode(self)).digest())
