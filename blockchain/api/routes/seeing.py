"""What happened and why: the timeline of a height, and what each validator did lately."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Query, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from blockchain.api import examples, render_seeing
from blockchain.api.render_seeing import Page
from blockchain.api.routes.parameters import AddressPath, Digits
from blockchain.api.routes.paths import NodeOf, add_path, answer_json
from blockchain.api.schemas_seeing import ValidatorAnswer, ValidatorsAnswer, WhyAnswer
from blockchain.errors import Refusal
from blockchain.primitives.address import parse_address
from blockchain.primitives.scalars import INTEGER_MAX

PAGE_VALIDATORS: Final = 100
PAGE_VALIDATORS_MAX: Final = 1_000  # some 400 KB as JSON


async def get_why(
    node: NodeOf,
    height: Annotated[
        int | None,
        Field(ge=1, le=INTEGER_MAX),
        Digits,
        Query(description="default: the height in progress", examples=[3]),
    ] = None,
) -> Response:
    """Why a height took as long as it did, or what it waits for.

    The timeline of the height as this node saw it, and a verdict in a sentence. Of a height that it did not see in
    progress (it keeps the newest 100) it says so, and what its store tells: who was drawn, who built the block, who
    signed it.
    """
    asked = node.status().consensus.height if height is None else height
    facts = node.why(asked)
    if facts is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "height_not_found", f"height {asked} is neither final here nor in progress")
    return await run_in_threadpool(lambda: answer_json(render_seeing.why(facts)))


async def list_validators(
    node: NodeOf,
    height: Annotated[
        int | None,
        Field(ge=1, le=INTEGER_MAX),
        Digits,
        Query(description="default: the height in progress", examples=[1]),
    ] = None,
    after: Annotated[
        str | None, Query(description="only those behind this address", examples=[examples.ADDRESS_A])
    ] = None,
    limit: Annotated[
        int, Field(ge=1, le=PAGE_VALIDATORS_MAX), Digits, Query(examples=[PAGE_VALIDATORS])
    ] = PAGE_VALIDATORS,
) -> Response:
    """The validator set of a height, in the order of its line of lots, and what each validator did lately.

    `next` is the `after` of the page that follows, or null; the set of a height never changes. What validators did is
    told for the height in progress: over the newest 1,000 blocks, or as many as this node was told of.
    """
    start = None if after is None else parse_address(after)
    in_progress = node.status().consensus.height
    try:
        chosen = node.validators(height)
    except LookupError:
        raise Refusal(404, "validators_not_found", f"this node does not hold the set of height {height}") from None
    records = node.records() if height in (None, in_progress) else None
    page = Page(in_progress if height is None else height, chosen, start, limit)
    genesis_hash = node.genesis_hash
    return await run_in_threadpool(lambda: answer_json(render_seeing.validators(page, genesis_hash, records)))


async def get_validator(node: NodeOf, address: AddressPath) -> Response:
    """What one validator did over the newest blocks, and why it missed a height, where this node knows it."""
    asked = parse_address(address)
    chosen, records, reasons = node.validators(), node.records(), node.missed(asked)
    told = await run_in_threadpool(lambda: render_seeing.validator(asked, chosen, records, reasons))
    if told is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "validator_not_found", "no validator now, nor in the newest blocks")
    return answer_json(told)


def seeing_routes() -> APIRouter:
    router = APIRouter(tags=["state"])
    add_path(
        router,
        "/consensus/why/",
        get_why,
        WhyAnswer,
        problems={404: "height_not_found", 422: "invalid_parameter"},
    )
    add_path(
        router,
        "/validators/",
        list_validators,
        ValidatorsAnswer,
        problems={404: "validators_not_found", 422: ("invalid_address", "invalid_parameter")},
    )
    add_path(
        router,
        "/validators/{address}/",
        get_validator,
        ValidatorAnswer,
        problems={404: "validator_not_found", 422: "invalid_address"},
    )
    return router
