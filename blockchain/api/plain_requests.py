"""The kind of request that readers send many of: a GET without a body, whose head came in one piece (RFC 9112).

h11 reads every kind, and checks and writes every kind of answer, in some two hundred calls of functions; here a regular
expression reads the request, and one that was answered with 200 and a body of known length leaves in one write. What is
not exactly of this kind is h11's, the answer too: it is shown the request then (docs/decisions/0023).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote

from starlette.types import Message, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

PLAIN_BYTES_MAX: Final = 4 * 1024  # of a head; browsers send one or two KiB
Headers = list[tuple[bytes, bytes]]
# A part of what h11 takes: one space before a value, no other whitespace at its ends, no tabs, nothing but ASCII.
_PLAIN: Final = re.compile(
    rb"GET ([!-~]+) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [!-~](?:[ -~]*[!-~])?\r\n)+)\r\n"
)
# Of a request: what says that there is a body, or what becomes of the connection.
_NOT_PLAIN: Final = frozenset({b"content-length", b"transfer-encoding", b"expect", b"connection", b"upgrade"})
_NOT_PLAIN_IN_ANSWERS: Final = frozenset({b"transfer-encoding", b"connection"})


def plain_get(data: bytes) -> tuple[bytes, Headers] | None:
    """The target and the headers of a request that is all of these bytes; None where it is of another kind."""
    match = _PLAIN.fullmatch(data) if len(data) <= PLAIN_BYTES_MAX else None
    if match is None:
        return None
    lines = [line.partition(b": ") for line in match[2].split(b"\r\n")[:-1]]
    headers = [(name.lower(), value) for name, _, value in lines]
    names = [name for name, _ in headers]
    return (match[1], headers) if names.count(b"host") == 1 and _NOT_PLAIN.isdisjoint(names) else None


def scope_of(connection: H11Protocol, target: bytes, headers: Headers) -> Scope:
    """What uvicorn tells the application of such a request."""
    raw_path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": connection.asgi_version, "spec_version": "2.3"},
        "http_version": "1.1",
        "server": connection.server,
        "client": connection.client,
        "scheme": connection.scheme,
        "method": "GET",
        "root_path": connection.root_path,
        "path": connection.root_path + unquote(raw_path.decode("ascii")),
        "raw_path": connection.root_path.encode("ascii") + raw_path,
        "query_string": query,
        "headers": headers,
        "state": connection.app_state.copy(),
    }


class PlainCycle(RequestResponseCycle):
    """One such request, of which h11 knows nothing, and its answer."""

    def __init__(self, connection: H11Protocol, request: bytes, scope: Scope) -> None:
        super().__init__(
            scope=scope,  # type: ignore[arg-type]
            conn=connection.conn,
            transport=connection.transport,
            flow=connection.flow,
            logger=connection.logger,
            access_logger=connection.access_logger,
            access_log=connection.access_log,
            default_headers=connection.server_state.default_headers,
            message_event=asyncio.Event(),
            on_response=connection.on_response_complete,
        )
        self.more_body = False
        self.message_event.set()
        self._request = request
        self._start: Message | None = None
        self._is_h11s = False

    async def send(self, message: Message) -> None:  # type: ignore[override]
        """As uvicorn's. The head waits for the body."""
        if not self._is_h11s and not self.response_complete:
            if self.flow.write_paused and not self.disconnected:
                await self.flow.drain()
            if self.disconnected:
                return
            if message["type"] == "http.response.start":
                self._start = message
                return
            answer = (
                None
                if self._start is None or not self.keep_alive
                else _whole_answer(self.default_headers, self._start, message)
            )
            if answer is not None:
                self._finish(answer)
                return
            await self._hand_over()
        await super().send(message)  # type: ignore[arg-type]

    def _finish(self, answer: bytes) -> None:
        self.response_started = self.response_complete = True
        self.message_event.set()
        self.transport.write(answer)
        self.on_response()

    async def _hand_over(self) -> None:
        """h11 is between two requests: it is shown this one, and the head of its answer."""
        self._is_h11s = True
        self.conn.receive_data(self._request)
        self.conn.next_event()  # the head
        self.conn.next_event()  # the end of a body that there is not
        if self._start is not None:
            await super().send(self._start)  # type: ignore[arg-type]


def _whole_answer(default_headers: Sequence[tuple[bytes, bytes]], start: Message, message: Message) -> bytes | None:
    """The bytes that h11 would write; None where it has to look at what is written."""
    body: bytes = message.get("body", b"")
    if start["status"] != HTTPStatus.OK or message.get("more_body", False):
        return None
    headers = [*default_headers, *start.get("headers", ())]
    names = [name for name, _ in headers]
    length = (b"content-length", b"%d" % len(body))
    if length not in headers or names.count(b"content-length") != 1 or not _NOT_PLAIN_IN_ANSWERS.isdisjoint(names):
        return None
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    if not lines.count(b"\r") == lines.count(b"\n") == len(headers):
        return None  # a line break in a header
    return b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (lines, body)
