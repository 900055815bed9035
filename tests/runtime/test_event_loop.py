"""The node's event loop: its lookups answer as asyncio's do, and a resolver that is stuck holds up no end."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from blockchain.runtime.event_loop import LOOKUPS_MAX, NodeLoop

GIVE_UP_SECONDS = 60  # a failing test ends too


def test_a_name_is_found_and_a_wrong_one_is_the_same_error() -> None:
    async def look() -> None:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        assert found == socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)
        with pytest.raises(socket.gaierror):
            await loop.getaddrinfo("127.0.0.1", 80, family=socket.AF_INET6, flags=socket.AI_NUMERICHOST)

    with asyncio.Runner(loop_factory=NodeLoop) as runner:
        runner.run(look())


def test_a_resolver_that_is_stuck_holds_up_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ends, begun = threading.Event(), threading.Semaphore(0)

    def stuck(*_: object, **__: object) -> list[object]:
        begun.release()
        ends.wait(GIVE_UP_SECONDS)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", stuck)

    async def look() -> None:
        loop = asyncio.get_running_loop()
        asked = [asyncio.ensure_future(loop.getaddrinfo(f"host-{n}.example", 80)) for n in range(LOOKUPS_MAX + 1)]
        for _ in range(LOOKUPS_MAX):
            await asyncio.to_thread(begun.acquire)
        assert not begun.acquire(blocking=False), "no more threads than there may be"
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    with asyncio.Runner(loop_factory=NodeLoop) as runner:
        runner.run(look())
    waiting = [thread for thread in threading.enumerate() if thread.name == "lookup"]
    assert len(waiting) == LOOKUPS_MAX, "the loop has ended while they are stuck"
    ends.set()
    for thread in waiting:
        thread.join(GIVE_UP_SECONDS)
