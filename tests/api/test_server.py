"""The server on a real port: it listens, says when a port is taken, and frees it again. Signals stay the node's."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import httpx
import pytest
import uvicorn
from anyio import to_thread

from blockchain.api import render
from blockchain.api import server as server_module
from blockchain.api.app import create_app
from blockchain.api.routes import paths
from blockchain.api.server import ApiServer
from blockchain.errors import ConfigError, PortInUse
from blockchain.primitives import codec
from blockchain.primitives.jsonform import JsonObject
from blockchain.seams import SubmissionResult
from tests.api.fake_node import ALICE, BOB, BusyNode, FakeNode
from tests.api.talking import check_problem_bytes, get, post, read_all, read_answer, serving, talking, until


def _serving(test: Callable[[ApiServer], Awaitable[None]], host: str = "127.0.0.1") -> None:
    async def once() -> None:
        server = ApiServer(create_app(FakeNode()), host, 0)
        await server.start()
        try:
            await test(server)
        finally:
            await server.stop()

    asyncio.run(once())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_it_answers_on_the_port_that_it_names(host: str) -> None:
    async def test(server: ApiServer) -> None:
        assert server.port > 0
        async with httpx.AsyncClient(trust_env=False) as http:
            response = await http.get(f"http://127.0.0.1:{server.port}/ping/")
        assert response.json() == {"success": "pong!"}
        assert "server" not in response.headers

    _serving(test, host)


def test_many_large_answers_leave_the_loop_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is written in a thread, and more than a few of them would keep the node from its votes for seconds."""
    running: list[int] = []
    most, lock, goes_on = 0, threading.Lock(), threading.Event()

    def page(blocks: object) -> JsonObject:
        nonlocal most
        with lock:
            running.append(1)
            most = max(most, len(running))
        assert goes_on.wait(30)
        with lock:
            running.pop()
        return {}

    monkeypatch.setattr(render, "page", page)
    monkeypatch.setattr(paths, "INLINE_BYTES_MAX", 0)  # of the fake's blocks every page is a large one

    async def test(server: ApiServer) -> None:
        url = f"http://127.0.0.1:{server.port}/api/v1/blockchain/"
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            asked = [asyncio.create_task(http.get(url)) for _ in range(8)]
            await until(lambda: len(running) == server_module.THREADS_MAX)
            await until(lambda: to_thread.current_default_thread_limiter().statistics().tasks_waiting == 6)
            goes_on.set()
            assert {(await one).status_code for one in asked} == {200}

    _serving(test)
    assert most == server_module.THREADS_MAX


def test_a_taken_port_is_one_clear_error_and_leaves_nothing_behind() -> None:
    async def test(server: ApiServer) -> None:
        second = ApiServer(create_app(FakeNode()), "127.0.0.1", server.port)
        with pytest.raises(PortInUse, match=f"port {server.port} on 127.0.0.1 is already in use"):
            await second.start()
        await second.stop()

    _serving(test)


def test_the_port_is_free_again_after_stop() -> None:
    async def once() -> None:
        first = ApiServer(create_app(FakeNode()), "127.0.0.1", 0)
        await first.start()
        await first.stop()
        second = ApiServer(create_app(FakeNode()), "127.0.0.1", first.port)
        await second.start()
        await second.stop()

    asyncio.run(once())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "x" * 70 + ".invalid"])
def test_a_host_that_is_not_this_machine(host: str) -> None:
    async def once() -> None:
        with pytest.raises(ConfigError, match="cannot listen on"):
            await ApiServer(create_app(FakeNode()), host, 0).start()

    asyncio.run(once())


def test_a_server_that_dies_at_its_start_says_of_what(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*arguments: object) -> None:
        raise RuntimeError("no sockets today")

    monkeypatch.setattr(uvicorn.Server, "startup", fail)

    async def once() -> None:
        with pytest.raises(RuntimeError, match="no sockets today"):
            await ApiServer(create_app(FakeNode()), "127.0.0.1", 0).start()

    asyncio.run(once())


def test_signal_handlers_stay_what_they_were() -> None:
    before = signal.getsignal(signal.SIGTERM)

    async def test(server: ApiServer) -> None:
        assert signal.getsignal(signal.SIGTERM) is before

    _serving(test)
    assert signal.getsignal(signal.SIGTERM) is before


def test_too_large_a_body_is_refused_while_it_is_sent() -> None:
    async def test(server: ApiServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /api/v1/transaction/create/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999999\r\n\r\n["
        )
        await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
        writer.close()

    _serving(test)


def test_a_client_that_leaves_in_the_middle_of_its_body() -> None:
    async def test(server: ApiServer) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /api/v1/transaction/create/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 9\r\n\r\n["
        )
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{server.port}/livez")).status_code == 200

    _serving(test)


def test_a_closed_port_is_no_longer_answered() -> None:
    ports: list[int] = []

    async def test(server: ApiServer) -> None:
        ports.append(server.port)

    _serving(test)
    with socket.socket() as one:
        assert one.connect_ex(("127.0.0.1", ports[0])) != 0


class _WaitingNode(FakeNode):
    """Its submissions are never acknowledged, as on a node whose disk is full."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked = asyncio.Event()

    async def submit(self, raws: list[bytes]) -> list[SubmissionResult]:
        self.is_asked.set()
        await asyncio.Event().wait()
        return []


def test_what_is_in_flight_at_the_end_is_told_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "GRACE_SECONDS", 0)

    async def once() -> None:
        node = _WaitingNode()
        server = ApiServer(create_app(node), "127.0.0.1", 0)
        await server.start()
        raw = ALICE.transfer(ALICE.address, 1, 0).raw
        headers = {"Content-Type": "application/msgpack"}
        async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{server.port}") as http:
            path = "/api/v1/transaction/create/"
            asked = asyncio.ensure_future(http.post(path, content=codec.encode([raw]), headers=headers))
            await node.is_asked.wait()
            await server.stop()
            answer = await asked
        assert (answer.status_code, answer.json()["code"]) == (503, "stopping")

    asyncio.run(once())
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_client_that_does_not_read_is_cut_at_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "GRACE_SECONDS", 0)

    async def test(server: ApiServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=100)
        writer.write(b"GET /api/v1/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 9)  # 13 MB
        await reader.read(1)
        await server.stop()
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)  # it was cut

    _serving(test)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


# --------------------------------------------------------------------------------------------------- the end


def test_a_request_in_flight_at_the_end_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "GRACE_SECONDS", 30)
    made = ALICE.transfer(BOB.address, 1, 100)

    async def once() -> None:
        node = BusyNode()
        async with serving(node) as server, talking(server) as (reader, writer):
            writer.write(post(made.raw, "application/msgpack"))
            await until(lambda: node.waiting == 1)
            stopping = asyncio.create_task(server.stop())
            await until(lambda: server._server.should_exit and not server._server.servers[0].is_serving())
            node.goes_on.set()
            assert (await read_answer(reader))[0] == 202
            await stopping

    asyncio.run(once())


def test_what_is_cut_off_at_the_end_is_told_so_and_is_no_event(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that the node does not answer, half a head, half a body, and an answer that nobody reads."""
    monkeypatch.setattr(server_module, "GRACE_SECONDS", 0.1)
    made = ALICE.transfer(BOB.address, 1, 100)

    async def once() -> None:
        node = BusyNode()
        async with AsyncExitStack() as stack, serving(node) as server:
            talks = [await stack.enter_async_context(talking(server)) for _ in range(4)]
            talks[0][1].write(post(made.raw, "application/msgpack"))
            talks[1][1].write(b"GET /livez HT")
            talks[2][1].write(post(b"[" * 100)[:-50])
            talks[3][1].transport.pause_reading()  # type: ignore[attr-defined]
            talks[3][1].write(get("/api/v1/static/swagger-ui-bundle.js") * 20)
            await until(lambda: node.waiting == 1 and len(server._server.server_state.tasks) == 3)
            async with asyncio.timeout(30):
                await server.stop()
            for reader, _ in (talks[0], talks[2]):
                check_problem_bytes(await read_all(reader), 503, "stopping")
            assert await read_all(talks[1][0]) == b""

    with caplog.at_level(logging.DEBUG):
        asyncio.run(once())
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert not [record for record in caplog.records if record.exc_info]
