"""Requests that wait until transactions are final: bounded in number and in time, and over when the client leaves.

What is known when the time is over is the answer: "pending" is no error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final, Literal, cast

from fastapi import Depends, Query, Request
from pydantic import Field

from blockchain.api.routes.parameters import Digits
from blockchain.errors import Refusal
from blockchain.node.views import NodeReader
from blockchain.primitives.crypto import Hash32

WAITS_MAX: Final = 128  # requests: half of the connections, so that those who wait keep nobody else out
WAIT_SECONDS: Final = 30
WAIT_SECONDS_MAX: Final = 60  # proxies close what is silent for longer
_RETRY_SECONDS: Final = 1

WaitFor = Annotated[
    Literal["final"] | None,
    Query(alias="wait", description="answer when all has ended, or after `timeout`", examples=["final"]),
]
WaitSeconds = Annotated[
    int,
    Field(ge=1, le=WAIT_SECONDS_MAX),
    Digits,
    Query(alias="timeout", description="seconds to wait", examples=[WAIT_SECONDS]),
]


class Waits:
    """How many requests wait at this moment."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among those who wait. Raises Refusal (503, `busy`) before anything has happened."""
        if self.count >= WAITS_MAX:
            raise Refusal(503, "busy", "too many requests wait at this node already", retry_after=_RETRY_SECONDS)
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


async def waits_of(request: Request) -> Waits:
    return cast("Waits", request.app.state.waits)


WaitsOf = Annotated[Waits, Depends(waits_of)]


async def wait_ended(request: Request, node: NodeReader, ids: Sequence[Hash32], seconds: int) -> None:
    """Until none of these is pending any more, or the time is over, or the client has left."""
    tasks = [asyncio.create_task(node.wait_ended(ids, seconds)), asyncio.create_task(_wait_for_leaving(request))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()  # raises what it failed of
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _wait_for_leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the rest of a body that nobody reads
