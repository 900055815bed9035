"""How long a path with its query may be."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from blockchain.api.problems import problem

URL_CHARACTERS_MAX: Final = 2_048  # the longest path that means anything has some 150


class CheckedUrl:
    """An ASGI layer: 414 for one that is longer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("raw_path") or scope["path"].encode()
        if len(path) + len(scope["query_string"]) <= URL_CHARACTERS_MAX:
            await self._app(scope, receive, send)
            return
        detail = f"a path with its query may have {URL_CHARACTERS_MAX} characters"
        await problem(HTTPStatus.REQUEST_URI_TOO_LONG, "url_too_long", detail)(scope, receive, send)
