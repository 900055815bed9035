"""The access log: one event for each request, with the standard attributes that log processors know.

The path is logged as it was sent, percent-encoded, so that it cannot hold a line break; the query is not logged.
"""

from __future__ import annotations

import logging
import time
from typing import Final
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOGGER: Final = logging.getLogger("blockchain.api")
_PATH_CHARACTERS_MAX: Final = 512  # longer than any path there is; a request line may have 64 KiB
_METHOD_CHARACTERS_MAX: Final = 32  # a method may be any word, as long as the head of a request
_NO_ANSWER: Final = 499  # what log processors know as "the client closed the connection"


class AccessLog:
    """An ASGI layer around the application; `duration` is in nanoseconds, until the last byte was handed over."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter_ns()
        status = _NO_ANSWER

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            _log(scope, status, time.perf_counter_ns() - began)


def _log(scope: Scope, status: int, duration: int) -> None:
    if not _LOGGER.isEnabledFor(logging.INFO):
        return
    raw_path = scope.get("raw_path")
    path = (raw_path.decode("latin-1") if raw_path else quote(scope["path"]))[:_PATH_CHARACTERS_MAX]
    method = scope["method"][:_METHOD_CHARACTERS_MAX]
    client = scope.get("client")
    _LOGGER.info(
        "%s %s %d",
        method,
        path,
        status,
        extra={
            "http.method": method,
            "http.url_details.path": path,
            "http.status_code": status,
            "duration": duration,
            "network.client.ip": client[0] if client else "",
        },
    )
