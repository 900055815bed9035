"""The node's event loops: their lookups answer as asyncio's do, and a resolver that is stuck holds up no end."""

from __future__ import annotations

import asyncio
import runpy
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from blockchain.runtime import event_loop
from blockchain.runtime.lookups import LOOKUPS_MAX

pytestmark = pytest.mark.usefixtures("each_loop")

GIVE_UP_SECONDS = 60  # a failing test ends too
NAME = "host.example"


def test_a_name_is_found_and_a_wrong_one_is_the_same_error() -> None:
    async def look() -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        assert found == socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET6, flags=socket.AI_NUMERICHOST)

    asyncio.run(look())


def _look_up(name: str) -> asyncio.Future[Any]:
    return asyncio.ensure_future(asyncio.get_running_loop().getaddrinfo(name, 80))


def _connect(name: str) -> asyncio.Future[Any]:
    return asyncio.ensure_future(asyncio.get_running_loop().create_connection(asyncio.Protocol, name, 80))


@pytest.mark.parametrize("ask", [_look_up, _connect])
def test_a_resolver_that_is_stuck_holds_up_no_end(
    ask: Callable[[str], asyncio.Future[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, begun = threading.Event(), threading.Semaphore(0)

    def stuck(*_: object, **__: object) -> list[object]:
        begun.release()
        ends.wait(GIVE_UP_SECONDS)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", stuck)

    async def look() -> None:
        asked = [ask(f"host-{n}.example") for n in range(LOOKUPS_MAX + 1)]
        for _ in range(LOOKUPS_MAX):
            assert await asyncio.to_thread(begun.acquire, timeout=GIVE_UP_SECONDS)
        assert not begun.acquire(blocking=False), "no more threads than there may be"
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    asyncio.run(look())
    waiting = [thread for thread in threading.enumerate() if thread.name == "lookup"]
    assert len(waiting) == LOOKUPS_MAX, "the loop has ended while they are stuck"
    ends.set()
    for thread in waiting:
        thread.join(GIVE_UP_SECONDS)


def _resolving(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    resolve = socket.getaddrinfo

    def resolved(host: str, port: int, **options: Any) -> list[Any]:
        named = hosts if host == NAME else (host,)
        return [found for one in named for found in resolve(one, port, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolved)


def test_of_a_name_the_first_address_that_answers_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, "127.0.0.2", "127.0.0.1")

    async def connect() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            for options in ({}, {"local_addr": ("127.0.0.1", 0)}):
                transport, _ = await loop.create_connection(asyncio.Protocol, NAME, port, **cast(Any, options))
                assert transport.get_extra_info("peername") == ("127.0.0.1", port)
                transport.close()
                await asyncio.sleep(0)

    asyncio.run(connect())


@pytest.mark.parametrize("hosts", [("127.0.0.1",), ("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.0.0.2"), ()])
def test_a_name_that_nobody_answers_at_is_an_os_error(hosts: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, *hosts)

    async def connect() -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        with pytest.raises(ConnectionRefusedError if len(set(hosts)) == 1 else OSError):
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, NAME, port)

    asyncio.run(connect())


def test_an_address_of_one_link_keeps_its_interface() -> None:
    uv_loop = pytest.importorskip("blockchain.runtime.uv_loop", exc_type=ImportError)
    number, name = socket.if_nameindex()[0]
    assert uv_loop.literal(("fe80::1", 80, 0, number)) == f"fe80::1%{name}"
    assert uv_loop.literal(("fe80::1", 80, 0, 0)) == "fe80::1"
    assert uv_loop.literal(("127.0.0.1", 80)) == "127.0.0.1"


def test_without_uvloop_it_is_asyncios(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "blockchain.runtime.uv_loop", raising=False)
    monkeypatch.setitem(sys.modules, "uvloop", None)  # which is how Python notes that there is none
    found = runpy.run_path(event_loop.__file__)
    assert found["NodeLoop"] is found["AsyncioLoop"]
