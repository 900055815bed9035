"""The shapes of an account's history and of the fee hint, for the OpenAPI document and the tests; see `schemas`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from blockchain.api import examples
from blockchain.api.schemas import Hash, Number, Part, PooledTransaction, TimeMs, config_with


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
    """`included` is what the `transactions` of the newest `blocks` paid, or null where there are none."""

    model_config = config_with(examples.FEES)
    minimum: Number
    is_pool_full: bool
    pending: Number
    blocks: Number
    transactions: Number
    included: FeeRange | None
