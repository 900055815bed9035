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

from blockchain.primitives.host_port import HostPort
from blockchain.runtime import event_loop
from blockchain.runtime.lookups import LOOKUPS_MAX, TOLD_LOOKUPS_MAX
from blockchain.runtime.nearness import targets_behind

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


class _Stuck:
    """A resolver that does not answer until it is let go."""

    def __init__(self) -> None:
        self._is_over = threading.Event()
        self._begun = threading.Semaphore(0)

    def __call__(self, host: str, *_: object, **__: object) -> list[object]:
        self._begun.release()
        self._is_over.wait(GIVE_UP_SECONDS)
        return []

    async def is_asked(self, times: int) -> bool:
        """So often, since the last time."""
        for _ in range(times):
            if not await asyncio.to_thread(self._begun.acquire, timeout=GIVE_UP_SECONDS):
                return False
        return not self._begun.acquire(blocking=False)

    def let_go(self) -> int:
        """How many had waited."""
        waiting = [thread for thread in threading.enumerate() if thread.name == "lookup"]
        self._is_over.set()
        for thread in waiting:
            thread.join(GIVE_UP_SECONDS)
        return len(waiting)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> _Stuck:
    resolver = _Stuck()
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: (resolver if host.endswith(".example") else resolve)(host, *rest, **more),
    )
    return resolver


async def _give_up(asked: list[asyncio.Future[Any]]) -> None:
    for one in asked:
        one.cancel()
    await asyncio.gather(*asked, return_exceptions=True)


@pytest.mark.parametrize("ask", [_look_up, _connect])
def test_a_resolver_that_is_stuck_holds_up_no_end(ask: Callable[[str], asyncio.Future[Any]], stuck: _Stuck) -> None:
    async def look() -> None:
        asked = [ask(f"host-{n}.example") for n in range(LOOKUPS_MAX + 1)]
        assert await stuck.is_asked(LOOKUPS_MAX), "no more threads than there may be"
        await _give_up(asked)

    asyncio.run(look())
    assert stuck.let_go() == LOOKUPS_MAX, "the loop has ended while they are stuck"


def test_names_that_peers_tell_do_not_keep_the_operators_waiting(stuck: _Stuck) -> None:
    async def look() -> None:
        near = [targets_behind(HostPort(f"host-{n}.example", 80), "127.0.0.1") for n in range(2 * TOLD_LOOKUPS_MAX)]
        told = [asyncio.ensure_future(one) for one in near]
        assert await stuck.is_asked(TOLD_LOOKUPS_MAX)
        own = [_look_up(f"seed-{n}.example") for n in range(LOOKUPS_MAX)]
        assert await stuck.is_asked(LOOKUPS_MAX)
        await _give_up([*told, *own])

    asyncio.run(look())
    assert stuck.let_go() == LOOKUPS_MAX + TOLD_LOOKUPS_MAX


def test_an_address_is_connected_while_all_lookups_are_stuck(stuck: _Stuck) -> None:
    async def connect() -> None:
        asked = [_look_up(f"host-{n}.example") for n in range(LOOKUPS_MAX)]
        assert await stuck.is_asked(LOOKUPS_MAX)
        with socket.create_server(("127.0.0.1", 0)) as listening:
            async with asyncio.timeout(GIVE_UP_SECONDS):
                transport, _ = await asyncio.get_running_loop().create_connection(
                    asyncio.Protocol, *listening.getsockname()
                )
            transport.close()
        await _give_up(asked)

    asyncio.run(connect())
    stuck.let_go()


def test_a_thread_that_cannot_start_is_an_os_error_and_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def look() -> None:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", no_thread)
            for _ in range(LOOKUPS_MAX):
                with pytest.raises(OSError, match="can't start new thread"):
                    await _look_up("localhost")
        async with asyncio.timeout(GIVE_UP_SECONDS):
            assert await _look_up("localhost")

    asyncio.run(look())


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
