"""What happened and why: the timeline of a height, and what each validator did lately."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from blockchain.api import render_seeing
from blockchain.api.routes.parameters import Digits
from blockchain.api.routes.paths import NodeOf, add_path, answer_json
from blockchain.api.schemas_seeing import WhyAnswer
from blockchain.errors import Refusal
from blockchain.primitives.scalars import INTEGER_MAX


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


def seeing_routes() -> APIRouter:
    router = APIRouter(tags=["state"])
    add_path(
        router,
        "/consensus/why/",
        get_why,
        WhyAnswer,
        problems={404: "height_not_found", 422: "invalid_parameter"},
    )
    return router
