"""A plain GET goes past h11: it means the same, and is answered with the same bytes."""

from __future__ import annotations

import asyncio
import re

import h11
import pytest
from starlette.types import Receive, Scope, Send

from blockchain.api import connection
from blockchain.api.connection import ApiConnection
from blockchain.api.plain_requests import PLAIN_BYTES_MAX, PlainCycle, plain_get
from blockchain.api.server import ApiServer
from tests.api.talking import get, read_all, serving, talking, until

pytestmark = pytest.mark.usefixtures("each_loop")

HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
LAST = get("/livez", "Connection: close\r\n")


def _answers(*pieces: bytes) -> bytes:
    """All that is answered to these pieces, each a read of its own, and to a last request that closes."""

    async def once() -> bytes:
        async with serving() as server, talking(server) as (reader, writer):
            for number, piece in enumerate(pieces, 1):
                writer.write(piece)
                await _until_answered(server, number)
            writer.write(LAST)
            return re.sub(rb"date: [^\r]*", b"date: D", await read_all(reader))

    return asyncio.run(once())


def _requests(server: ApiServer) -> int:
    return server._server.server_state.total_requests


async def _until_answered(server: ApiServer, count: int) -> None:
    await until(lambda: _requests(server) == count)


@pytest.mark.parametrize(
    "target",
    [
        "/livez",
        "/api/v1/status/",
        "/api/v1/blocks/1/",
        "/api/v1/blocks/?from=1&to=2",
        "/api/v1/blocks/%31/",
        "/api/v1/static/swagger-ui-bundle.js",
        "/api/v1/nothing/",
        "/api/v1/blocks/x/",
        "*",
    ],
)
def test_the_answer_is_the_one_of_h11(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [get(target), get(target, "Accept: */*\r\nUser-Agent: a test\r\n")]
    plain = _answers(*sent)
    monkeypatch.setattr(connection, "plain_get", lambda _: None)
    assert _answers(*sent) == plain
    assert plain.count(b"HTTP/1.1 ") == 3


@pytest.mark.parametrize("target", ["/a/%C3%A4%2F?b=%20&c", "/", "http://localhost/a", "/a?b?c"])
def test_the_application_is_told_the_same(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, object]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        told.append({**scope, "body": await receive()})
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        await send({"type": "http.response.body", "body": b"x"})

    async def once() -> bool:
        async with serving() as server:
            server._server.config.loaded_app = app
            async with talking(server) as (reader, writer):
                writer.write(get(target, "X-One: 1\r\naccept: a, b\r\n"))
                await reader.readuntil(b"\r\n\r\nx")
                [one] = server._server.server_state.connections
                return isinstance(one, ApiConnection) and isinstance(one.cycle, PlainCycle)

    assert asyncio.run(once())
    monkeypatch.setattr(connection, "plain_get", lambda _: None)
    assert not asyncio.run(once())
    for scope in told:
        scope.pop("client")  # another port
        scope.pop("server")
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "sent",
    [
        HEAD,
        HEAD + b"\r\nx",
        HEAD + b"\r\n" + HEAD + b"\r\n",
        HEAD.replace(b"GET", b"POST") + b"\r\n",
        HEAD.replace(b"1.1", b"1.0") + b"\r\n",
        HEAD.replace(b"/livez", b"/l\xc3\xa4") + b"\r\n",
        HEAD.replace(b"\r\n", b"\n") + b"\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nAccept: a\r\n\r\n",
        HEAD + b"Host: localhost\r\n\r\n",
        HEAD + b"Content-Length: 0\r\n\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n",
        HEAD + b"Expect: 100-continue\r\n\r\n",
        HEAD + b"CONNECTION: close\r\n\r\n",
        HEAD + b"Upgrade: websocket\r\n\r\n",
        HEAD + b"X: \r\n\r\n",
        HEAD + b"X:  two\r\n\r\n",
        HEAD + b"X: end \r\n\r\n",
        HEAD + b"X : a\r\n\r\n",
        HEAD + b"X: a\r\n folded\r\n\r\n",
        HEAD + b"X: \xff\r\n\r\n",
        HEAD + b"X: a\tb\r\n\r\n",
        HEAD + b"X: " + b"x" * PLAIN_BYTES_MAX + b"\r\n\r\n",
    ],
)
def test_what_is_not_plain(sent: bytes) -> None:
    assert plain_get(sent) is None


def test_what_is_plain_is_read_as_h11_reads_it() -> None:
    sent = HEAD + b"ACCEPT: */*, a: b;q=1\r\nx!#$%&'*+-.^_`|~: ~\r\n\r\n"
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(sent)
    request = parser.next_event()
    assert isinstance(request, h11.Request)
    assert plain_get(sent) == (request.target, list(request.headers))


@pytest.mark.parametrize("behind", [HEAD + b"\r\n", LAST, HEAD + b"Content-Length: 2\r\n\r\n{}"])
def test_what_comes_behind_it_is_answered_after_it(behind: bytes) -> None:
    """In the same read, and while the first is answered."""

    async def once(*pieces: bytes) -> bytes:
        async with serving() as server, talking(server) as (reader, writer):
            await until(lambda: bool(server._server.server_state.connections))
            [one] = server._server.server_state.connections
            assert isinstance(one, ApiConnection)
            for piece in pieces:
                one.data_received(piece)  # the answer begins with the next turn of the loop
            if behind is not LAST:
                writer.write(LAST)
            return re.sub(rb"date: [^\r]*", b"date: D", await read_all(reader))

    first = get("/api/v1/status/")
    answers = asyncio.run(once(first, behind))
    assert answers == asyncio.run(once(first + behind))
    assert answers.startswith(b"HTTP/1.1 200 OK") and b"genesis_hash" in answers.split(b"HTTP/1.1 ")[1]
    assert answers.count(b"HTTP/1.1 200 OK") == (2 if behind is LAST else 3)


def test_a_node_that_ends_closes_after_the_answer() -> None:
    async def once() -> tuple[bytes, bool]:
        async with serving() as server, talking(server) as (reader, _):
            await until(lambda: bool(server._server.server_state.connections))
            [one] = server._server.server_state.connections
            assert isinstance(one, ApiConnection)
            one.data_received(get("/livez"))
            one.shutdown()
            return await read_all(reader), isinstance(one.cycle, PlainCycle)

    answer, was_plain = asyncio.run(once())
    assert answer.startswith(b"HTTP/1.1 200 OK") and was_plain


@pytest.mark.parametrize(
    "headers, bodies",
    [
        ([], [b"x"]),
        ([(b"content-length", b"2")], [b"x", b"y"]),
        ([(b"content-length", b"1"), (b"connection", b"close")], [b"x"]),
        ([(b"transfer-encoding", b"chunked")], [b"x"]),
    ],
)
def test_an_answer_of_another_kind_is_written_by_h11(
    headers: list[tuple[bytes, bytes]], bodies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for body in bodies[:-1]:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": bodies[-1]})

    async def once() -> bytes:
        async with serving() as server:
            server._server.config.loaded_app = app
            async with talking(server) as (reader, writer):
                writer.write(get("/"))
                await _until_answered(server, 1)
                writer.write(LAST)
                return re.sub(rb"date: [^\r]*", b"date: D", await read_all(reader))

    plain = asyncio.run(once())
    monkeypatch.setattr(connection, "plain_get", lambda _: None)
    assert asyncio.run(once()) == plain


def test_a_line_break_in_a_header_does_not_leave() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        split = (b"x", b"1\r\nset-cookie: 2")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0"), split]})
        await send({"type": "http.response.body", "body": b""})

    async def once() -> bytes:
        async with serving() as server:
            server._server.config.loaded_app = app
            async with talking(server) as (reader, writer):
                writer.write(get("/"))
                return await read_all(reader)

    assert b"set-cookie" not in asyncio.run(once())
