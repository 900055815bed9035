"""Requests that wait until transactions are final: bounded in number and in time, and over when the client leaves.

What is known when the time is over is the answer: "pending" is no error.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final, Literal, cast

from fastapi import Depends, Query, Request
from pydantic import Field

from blockchain.api.rate import client_of
from blockchain.api.routes.parameters import Digits
from blockchain.errors import Refusal
from blockchain.node.reach import source_of
from blockchain.node.views import NodeReader
from blockchain.primitives.crypto import Hash32

WAITS_MAX: Final = 128  # requests: half of the connections, so that those who wait keep nobody else out
CLIENT_WAITS_MAX: Final = 64  # half: a second client finds a place, however long the first one waits
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
    """How many requests wait at this moment, in all and of each client."""

    def __init__(self) -> None:
        self.of_clients: Counter[str] = Counter()  # those of whom a request waits

    @property
    def count(self) -> int:
        return self.of_clients.total()

    @contextmanager
    def place(self, request: Request) -> Iterator[None]:
        """A place among those who wait. Raises Refusal (503, `busy`) before anything has happened."""
        client = source_of(client_of(request.scope))
        if self.count >= WAITS_MAX or self.of_clients[client] >= CLIENT_WAITS_MAX:
            whose = "at this node" if self.count >= WAITS_MAX else "of this client"
            raise Refusal(503, "busy", f"too many requests {whose} wait already", retry_after=_RETRY_SECONDS)
        self.of_clients[client] += 1
        try:
            yield
        finally:
            self.of_clients[client] -= 1
            if not self.of_clients[client]:
                del self.of_clients[client]


async def waits_of(request: Request) -> Waits:
    return cast("Waits", request.app.state.waits)


WaitsOf = Annotated[Waits, Depends(waits_of)]


async def wait_ended(request: Request, node: NodeReader, ids: Sequence[Hash32], seconds: int) -> None:
    """Until none of these is pending any more, or the time is over, or the client has left."""
    loop, leaving = asyncio.get_running_loop(), asyncio.create_task(_wait_for_leaving(request))
    try:
        async with asyncio.timeout(None) as stay:

            def leave(_: object) -> None:
                if not is_over:
                    stay.reschedule(loop.time())

            is_over = False
            leaving.add_done_callback(leave)
            try:
                await node.wait_ended(ids, seconds)  # in this task: whoever waits is told a turn after it ended
            finally:
                is_over = True  # the client may have left in this turn: then `leave` is due already
                leaving.cancel()
    except TimeoutError:
        leaving.result()  # raises what it failed of


async def _wait_for_leaving(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass  # the rest of a body that nobody reads
