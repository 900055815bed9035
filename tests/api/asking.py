"""Requests to an application without a network: one request, one answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import cache
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp

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


Headers = dict[str, str] | list[tuple[bytes, bytes]]
Content = bytes | AsyncIterator[bytes]


def ask(
    node: NodeReader,
    path: str,
    method: str = "GET",
    *,
    settings: ApiSettings | None = None,
    content: Content | None = None,
    json: object = None,
    headers: Headers | None = None,
) -> httpx.Response:
    app = app_for(node) if settings is None else create_app(node, settings)
    return ask_app(app, path, method, content=content, json=json, headers=headers)


def ask_app(
    app: ASGIApp,
    path: str,
    method: str = "GET",
    *,
    content: Content | None = None,
    json: object = None,
    headers: Headers | None = None,
    client: str = "192.0.2.7",
) -> httpx.Response:
    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(client, 4321))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
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


def get_json(node: FakeNode, path: str) -> Any:
    """What the node answers with 200, as JSON."""
    response = ask(node, path)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()
