"""The server on a real port: it listens, says when a port is taken, and frees it again. Signals stay the node's."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import sys
from collections.abc import Awaitable, Callable

import httpx
import pytest
import uvicorn

from blockchain.api import server
from blockchain.api.app import create_app
from blockchain.api.server import ApiServer
from blockchain.errors import ConfigError, PortInUse
from tests.api.fake_node import FakeNode


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


def _resolving(monkeypatch: pytest.MonkeyPatch, *found: tuple[socket.AddressFamily, tuple[object, ...]]) -> None:
    async def resolve(*arguments: object, **options: object) -> list[tuple[object, ...]]:
        return [(family, socket.SOCK_STREAM, 0, "", address) for family, address in found]

    monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", resolve)


async def _listening(host: str, port: int) -> list[tuple[str, int]]:
    """Where it would listen; the sockets are closed again."""
    sockets = await server._listen(host, port)
    places = [one.getsockname()[:2] for one in sockets]
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it answers take 40 ms more.
    assert {one.proto for one in sockets} == {socket.IPPROTO_TCP}
    for one in sockets:
        one.close()
    return places


def test_every_address_of_a_name_gets_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    two = ("127.0.0.1", 0), ("127.0.0.2", 0)
    _resolving(monkeypatch, *((socket.AF_INET, address) for address in (*two, two[0])))
    if sys.platform == "darwin":
        pytest.skip("macOS has one address of loopback")
    first, second = asyncio.run(_listening("node", 0))
    assert (first[0], second[0]) == ("127.0.0.1", "127.0.0.2")
    assert first[1] == second[1] > 0


def test_an_address_that_this_machine_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, (socket.AF_INET6, ("2001:db8::1", 0, 0, 0)), (socket.AF_INET, ("127.0.0.1", 0)))
    ((address, _),) = asyncio.run(_listening("node", 0))
    assert address == "127.0.0.1"


def test_a_family_that_this_machine_does_not_have_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Socket(socket.socket):
        def __init__(self, family: int, *arguments: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
            super().__init__(family, *arguments)

    monkeypatch.setattr(socket, "socket", Socket)
    _resolving(monkeypatch, (socket.AF_INET6, ("::1", 0, 0, 0)), (socket.AF_INET, ("127.0.0.1", 0)))
    ((address, _),) = asyncio.run(_listening("node", 0))
    assert address == "127.0.0.1"


def test_a_socket_that_cannot_be_had_for_another_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Socket(socket.socket):
        def __init__(self, family: int, *arguments: int) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EMFILE, "Too many open files")
            super().__init__(family, *arguments)

    monkeypatch.setattr(socket, "socket", Socket)
    _resolving(monkeypatch, (socket.AF_INET6, ("::1", 0, 0, 0)))
    with pytest.raises(ConfigError, match="Too many open files"):
        asyncio.run(_listening("node", 0))


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.EADDRINUSE, PortInUse), (10048, PortInUse), (10013, PortInUse), (errno.EACCES, ConfigError)],
)
def test_what_the_system_says_of_a_port(
    monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    class Socket(socket.socket):
        def bind(self, address: object) -> None:
            if address == ("127.0.0.2", self._first_port()):
                raise OSError(number, "no")
            super().bind(address)  # type: ignore[arg-type]
            opened.append(self)

        def _first_port(self) -> int:
            return int(opened[0].getsockname()[1]) if opened else -1

    opened: list[Socket] = []
    monkeypatch.setattr(socket, "socket", Socket)
    _resolving(monkeypatch, (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET, ("127.0.0.2", 0)))
    with pytest.raises(expected):
        asyncio.run(_listening("node", 0))
    assert [one.fileno() for one in opened] == [-1]  # the one that listened already is closed


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
            b"POST /api/v1/transaction/create/ HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\n"
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
            b"POST /api/v1/transaction/create/ HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\n"
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
