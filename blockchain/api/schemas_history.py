"""The shapes of what is read from many blocks (a range, a history, a fee hint); see `schemas`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from blockchain.api import examples
from blockchain.api.schemas import Hash, Number, PageBlock, Part, PooledTransaction, Positive, TimeMs, config_with


class RangeAnswer(BaseModel):
    """Lowest height first; `next` is the `from` of the page that follows, or null; `height` is the newest block's."""

    model_config = config_with(examples.RANGE)
    blocks: list[PageBlock]
    next: Positive | None
    height: Number


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
