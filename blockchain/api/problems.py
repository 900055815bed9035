"""Errors as RFC 9457 problem documents: every answer of 400 and above is one, and carries the error's stable code.

`type` is "about:blank" and `title` the status's own phrase (RFC 9457 §4.2.1); which problem it is stands in `code`,
an extension member, because logs, client and tests use the same codes.
"""

from __future__ import annotations

import asyncio
import logging
import math
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final, assert_never

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from blockchain.errors import InvalidAddress, InvalidTransaction, Refusal, StoreError

RETRY_SECONDS: Final = 5  # for who meets a node that is full or ends: by then there may be room, or another node
PROBLEM_MEDIA_TYPE: Final = "application/problem+json"
_LOGGER: Final = logging.getLogger("blockchain.api")
_STOPPING: Final = Refusal(
    503,
    "stopping",
    "the node is stopping; whether a transaction of this request was taken, its id will tell",
    retry_after=RETRY_SECONDS,
)
_DAMAGED: Final = "this node cannot read that from its disk: ask another one; its log says why, and what to do"
EXPECTED: Final = (Refusal, InvalidTransaction, InvalidAddress, StoreError)  # what endpoints raise
_CODES: Final = {  # what the framework itself answers
    HTTPStatus.BAD_REQUEST: "bad_request",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
}
_DETAILS: Final = {
    HTTPStatus.NOT_FOUND: "there is nothing at this path; /api/v1/docs lists what there is",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path does not take this method",
}


def problem(
    status: int,
    code: str,
    detail: str,
    members: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The document itself, as a response."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **(members or {}),
    }
    return Response(msgspec.json.encode(document), status, headers, PROBLEM_MEDIA_TYPE)


def refusal_answer(refusal: Refusal) -> Response:
    """The document of a refusal, with the headers that go with it (RFC 9110 §10.2.3, §11.6.1)."""
    headers = {}
    if refusal.retry_after:
        headers["Retry-After"] = str(math.ceil(refusal.retry_after))
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return problem(refusal.status, refusal.code, refusal.detail, refusal.members, headers)


def answer_with_problems(app: FastAPI) -> None:
    """Make every expected error of this application a problem document."""
    for kind in EXPECTED:
        app.add_exception_handler(kind, _on_expected)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_parameter)


def problem_of(error: Refusal | InvalidTransaction | InvalidAddress | StoreError) -> Response:
    """The document of an error that endpoints raise."""
    match error:
        case Refusal():
            return refusal_answer(error)
        case InvalidTransaction() | InvalidAddress():
            return problem(HTTPStatus.UNPROCESSABLE_ENTITY, error.code, str(error))
        case StoreError():
            return _store_error(error)
        case _:
            assert_never(error)


def _store_error(error: StoreError) -> Response:
    """What was asked for is damaged, or the disk does not give it; the node goes on with what it holds itself."""
    extra = {"evt.name": "store_damaged", "why": str(error)}
    _LOGGER.error("a request cannot be answered: %s; `blockchain db check` reads all of it", error, extra=extra)
    return problem(HTTPStatus.SERVICE_UNAVAILABLE, "store_damaged", _DAMAGED)


async def _on_expected(_request: Request, error: Exception) -> Response:
    assert isinstance(error, EXPECTED)
    return problem_of(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    code = _CODES.get(status, f"http_{status.value}")
    headers = error.headers
    methods = _methods_of(request) if status == HTTPStatus.METHOD_NOT_ALLOWED else set()
    if methods:
        headers = {"Allow": ", ".join(sorted(methods))}
    return problem(status, code, _DETAILS.get(status, error.detail), None, headers)


def _methods_of(request: Request) -> set[str]:
    """Of a path in the document: each method has a route of its own there, and the framework names the first one's."""
    asked = request.scope["path"].strip("/").split("/")
    return {
        method.upper()
        for path, operations in request.app.openapi()["paths"].items()
        if _fits(asked, path.strip("/").split("/"))
        for method in operations
    }


def _fits(asked: list[str], path: list[str]) -> bool:
    return len(asked) == len(path) and all(
        part == given or part.startswith("{") for given, part in zip(asked, path, strict=True)
    )


async def _on_invalid_parameter(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"where": ".".join(map(str, item["loc"])), "why": str(item["msg"])} for item in error.errors()]
    detail = "; ".join(f"{item['where']}: {item['why']}" for item in found)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_parameter", detail, {"errors": found})


class UnexpectedErrors:
    """The outermost layer: an error that nobody expected becomes one log event and a problem document of 500.

    The document does not say what went wrong: that is for the operator, in the log. A request that is cut off because
    the node ends is told so, and is no event.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except asyncio.CancelledError:  # by the server alone, when the node ends
            if not has_started:
                await refusal_answer(_STOPPING)(scope, receive, send)
        except Exception as error:
            _log_unexpected(error)
            if has_started:
                raise  # too late for another answer: the server closes the connection
            response = problem(500, "internal_error", "the node failed to answer; its log says why")
            await response(scope, receive, send)


def _log_unexpected(error: Exception) -> None:
    _LOGGER.error(
        "a request failed: %s: %s",
        type(error).__name__,
        error,
        extra={
            "error.kind": type(error).__name__,
            "error.message": str(error),
            "error.stack": "".join(traceback.format_exception(error)),
        },
    )
