"""Requests to an application without a network: one request, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cache

import httpx
from fastapi import FastAPI

from blockchain.api.app import ApiSettings, create_app
from blockchain.api.problems import PROBLEM_MEDIA_TYPE
from blockchain.node.views import NodeReader
from tests.api.fake_node import FakeNode


@cache
def _shared_app() -> FastAPI:
    return create_app(FakeNode())


def app_for(node: NodeReader) -> FastAPI:
    """One application, over this node from now on: building one takes longer than most requests."""
    app = _shared_app()
    app.state.node = node
    return app


def ask(
    node: NodeReader,
    path: str,
    method: str = "GET",
    *,
    settings: ApiSettings | None = None,
    content: bytes | AsyncIterator[bytes] | None = None,
    json: object = None,
    headers: dict[str, str] | None = None,
) -> httpx.Response:
    app = app_for(node) if settings is None else create_app(node, settings)

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=("192.0.2.7", 4321))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:
            return await http.request(method, path, content=content, json=json, headers=headers)

    return asyncio.run(once())


def check_problem(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    """The answer is a problem document of this status and code; returns it."""
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE
    document: dict[str, object] = response.json()
    assert (response.status_code, document["status"], document["code"]) == (status, status, code)
    assert document["type"] == "about:blank"
    assert document["title"]
    assert document["detail"]
    return document
