"""Final blocks, what genesis says, and the parent project's page of the chain."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from blockchain.api import render
from blockchain.api.rendered import RenderedBlock, RenderedBlocks
from blockchain.api.routes.parameters import BlockPath, Digits, read_block_reference
from blockchain.api.routes.paths import NodeOf, RenderedOf, add_path, answer_json, answer_rendered
from blockchain.api.schemas_blocks import BlockAnswer, BlocksAnswer, GenesisAnswer
from blockchain.api.schemas_history import RangeAnswer
from blockchain.errors import Refusal
from blockchain.node.views import NodeReader
from blockchain.primitives.scalars import INTEGER_MAX
from blockchain.seams import FinalBlock

PAGE_BLOCKS: Final = 20
PAGE_BLOCKS_MAX: Final = 100
PAGE_BYTES_MAX: Final = 1024 * 1024  # of blocks as they are stored; as JSON a page is two to three times that


async def list_blocks(
    node: NodeOf,
    rendered: RenderedOf,
    before: Annotated[
        int | None,
        Field(ge=1, le=INTEGER_MAX),
        Digits,
        Query(description="only blocks below this height", examples=[4]),
    ] = None,
    limit: Annotated[int, Field(ge=1, le=PAGE_BLOCKS_MAX), Digits, Query(examples=[PAGE_BLOCKS])] = PAGE_BLOCKS,
) -> Response:
    """A page of final blocks.

    The newest ones, lowest height first. `next` is the `before` of the page of older blocks, or null at the
    beginning of the chain. A page ends early, after at least one block, where the blocks are large.
    """
    blocks = rendered_all(rendered, newest_blocks(node, before, limit))
    return await answer_rendered(lambda: render.page(blocks), bytes_left(blocks))


async def list_range(
    node: NodeOf,
    rendered: RenderedOf,
    first: Annotated[
        int, Field(ge=1, le=INTEGER_MAX), Digits, Query(alias="from", description="the first height", examples=[1])
    ] = 1,
    last: Annotated[
        int | None,
        Field(ge=1, le=INTEGER_MAX),
        Digits,
        Query(alias="to", description="the last height; default: the newest", examples=[3]),
    ] = None,
    limit: Annotated[int, Field(ge=1, le=PAGE_BLOCKS_MAX), Digits, Query(examples=[PAGE_BLOCKS])] = PAGE_BLOCKS,
) -> Response:
    """Final blocks from one height to another.

    Lowest height first. `next` is the `from` of the page that follows, or null when the range is complete up to
    `height`, this node's newest block. A page ends early, after at least one block, where the blocks are large.
    """
    if last is not None and last < first:
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_range", f"`from` is {first}, and `to` only {last}")
    head = node.status().height
    end = head if last is None else min(head, last)
    blocks = rendered_all(rendered, page_of(node, range(first, min(end, first + limit - 1) + 1)))
    following = blocks[-1].final.height + 1 if blocks else first
    more = following if following <= end else None
    return await answer_rendered(lambda: render.block_range(blocks, more, head), bytes_left(blocks))


async def get_block(node: NodeOf, rendered: RenderedOf, reference: BlockPath) -> Response:
    """One final block, by its height or by its id.

    With the certificate that made it final, and its parent's.
    """
    named = read_block_reference(reference)
    height = named if isinstance(named, int) else node.height_of(named)
    found = None if height is None else node.block(height)
    if found is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "block_not_found", f"this node has no final block {reference}")
    block = rendered.of(found)
    return await answer_rendered(block.full, block.bytes_left_in_full)


async def get_genesis(node: NodeOf) -> Response:
    """What all nodes of this chain share.

    At most 1,000 accounts are listed; `account_count` says how many there are.
    """
    spec, genesis_hash = node.spec, node.genesis_hash
    return await run_in_threadpool(lambda: answer_json(render.genesis(spec, genesis_hash)))


def chain_routes() -> APIRouter:
    router = APIRouter(tags=["chain"])
    add_path(router, "/blockchain/", list_blocks, BlocksAnswer, problems={422: "invalid_parameter"})
    add_path(router, "/blocks/", list_range, RangeAnswer, problems={422: ("invalid_range", "invalid_parameter")})
    add_path(
        router,
        "/blocks/{reference}/",
        get_block,
        BlockAnswer,
        problems={404: "block_not_found", 422: "invalid_block_reference"},
    )
    add_path(router, "/genesis/", get_genesis, GenesisAnswer)
    return router


def newest_blocks(node: NodeReader, before: int | None, limit: int) -> list[FinalBlock]:
    """At most `limit` blocks, and PAGE_BYTES_MAX of them, below a height (None: the newest); lowest height first."""
    head = node.status().height
    top = head if before is None else min(head, before - 1)
    return page_of(node, range(top, max(top - limit, 0), -1))[::-1]


def page_of(node: NodeReader, heights: Iterable[int]) -> list[FinalBlock]:
    """The blocks of these heights, one at least, until one is missing or the page has PAGE_BYTES_MAX."""
    blocks: list[FinalBlock] = []
    taken_bytes = 0
    with node.one_moment():
        for height in heights:
            found = node.block(height)
            if found is None:
                break
            taken_bytes += len(found.raw)
            if blocks and taken_bytes > PAGE_BYTES_MAX:
                break
            blocks.append(found)
    return blocks


def rendered_all(rendered: RenderedBlocks, blocks: Iterable[FinalBlock]) -> list[RenderedBlock]:
    return [rendered.of(block) for block in blocks]


def bytes_left(blocks: Iterable[RenderedBlock]) -> int:
    """Of these blocks together, as `RenderedBlock.bytes_left`."""
    return sum(block.bytes_left for block in blocks)
