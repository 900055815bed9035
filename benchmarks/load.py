"""Clients that hand in signed transfers: a process of its own that signs beforehand and then only sends.

Some connections to each node, each with senders of its own. Every connection hands in a batch and waits until it is
durable; then the next, at once or when its turn comes (`Plan.rate`). What a node has no room for is handed in again.
While more than `PENDING_MAX` wait in a node's pool nothing more is handed in there: what is measured is what becomes
final, not how long a queue can grow.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.apart import Pipe
from benchmarks.raw_http import HttpConnection, get, open_http, post
from benchmarks.transfers import Batch, batches, senders_of, transfers

PENDING_MAX: Final = 5_000  # some full blocks: nobody waits for transactions
CONNECTIONS: Final = 2  # to each node: one batch is verified while the other is written
BATCH: Final = 250  # as in ../shared/design/cost.md
PATH: Final = "/api/v1/transaction/create/"
_RETRY_SECONDS: Final = 0.1
_LOOK_SECONDS: Final = 0.1
_ACCEPTED: Final = 202
_REFUSED: Final = frozenset({422, 429, 503})


class Plan(Struct, frozen=True):
    """At most `count` transfers. `rate`: how many a second to all nodes together; None: as fast as they take them."""

    ports: tuple[int, ...]
    genesis_hash: bytes
    seconds: float
    count: int
    batch: int = BATCH
    rate: float | None = None


class Sent(Struct, frozen=True):
    """A batch that is durable at one node: when it was handed in and when that was answered, monotonic seconds."""

    begun: float
    answered: float
    ids: tuple[bytes, ...]


class Told(Struct, frozen=True):
    """What the clients tell. `cpu_seconds`: their own while they sent; `is_dry`: all was sent before the end."""

    sent: tuple[Sent, ...]
    refused: dict[str, int]
    begun: float
    ended: float
    cpu_seconds: float
    is_dry: bool

    @property
    def count(self) -> int:
        return sum(len(one.ids) for one in self.sent)


class _Result(Struct):
    is_accepted: bool
    code: str


class _Results(Struct):
    results: list[_Result] = []
    code: str = ""


class _Pool(Struct):
    pending: int


class _Status(Struct):
    pool: _Pool


def drive(pipe: Pipe) -> None:
    """For `apart`: hears a Plan, signs, says "ready", hears "go", sends, tells what it has to tell."""
    plan = pipe.hear(Plan)
    streams = len(plan.ports) * CONNECTIONS
    each = max(plan.count // plan.batch // streams, 1)
    made = [
        batches(transfers(plan.genesis_hash, senders_of(stream, streams)), plan.batch, each)
        for stream in range(streams)
    ]
    pipe.tell("ready")
    pipe.hear(str)
    pipe.tell(asyncio.run(_Clients(plan, made).run()))
    pipe.wait_closed()


class _Clients:
    """All connections of a plan."""

    def __init__(self, plan: Plan, made: list[list[Batch]]) -> None:
        self._plan = plan
        self._made = made
        self._sent: list[Sent] = []
        self._refused: Counter[str] = Counter()
        self._has_room = {port: asyncio.Event() for port in plan.ports}
        self._is_dry = False
        self._is_over = False
        self._begun = 0.0

    async def run(self) -> Told:
        cpu = time.process_time()
        self._begun = time.monotonic()
        asyncio.get_running_loop().call_later(self._plan.seconds, self._end)
        async with asyncio.TaskGroup() as tasks:
            looks = [tasks.create_task(self._look(port)) for port in self._plan.ports]
            streams = [tasks.create_task(self._send(number, made)) for number, made in enumerate(self._made)]
            await asyncio.wait(streams)
            for look in looks:
                look.cancel()
        used = time.process_time() - cpu
        return Told(tuple(self._sent), dict(self._refused), self._begun, time.monotonic(), used, self._is_dry)

    def _end(self) -> None:
        """No further batch: what was handed in is waited for."""
        self._is_over = True
        for room in self._has_room.values():
            room.set()

    async def _send(self, number: int, made: list[Batch]) -> None:
        port = self._plan.ports[number % len(self._plan.ports)]
        connection = await open_http(port)
        try:
            for due, batch in zip(self._turns(number), made, strict=False):
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._has_room[port].wait()
                if self._is_over:
                    return
                if connection.is_closed:  # the node closes what nobody used for some seconds
                    connection = await open_http(port)
                await self._hand_in(connection, batch)
            self._is_dry = True
        finally:
            connection.close()

    def _turns(self, number: int) -> Iterator[float]:
        """When the batches of a connection are due: at once, or evenly, the connections one after the other."""
        rate, streams = self._plan.rate, len(self._made)
        step = 0.0 if rate is None else self._plan.batch * streams / rate
        due = self._begun + step * number / streams
        while True:
            yield due
            due += step

    async def _hand_in(self, connection: HttpConnection, batch: Batch) -> None:
        while batch.ids:
            begun = time.monotonic()
            status, body = await connection.ask(post(PATH, batch.body))
            if status != _ACCEPTED and status not in _REFUSED:
                raise RuntimeError(f"a node answered {status}: {body[:500]!r}")
            told = msgspec.json.decode(body, type=_Results)
            accepted = [place for place, one in enumerate(told.results) if one.is_accepted]
            left = [place for place in range(len(batch.ids)) if place not in set(accepted)]
            if accepted:
                self._sent.append(Sent(begun, time.monotonic(), batch.only(accepted).ids))
            if left:
                self._refused.update([one.code for one in told.results if not one.is_accepted] or [told.code])
                if self._is_over:
                    return
                batch = batch.only(left)
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _look(self, port: int) -> None:
        connection = await open_http(port)
        try:
            while True:
                status = msgspec.json.decode((await connection.ask(get("/api/v1/status/"))).body, type=_Status)
                room = self._has_room[port]
                if self._is_over or status.pool.pending < PENDING_MAX:
                    room.set()
                else:
                    room.clear()
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            connection.close()
