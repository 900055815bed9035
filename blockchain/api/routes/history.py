"""What an account did and was given, and what recent transactions paid: read from the final blocks."""

from __future__ import annotations

import statistics
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from blockchain.api import render
from blockchain.api.routes.chain import newest_blocks, page_of
from blockchain.api.routes.parameters import AddressPath, Digits
from blockchain.api.routes.paths import NodeOf, RenderedOf, add_path, answer_json, answer_rendered
from blockchain.api.schemas_history import FeesAnswer, HistoryAnswer
from blockchain.errors import StoreError
from blockchain.node.mempool import BYTES_MAX, TRANSACTIONS_MAX
from blockchain.node.views import PoolView
from blockchain.primitives.address import format_address, parse_address
from blockchain.primitives.block import decode_block
from blockchain.primitives.jsonform import JsonObject
from blockchain.primitives.transaction import TRANSACTION_BYTES_MAX, decode_transaction
from blockchain.seams import FinalBlock

HISTORY_ENTRIES: Final = 20
HISTORY_ENTRIES_MAX: Final = 100
FEE_BLOCKS: Final = 20  # a minute or two where transactions flow: what was paid lately, and not last week
Place = tuple[int, int]  # height and position


async def get_history(
    node: NodeOf,
    rendered: RenderedOf,
    address: AddressPath,
    limit: Annotated[
        int, Field(ge=1, le=HISTORY_ENTRIES_MAX), Digits, Query(examples=[HISTORY_ENTRIES])
    ] = HISTORY_ENTRIES,
    cursor: Annotated[
        str | None,
        Query(pattern="^[0-9]{1,15}:[0-9]{1,9}$", description="height:position; only what is older", examples=["3:0"]),
    ] = None,
) -> Response:
    """The final transactions that name an account.

    As sender or recipient, newest first. `next` is the `cursor` of the page of older ones, or null; new blocks do not
    move it. A page ends early, after at least one entry, where the blocks to be read are large.
    """
    account = parse_address(address)
    before = None if cursor is None else _place_of(cursor)
    with node.one_moment():
        places = node.history(account, before, limit + 1)
        heights = dict.fromkeys(height for height, _ in places[:limit])
        blocks = {block.height: block for block in page_of(node, heights)}
    shown = [place for place in places[:limit] if place[0] in blocks]
    is_there = (0 <= position < len(blocks[height].transaction_ids) for height, position in shown)
    if bool(shown) != bool(places) or not all(is_there):
        raise StoreError(f"the history of {format_address(account)} names a transaction that is not there")
    following = shown[-1] if shown and len(shown) < len(places) else None
    known = {height: rendered.of(block) for height, block in blocks.items()}
    size = sum(block.bytes_to_decode for block in known.values())
    return await answer_rendered(lambda: render.history(account, shown, known, following), size)


async def get_fees(node: NodeOf) -> Response:
    """What a fee buys now.

    No fee is too low while there is room: `minimum` is 0. In a full pool it is null: there what applies takes the place
    of what waits, or of what pays less. Where more is ready than a block takes, the higher fee goes first: `included`
    says what the newest blocks took.
    """
    pool = node.status().pool
    blocks = newest_blocks(node, None, FEE_BLOCKS)
    return await run_in_threadpool(lambda: answer_json(_fees(pool, blocks)))


def history_routes() -> APIRouter:
    router = APIRouter(tags=["history"])
    add_path(
        router,
        "/accounts/{address}/transactions/",
        get_history,
        HistoryAnswer,
        problems={422: ("invalid_address", "invalid_parameter")},
    )
    add_path(router, "/fees/", get_fees, FeesAnswer)
    return router


def _place_of(cursor: str) -> Place:
    height, _, position = cursor.partition(":")
    return int(height), int(position)


def _fees(pool: PoolView, blocks: list[FinalBlock]) -> JsonObject:
    paid = sorted(decode_transaction(raw).fee for block in blocks for raw in decode_block(block.raw).transactions)
    middle = statistics.median_low(paid) if paid else 0
    is_full = pool.pending >= TRANSACTIONS_MAX or pool.bytes > BYTES_MAX - TRANSACTION_BYTES_MAX
    return {
        "minimum": None if is_full else 0,
        "is_pool_full": is_full,
        "pending": pool.pending,
        "blocks": len(blocks),
        "transactions": len(paid),
        "included": {"min": paid[0], "median": middle, "max": paid[-1]} if paid else None,
    }
