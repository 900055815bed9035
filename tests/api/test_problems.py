"""Whatever goes wrong is a problem document, and what nobody expected is in the log and not in the answer."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from blockchain.api.problems import UnexpectedErrors, answer_with_problems
from tests.api.asking import ask, check_problem
from tests.api.fake_node import FakeNode


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api/v1/", "/api/v1/nothing/", "/api/v1/static/nothing.js", "/docs"]
)
def test_a_path_that_is_not_there(path: str) -> None:
    document = check_problem(ask(FakeNode(), path), 404, "not_found")
    assert document["title"] == "Not Found"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/ping/", "GET"),
        ("DELETE", "/api/v1/status", "GET"),
        ("GET", "/api/v1/transaction/create/", "POST"),
        ("PUT", "/api/v1/transaction/create", "POST"),
    ],
)
def test_a_method_that_a_path_does_not_take(method: str, path: str, allowed: str) -> None:
    response = ask(FakeNode(), path, method)
    check_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/api/v1/status/", "/readyz", "/api/v1/blockchain/"])
def test_an_error_that_nobody_expected(path: str, caplog: pytest.LogCaptureFixture) -> None:
    node = FakeNode()
    node.breaks_with = RuntimeError("the secret of the database")
    with caplog.at_level(logging.INFO, "blockchain.api"):
        response = ask(node, path)
    document = check_problem(response, 500, "internal_error")
    assert "secret" not in response.text
    assert document["title"] == "Internal Server Error"

    failure, access = caplog.records
    assert failure.levelno == logging.ERROR
    assert failure.getMessage() == "a request failed: RuntimeError: the secret of the database"
    assert failure.__dict__["error.kind"] == "RuntimeError"
    assert failure.__dict__["error.message"] == "the secret of the database"
    assert "_enter" in failure.__dict__["error.stack"]
    assert access.__dict__["http.status_code"] == 500


def test_an_error_after_the_answer_began_ends_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError("halfway")

    async def once() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(UnexpectedErrors(broken))) as http:
            await http.get("http://node/")

    with caplog.at_level(logging.ERROR, "blockchain.api"), pytest.raises(RuntimeError, match="halfway"):
        asyncio.run(once())
    assert [record.__dict__["error.kind"] for record in caplog.records] == ["RuntimeError"]


def test_what_the_framework_refuses_for_other_reasons() -> None:
    app = FastAPI()
    answer_with_problems(app)

    @app.get("/teapot")
    async def teapot() -> StreamingResponse:
        raise HTTPException(418, "short and stout", {"X-Spout": "yes"})

    async def once() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
            return await http.get("http://node/teapot")

    response = asyncio.run(once())
    check_problem(response, 418, "http_418")
    assert response.headers["x-spout"] == "yes"
