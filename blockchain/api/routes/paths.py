"""How a path is declared: both spellings, its answer's schema, and the problems that it may answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, cast

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from blockchain.api.body import BodyLimits
from blockchain.api.problems import PROBLEM_MEDIA_TYPE
from blockchain.api.rendered import RenderedBlocks
from blockchain.api.routes.parameters import KnownParameters, query_names
from blockchain.node.views import NodeReader

Endpoint = Callable[..., Coroutine[None, None, Response]]
Codes = str | tuple[str, ...]  # one problem of a status, or several
_JSON: Final = "application/json"
# Of what an answer is rendered from, as it is stored. So many bytes take one and a half milliseconds to render; a
# thread takes 0.12 to begin with, and may have the interpreter for five before the loop has its turn again.
INLINE_BYTES_MAX: Final = 32 * 1024
# What any path may answer, whatever it is: limits, the wrong host, a node that fails or ends.
COMMON_PROBLEMS: Final[dict[int, Codes]] = {
    400: "bad_request",
    405: "method_not_allowed",
    408: "request_too_slow",
    414: "url_too_long",
    421: "wrong_host",
    422: "unknown_parameter",
    429: "too_many_requests",
    431: "head_too_large",
    500: "internal_error",
    503: ("too_many_connections", "stopping", "store_damaged"),
}
# What any path that takes a body may answer beside these.
BODY_PROBLEMS: Final[dict[int, Codes]] = {
    400: ("malformed_json", "body_incomplete"),
    408: "body_too_slow",
    413: "body_too_large",
}


def add_path(
    router: APIRouter,
    path: str,
    endpoint: Endpoint,
    answer: type[BaseModel] | object,
    *,
    method: str = "GET",
    status: int = HTTPStatus.OK,
    also: Mapping[int, type[BaseModel]] | None = None,
    problems: Mapping[int, Codes] | None = None,
    request_body: dict[str, object] | None = None,
) -> None:
    """Register `path` and its other spelling; the first line of the endpoint's docstring is its summary.

    `also` are answers of other good statuses; `problems` maps a status to the code, or the codes, that go with it.
    Those that every path may answer are added.
    """
    summary, _, description = (endpoint.__doc__ or "").strip().partition("\n")
    for spelling in (path, path.rstrip("/") if path.endswith("/") else f"{path}/"):
        router.add_api_route(
            spelling,
            endpoint,
            methods=[method],
            response_model=answer,
            status_code=status,
            summary=summary.rstrip("."),
            description=description.strip(),
            responses=_answers(also or {}, problems or {}),
            openapi_extra=None if request_body is None else {"requestBody": request_body},
            include_in_schema=spelling == path,
            dependencies=[Depends(KnownParameters(query_names(endpoint)))],
        )


def answer_json(value: object, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, _JSON)


async def answer_rendered(render: Callable[[], object], size: int, headers: dict[str, str] | None = None) -> Response:
    """What `render` makes of some `size` bytes: at once, or in a thread where that would hold up the loop."""
    if size <= INLINE_BYTES_MAX:
        return answer_json(render(), headers=headers)
    return await run_in_threadpool(lambda: answer_json(render(), headers=headers))


async def node_of(request: Request) -> NodeReader:
    return cast("NodeReader", request.app.state.node)


NodeOf = Annotated[NodeReader, Depends(node_of)]  # what an endpoint says to get the node


async def rendered_of(request: Request) -> RenderedBlocks:
    return cast("RenderedBlocks", request.app.state.rendered)


RenderedOf = Annotated[RenderedBlocks, Depends(rendered_of)]


async def body_limits_of(request: Request) -> BodyLimits:
    return cast("BodyLimits", request.app.state.body_limits)


def _answers(also: Mapping[int, type[BaseModel]], problems: Mapping[int, Codes]) -> dict[int | str, dict[str, Any]]:
    answers: dict[int | str, dict[str, Any]] = {status: {"model": model} for status, model in also.items()}
    for status in sorted({*problems, *COMMON_PROBLEMS}):
        codes = (*_codes(problems.get(status, ())), *_codes(COMMON_PROBLEMS.get(status, ())))
        answers[status] = _problem_answer(status, tuple(dict.fromkeys(codes)))
    return answers


def _codes(given: Codes) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given


def _problem_answer(status: int, codes: tuple[str, ...]) -> dict[str, Any]:
    """One answer for all problems of a status, with an example of each; the schema stands among the components."""
    phrase = HTTPStatus(status).phrase
    common = {"type": "about:blank", "title": phrase, "status": status, "detail": "what is wrong"}
    examples = {code: {"value": {**common, "code": code}} for code in codes}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}
    named = ", ".join(f"`{code}`" for code in codes)
    return {"description": f"{phrase}, as a problem document: {named}", "content": {PROBLEM_MEDIA_TYPE: content}}
