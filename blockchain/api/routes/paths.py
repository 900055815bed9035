"""How a path is declared: both spellings, its answer's schema, and the problems that it may answer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Annotated, Any, Final, cast

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel

from blockchain.api.body import BodyLimits
from blockchain.api.problems import PROBLEM_MEDIA_TYPE
from blockchain.api.schemas import Problem
from blockchain.node.views import NodeReader

Endpoint = Callable[..., Coroutine[None, None, Response]]
_JSON: Final = "application/json"


def add_path(
    router: APIRouter,
    path: str,
    endpoint: Endpoint,
    answer: type[BaseModel] | object,
    *,
    method: str = "GET",
    status: int = HTTPStatus.OK,
    problems: dict[int, str] | None = None,
    request_body: dict[str, object] | None = None,
) -> None:
    """Register `path` and its other spelling; the first line of the endpoint's docstring is its summary.

    `problems` maps a status to the code that goes with it.
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
            responses=_problem_answers(problems or {}),
            openapi_extra=None if request_body is None else {"requestBody": request_body},
            include_in_schema=spelling == path,
        )


def answer_json(value: object, status: int = HTTPStatus.OK, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, headers, _JSON)


async def node_of(request: Request) -> NodeReader:
    return cast("NodeReader", request.app.state.node)


NodeOf = Annotated[NodeReader, Depends(node_of)]  # what an endpoint says to get the node


async def body_limits_of(request: Request) -> BodyLimits:
    return cast("BodyLimits", request.app.state.body_limits)


def _problem_answers(problems: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    answers: dict[int | str, dict[str, Any]] = {
        status: _problem_answer(status, code) for status, code in problems.items()
    }
    answers["default"] = _problem_answer(500, "internal_error")
    return answers


def _problem_answer(status: int, code: str) -> dict[str, Any]:
    phrase = HTTPStatus(status).phrase
    example = {"type": "about:blank", "title": phrase, "status": status, "detail": "what is wrong", "code": code}
    content = {"schema": Problem.model_json_schema(), "example": example}
    return {"description": f"{phrase}, as a problem document", "content": {PROBLEM_MEDIA_TYPE: content}}
