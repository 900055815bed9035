"""A client that sends nothing, half a request, or drips bytes does not hold a connection for ever, nor all of them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import h11
import pytest

from blockchain.api import connection
from blockchain.api.connection import HEAD_BYTES_MAX, PIECE_BYTES_MIN, PIECES_MAX, ApiConnection
from blockchain.api.server import ApiServer
from blockchain.api.url import URL_CHARACTERS_MAX
from tests.api.fake_node import ALICE, BOB, BusyNode
from tests.api.talking import (
    Talk,
    check_problem_bytes,
    get,
    has_second_loopback,
    post,
    read_all,
    read_answer,
    serving,
    talking,
    until,
)

pytestmark = pytest.mark.usefixtures("each_loop")


def _what_is_answered(*sent: bytes) -> bytes:
    """All that the server sends until it ends the connection, having been sent these pieces one after the other."""

    async def once() -> bytes:
        async with serving() as server, talking(server) as (reader, writer):
            for piece in sent:
                writer.write(piece)
                await writer.drain()
            return await read_all(reader)

    return asyncio.run(once())


# ----------------------------------------------------------------------------------------------------- writes


@pytest.mark.parametrize(
    ("asked", "status", "length"), [(b"GET", 200, b"19"), (b"HEAD", 200, b"19"), (b"GET", 404, b"0")]
)
def test_head_and_body_of_an_answer_leave_in_one_write(asked: bytes, status: int, length: bytes) -> None:
    written = []
    parser = connection._Parser(h11.SERVER, HEAD_BYTES_MAX)
    parser.receive_data(asked + b" / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    parser.next_event()
    parser.next_event()
    body = b"x" * int(length) if asked == b"GET" else b""
    written.append(parser.send(h11.Response(status_code=status, headers=[(b"content-length", length)])))
    written.append(parser.send(h11.Data(data=body)))
    written.append(parser.send(h11.EndOfMessage()))
    head = b"HTTP/1.1 %d \r\ncontent-length: %s\r\n\r\n" % (status, length)
    assert [one for one in written if one] == [head + body]


# ----------------------------------------------------------------------------------------------------- time


def test_a_connection_that_sends_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS_MAX", 0.1)

    assert _what_is_answered() == b""


@pytest.mark.parametrize("sent", [[b"GET /livez HT"], [b"GET /liv", b"ez HTTP/1.1\r\n", b"Host: localhost\r\n"]])
def test_a_connection_without_a_whole_head_is_ended(sent: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS_MAX", 0.1)

    check_problem_bytes(_what_is_answered(*sent), 408, "request_too_slow")


def test_an_answered_connection_is_ended_even_when_bytes_drip_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS_MAX", 0.5)

    received = _what_is_answered(get("/livez"), b"GET /")

    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.count(b"HTTP/1.1") == 2
    assert b"request_too_slow" in received


def test_bytes_that_drip_in_do_not_move_the_end_of_a_wait() -> None:
    async def once() -> None:
        async with serving() as server, talking(server) as (_, writer):
            writer.write(b"GET /liv")
            await until(lambda: any(one.conn.trailing_data[0] for one in _api_connections(server)))
            [one] = _api_connections(server)
            end = one._deadline
            writer.write(b"ez HT")
            await until(lambda: one.conn.trailing_data[0] == b"GET /livez HT")
            assert end is not None and one._deadline is end

    asyncio.run(once())


@pytest.mark.parametrize("count", [1, 30])
def test_an_answer_that_nobody_reads_is_not_kept(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1.5 MB each; with others behind it the server is in a request all the time."""
    monkeypatch.setattr(connection, "IDLE_SECONDS_MAX", 0.3)

    async def once() -> None:
        async with serving() as server, talking(server) as (_, writer):
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(get("/api/v1/static/swagger-ui-bundle.js") * count)
            await until(lambda: len(_connections(server)) == 1)
            await until(lambda: not _connections(server))

    asyncio.run(once())


# ----------------------------------------------------------------------------------- what the parser refuses


NO_REQUESTS = [
    b"nonsense\r\n\r\n",
    b"GET /livez\r\n\r\n",
    b"GET /l\xc3\xa4 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",  # TLS
    b"GET /livez HTTP/1.1\r\n\r\n",
    b"GET /livez HTTP/1.0\r\nConnection: close\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: example.org\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\n folded: x\r\nbad header\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1_0\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    b"POST /api/v1/transaction/create/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
]
LARGE_HEADS = [
    b"GET /" + b"x" * HEAD_BYTES_MAX,
    b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * HEAD_BYTES_MAX,
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: x\r\n" * HEAD_BYTES_MAX,
]
LONG_URLS = [get(f"/{mark}" + "x" * URL_CHARACTERS_MAX, "Connection: close\r\n") for mark in ("", "livez?")]
STRANGERS = [b"GET /livez HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n"]


def test_what_is_refused_before_any_path_gets_a_problem_document(caplog: pytest.LogCaptureFixture) -> None:
    cases = [
        *((sent, 400, "bad_request") for sent in NO_REQUESTS),
        *((sent, 431, "head_too_large") for sent in LARGE_HEADS),
        *((sent, 414, "url_too_long") for sent in LONG_URLS),
        *((sent, 421, "wrong_host") for sent in STRANGERS),
    ]

    async def once() -> None:
        async with serving() as server:
            for sent, status, code in cases:
                async with talking(server) as (reader, writer):
                    writer.write(sent)
                    check_problem_bytes(await read_all(reader), status, code)

    with caplog.at_level(logging.INFO):
        asyncio.run(once())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    told = [record.__dict__["http.status_code"] for record in caplog.records if "http.status_code" in record.__dict__]
    assert set(told) == {status for _, status, _ in cases}
    assert len(told) >= len(cases)


def test_a_chunk_with_a_garbage_end_is_refused() -> None:
    """A proxy that reads such a body otherwise would hand on one request and let pass two (CVE-2025-43859, h11)."""
    head = b"POST /api/v1/transactions/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    sent = head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n"
    check_problem_bytes(_what_is_answered(sent), 400, "bad_request")


@pytest.mark.parametrize("size, is_read", [(1, False), (PIECE_BYTES_MIN // 2, False), (PIECE_BYTES_MIN, True)])
def test_a_body_in_very_many_small_pieces_is_refused(size: int, is_read: bool) -> None:
    """Each chunk is work of the loop that runs the node, however little is in it."""
    head = b"POST /api/v1/transaction/create/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    chunks = f"{size:x}\r\n{' ' * size}\r\n".encode() * (3 * PIECES_MAX) + b"0\r\n\r\n"
    answer = _what_is_answered(head + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks)
    check_problem_bytes(answer, 400, "malformed_json" if is_read else "bad_request")


@pytest.mark.parametrize(
    "body", [f"{PIECE_BYTES_MIN:x}\r\n{' ' * PIECE_BYTES_MIN}\r\n".encode() * (PIECES_MAX + 1), b"nonsense\r\n"]
)
def test_a_body_without_end_or_form_behind_its_answer_ends_the_connection_without_another(body: bytes) -> None:
    """Nobody reads it, so nothing slowed it down: uvloop took in megabytes of chunks in a turn of two seconds."""

    async def once() -> None:
        async with serving() as server, talking(server) as (reader, writer):
            writer.write(b"POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            assert (await read_answer(reader))[0] == 405
            writer.write(body)
            assert await read_all(reader) == b""

    asyncio.run(once())


def test_a_request_for_an_upgrade_is_answered_without_a_word_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    head = get("/livez", "Connection: Upgrade, close\r\nUpgrade: websocket\r\n")

    assert _what_is_answered(head).startswith(b"HTTP/1.1 200 OK")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_header_does_not_say_who_a_client_is(caplog: pytest.LogCaptureFixture) -> None:
    """Else each request could come from another client, and no limit would hold for any."""
    with caplog.at_level(logging.INFO, "blockchain.api"):
        _what_is_answered(get("/livez", "X-Forwarded-For: 198.51.100.1\r\nConnection: close\r\n"))
    told = [record.__dict__["network.client.ip"] for record in caplog.records if "network.client.ip" in record.__dict__]
    assert told == ["127.0.0.1"]


# --------------------------------------------------------------------------------------------------- places


def _connections(server: ApiServer) -> set[object]:
    return set(server._server.server_state.connections)


def _api_connections(server: ApiServer) -> list[ApiConnection]:
    return [one for one in _connections(server) if isinstance(one, ApiConnection)]


async def _ask(talk: Talk) -> int:
    reader, writer = talk
    writer.write(get("/livez"))
    status, _, _ = await read_answer(reader)
    return status


def test_one_connection_too_many_takes_the_place_that_waits_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLIENT_CONNECTIONS_MAX", 3)

    async def once() -> None:
        async with AsyncExitStack() as stack, serving() as server:
            half = await stack.enter_async_context(talking(server))
            half[1].write(b"GET /livez HT")
            served = await stack.enter_async_context(talking(server))
            assert await _ask(served) == 200
            silent = await stack.enter_async_context(talking(server))
            await until(lambda: len(_connections(server)) == 3)

            fourth = await stack.enter_async_context(talking(server))
            assert await _ask(fourth) == 200
            check_problem_bytes(await read_all(half[0]), 503, "too_many_connections")
            fifth = await stack.enter_async_context(talking(server))
            assert await _ask(fifth) == 200
            assert await read_all(served[0]) == b""  # as after any keep-alive
            sixth = await stack.enter_async_context(talking(server))
            assert await _ask(sixth) == 200
            check_problem_bytes(await read_all(silent[0]), 503, "too_many_connections")
            assert await _ask(fifth) == 200

    asyncio.run(once())


@pytest.mark.skipif(not has_second_loopback(), reason="no second loopback address to come from")
def test_the_client_with_the_most_connections_makes_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECTIONS_MAX", 4)
    monkeypatch.setattr(connection, "CLIENT_CONNECTIONS_MAX", 3)

    async def once() -> None:
        async with AsyncExitStack() as stack, serving() as server:
            many = [await stack.enter_async_context(talking(server)) for _ in range(3)]
            few = [await stack.enter_async_context(talking(server, "127.0.0.2")) for _ in range(2)]
            assert [await _ask(one) for one in few] == [200, 200]
            check_problem_bytes(await read_all(many[0][0]), 503, "too_many_connections")
            assert [await _ask(one) for one in many[1:]] == [200, 200]

    asyncio.run(once())


def test_where_all_are_being_answered_the_last_to_come_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLIENT_CONNECTIONS_MAX", 2)
    made = [ALICE.transfer(BOB.address, 1, nonce) for nonce in (100, 101)]

    async def once() -> None:
        node = BusyNode()
        async with AsyncExitStack() as stack, serving(node) as server:
            busy = [await stack.enter_async_context(talking(server)) for _ in range(2)]
            for (_, writer), one in zip(busy, made, strict=True):
                writer.write(post(one.raw, "application/msgpack"))
            await until(lambda: node.waiting == 2)
            third = await stack.enter_async_context(talking(server))
            third[1].write(get("/livez"))
            received = await read_all(third[0])
            check_problem_bytes(received, 503, "too_many_connections")
            assert b"retry-after: " in received.lower()
            node.goes_on.set()
            assert [(await read_answer(reader))[0] for reader, _ in busy] == [202, 202]

    asyncio.run(once())


def test_a_body_that_drips_makes_room_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLIENT_CONNECTIONS_MAX", 1)

    async def once() -> None:
        async with serving() as server, talking(server) as (reader, writer):
            writer.write(post(b"[" * 100)[:-50])
            await until(lambda: len(server._server.server_state.tasks) == 1)
            async with talking(server) as other:
                assert await _ask(other) == 200
            check_problem_bytes(await read_all(reader), 503, "too_many_connections")

    asyncio.run(once())
