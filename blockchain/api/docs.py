"""The pages of the documentation. Every asset is served by the node, and the page may load nothing from elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

STATIC_FOLDER: Final = Path(__file__).parent / "static"
# The bundle draws its icons from data: URLs and sets styles in attributes; all else comes from this node.
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


class _WholeFile(FileResponse):
    """Sent as a whole. What is wrong with a `Range` the framework says in plain text; one may ignore it (RFC 9110)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(_without_range(scope), receive, send)


class _WholeFiles(StaticFiles):
    """A folder of such files."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(_without_range(scope), receive, send)


def _without_range(scope: Scope) -> Scope:
    return {**scope, "headers": [one for one in scope["headers"] if one[0] != b"range"]}


def add_docs(app: FastAPI, prefix: str) -> None:
    """`<prefix>/openapi.json`; and `<prefix>/docs`, with its assets under `<prefix>/static`."""

    @cache
    def document() -> bytes:
        """Made once. It takes as long as sixteen other answers, on the loop that runs the node."""
        return msgspec.json.encode(app.openapi())

    async def openapi(_request: Request) -> Response:
        return Response(document(), media_type="application/json")

    app.add_route(f"{prefix}/openapi.json", openapi, include_in_schema=False)
    for path in (f"{prefix}/docs/", f"{prefix}/docs"):
        app.add_api_route(path, _docs_page, methods=["GET"], include_in_schema=False)
    app.mount(f"{prefix}/static", _WholeFiles(directory=STATIC_FOLDER))


async def _docs_page() -> FileResponse:
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff"}
    return _WholeFile(STATIC_FOLDER / "docs.html", headers=headers, media_type="text/html")
