"""The shapes of what is read from many blocks (a range, a history, a fee hint); see `schemas`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from blockchain.api import examples
from blockchain.api.schemas import (
    AddressText,
    Hash,
    Number,
    Part,
    PooledTransaction,
    Positive,
    SignatureHex,
    SignedTransaction,
    TimeMs,
    config_with,
)
from blockchain.api.schemas_blocks import PageBlock


class RangeAnswer(BaseModel):
    """Lowest height first; `next` is the `from` of the page that follows, or null; `height` is the newest block's."""

    model_config = config_with(examples.RANGE)
    blocks: list[PageBlock]
    next: Positive | None
    height: Number


class DraftTransaction(SignedTransaction):
    """As for `create`; the signature may be left out."""

    signature: SignatureHex | None = None  # type: ignore[assignment]


class HoldingsPart(Part):
    """`stake` is all that the account has staked, that which does not count yet included."""

    balance: Number
    nonce: Number
    stake: Number
    unbonding: Number


class AccountChangePart(Part):
    address: AddressText
    before: HoldingsPart
    after: HoldingsPart


class DryRunAnswer(BaseModel):
    """At `height`, the next block's. `id` is null unless the signature is good; `replaces` waits with its nonce."""

    model_config = config_with(examples.DRY_RUN)
    outcome: Literal["applies", "waits", "refused", "known"]
    height: Positive
    code: str
    why: str
    signature: Literal["good", "bad", "absent"]
    id: Hash | None
    replaces: Hash | None
    changes: list[AccountChangePart]


class HistoryEntry(Part):
    """`direction` is seen from the account: "in", "out", or "self" for a transfer to itself."""

    height: Number
    position: Number
    block_id: Hash
    time_ms: TimeMs
    direction: Literal["in", "out", "self"]
    transaction: PooledTransaction


class HistoryAnswer(BaseModel):
    """Newest first; `next` is the `cursor` of the page of older entries, or null."""

    model_config = config_with(examples.HISTORY)
    entries: list[HistoryEntry]
    next: str | None


class FeeRange(Part):
    min: Number
    median: Number
    max: Number


class FeesAnswer(BaseModel):
    """`included` is what the `transactions` of the newest `blocks` paid; `minimum` is null while the pool is full."""

    model_config = config_with(examples.FEES)
    minimum: Number | None
    is_pool_full: bool
    pending: Number
    blocks: Number
    transactions: Number
    included: FeeRange | None
