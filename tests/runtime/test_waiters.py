"""Waits end with what they wait for, with the time, with the node, and leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable

import pytest

from blockchain.primitives.crypto import Hash32
from blockchain.runtime.waiters import Waiters

A, B, C = (Hash32(bytes([number]) * 32) for number in range(3))
LONG = 600.0  # never reached


async def begun(wait: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """A wait that has registered itself."""
    task = asyncio.create_task(wait)
    await asyncio.sleep(0)
    return task


def test_a_wait_ends_when_all_have_left() -> None:
    async def run() -> None:
        waiters = Waiters()
        task = await begun(waiters.wait([A, B], LONG))
        waiters.on_left([B, C])
        await asyncio.sleep(0)
        assert not task.done()
        waiters.on_left([A])
        await task
        assert len(waiters) == 0

    asyncio.run(run())


def test_several_wait_for_the_same_and_one_gives_up() -> None:
    async def run() -> None:
        waiters = Waiters()
        first, second = await begun(waiters.wait([A], LONG)), await begun(waiters.wait([A, B], LONG))
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        assert len(waiters) == 1  # B is forgotten, A is still waited for
        waiters.on_left([A])
        await first
        assert len(waiters) == 0

    asyncio.run(run())


def test_a_wait_ends_with_its_time() -> None:
    async def run() -> None:
        waiters = Waiters()
        await waiters.wait([A], 0.0)
        assert len(waiters) == 0

    asyncio.run(run())


@pytest.mark.parametrize("pending", [[], [A]])
def test_nobody_waits_for_nothing_or_when_the_node_ends(pending: Iterable[Hash32]) -> None:
    async def run() -> None:
        waiters = Waiters()
        task = await begun(waiters.wait([B], LONG))
        waiters.end()
        await task
        await waiters.wait(pending, LONG)
        assert len(waiters) == 0

    asyncio.run(run())
