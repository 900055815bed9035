"""Listening sockets: every address, one port, clear errors, and nothing lost when they are closed."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import sys
import warnings

import pytest

from blockchain.errors import ConfigError, PortInUse
from blockchain.runtime.listening import listen, stop_accepting
from blockchain.runtime.lookups import OwnLookups

pytestmark = pytest.mark.usefixtures("each_loop")


def _resolving(monkeypatch: pytest.MonkeyPatch, *found: tuple[socket.AddressFamily, tuple[object, ...]]) -> None:
    async def resolve(*arguments: object, **options: object) -> list[tuple[object, ...]]:
        return [(family, socket.SOCK_STREAM, 0, "", address) for family, address in found]

    monkeypatch.setattr(OwnLookups, "getaddrinfo", resolve)


async def _listening(host: str, port: int) -> list[tuple[str, int]]:
    """Where it would listen; the sockets are closed again."""
    sockets = await listen(host, port)
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
            if isinstance(address, tuple) and address[0] == "127.0.0.2":
                raise OSError(number, "no")
            super().bind(address)  # type: ignore[arg-type]
            opened.append(self)

    opened: list[Socket] = []
    monkeypatch.setattr(socket, "socket", Socket)
    _resolving(monkeypatch, (socket.AF_INET, ("127.0.0.1", 0)), (socket.AF_INET, ("127.0.0.2", 0)))
    with pytest.raises(expected):
        asyncio.run(_listening("node", 0))
    assert {one.fileno() for one in opened} == {-1}  # those that listened already are closed


@pytest.mark.parametrize("steps", range(6))
def test_a_connection_that_comes_in_while_the_server_closes_is_not_lost(steps: int) -> None:
    """Whatever step of the accept the close meets, the connection is made, and closed like any other."""

    class Protocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(transport)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        (listening,) = await listen("127.0.0.1", 0)
        server = await loop.create_server(Protocol, sock=listening)
        with socket.create_connection(listening.getsockname()):  # in the backlog now
            for _ in range(steps):
                await asyncio.sleep(0)
            await stop_accepting(server.sockets)
            server.close()
            for _ in range(3):
                await asyncio.sleep(0)
        for transport in made:
            transport.close()
        await asyncio.sleep(0)

    made: list[asyncio.BaseTransport] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(scenario())
        gc.collect()
    assert not caught
    assert len(made) <= 1
