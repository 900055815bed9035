"""Clients that send prepared requests over kept connections, from a process of their own.

Each connection sends its requests in order, the next when the last is answered, or when its turn comes (`Plan.rate`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import cycle

from msgspec import Struct

from benchmarks.apart import Pipe, apart
from benchmarks.raw_http import Answer, open_http

Ask = Callable[[bytes], Awaitable[Answer]]


class Plan(Struct, frozen=True):
    """What each connection sends: once, or (with `seconds`) again and again until then. `rate`: requests a second."""

    port: int
    queues: tuple[tuple[bytes, ...], ...]
    seconds: float | None = None
    rate: float | None = None


class Told(Struct, frozen=True):
    """`statuses`: how many answers of each; `latencies`: seconds; `answer_bytes`: of all bodies together."""

    seconds: float
    statuses: dict[int, int]
    latencies: tuple[float, ...]
    answer_bytes: int
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def check(self, *expected: int) -> Told:
        """Raises RuntimeError for an answer with another status."""
        if others := {status: count for status, count in self.statuses.items() if status not in expected}:
            raise RuntimeError(f"answers that nobody wanted, by status: {others}")
        return self


class Hammer:
    """The process with the clients; one plan at a time."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def strike(self, plan: Plan) -> Told:
        """Raises EOFError when the clients failed."""
        self._pipe.tell(plan)
        return self._pipe.hear(Told)


@contextmanager
def hammer() -> Iterator[Hammer]:
    with apart(_work) as pipe:
        yield Hammer(pipe)


def _work(pipe: Pipe) -> None:
    while True:
        try:
            plan = pipe.hear(Plan)
        except EOFError:
            return
        pipe.tell(asyncio.run(_Blows(plan).run()))


class _Blows:
    """One plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._statuses: Counter[int] = Counter()
        self._latencies: list[float] = []
        self._bytes = 0
        self._begun = 0.0

    async def run(self) -> Told:
        connections = [await open_http(self._plan.port) for _ in self._plan.queues]
        cpu = time.process_time()
        self._begun = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number, queue in enumerate(self._plan.queues):
                requests = iter(queue) if self._plan.seconds is None else cycle(queue)
                tasks.create_task(self._send(number, connections[number].ask, requests))
        seconds = time.monotonic() - self._begun
        for connection in connections:
            connection.close()
        used = time.process_time() - cpu
        return Told(seconds, dict(self._statuses), tuple(self._latencies), self._bytes, used)

    async def _send(self, number: int, ask: Ask, requests: Iterator[bytes]) -> None:
        rate, connections = self._plan.rate, len(self._plan.queues)
        end = None if self._plan.seconds is None else self._begun + self._plan.seconds
        step = 0.0 if rate is None else connections / rate
        due = self._begun + step * number / connections
        for request in requests:
            if step:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                due += step
            begun = time.monotonic()
            if end is not None and begun >= end:
                return
            answer = await ask(request)
            self._latencies.append(time.monotonic() - begun)
            self._statuses[answer.status] += 1
            self._bytes += len(answer.body)
