"""Runs a scenario of real sockets: with an end to every wait, and nothing left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Final

HANG_S: Final = 30.0  # a test that waits longer has failed


def run(scenario: Coroutine[None, None, None]) -> None:
    """Run it, and see that it leaves no task behind."""

    async def bounded() -> None:
        async with asyncio.timeout(HANG_S):
            await scenario
            await asyncio.sleep(0)  # callbacks of what has just ended
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, left

    asyncio.run(bounded())


async def until(condition: Callable[[], object]) -> None:
    """Wait for it; `run` bounds how long."""
    while not condition():
        await asyncio.sleep(0.005)
