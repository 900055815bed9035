"""Waiting for finality: on a clock that the test moves, so that nothing sleeps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import httpx
import pytest

from blockchain.client import AsyncClient, Client, RequestRefused, TransactionState
from blockchain.client.calls import Wait

ID = "ab" * 32
PENDING = {"id": ID, "state": "pending"}
FINAL = {"id": ID, "state": "final", "height": 3, "position": 0}
REFUSED = {"id": ID, "state": "refused", "refusal": {"code": "expired", "why": "too late", "time_ms": 5}}
BUSY = {"type": "about:blank", "title": "Service Unavailable", "status": 503, "detail": "full", "code": "busy"}
TOO_MANY = {"type": "about:blank", "title": "Too Many", "status": 429, "detail": "slower", "code": "too_many_requests"}
UNKNOWN = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "?", "code": "transaction_not_found"}


class World:
    """A node whose answer is a function of the time, and a clock that only sleeping moves."""

    def __init__(self, answer: Callable[[float], object]) -> None:
        self.now = 100.0
        self.asked: list[float] = []
        self.node_waits = False
        self.waits: list[int] = []  # seconds that the node was asked to wait
        self._answer = answer

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.sleep(seconds)

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(self.now - 100.0)
        answer = self._answer(self.now - 100.0)
        if answer is None:
            raise httpx.ConnectError("refused")
        waits = int(request.url.params.get("timeout", "0"))
        self.waits.append(waits)
        if self.node_waits:
            self.now += waits
        status = answer.get("status", 200) if isinstance(answer, dict) else 200
        return httpx.Response(status, json=answer)


def wait_sync(world: World, timeout: float) -> TransactionState:
    transport = httpx.MockTransport(world.handle)
    with Client("http://node", transport=transport, clock=world.clock, sleep=world.sleep) as client:
        return client.wait_final(ID, timeout)


def wait_async(world: World, timeout: float) -> TransactionState:
    async def once() -> TransactionState:
        transport = httpx.MockTransport(world.handle)
        client = AsyncClient("http://node", transport=transport, clock=world.clock, sleep=world.sleep_async)
        async with client:
            return await client.wait_final(ID, timeout)

    return asyncio.run(once())


both = pytest.mark.parametrize("wait", [wait_sync, wait_async])
Waiter = Callable[[World, float], TransactionState]


@both
def test_what_is_decided_is_told_at_once(wait: Waiter) -> None:
    world = World(lambda now: FINAL)
    assert wait(world, 5.0) == TransactionState(ID, "final", 3, 0)
    assert world.asked == [0.0]


@both
def test_a_refusal_ends_the_wait(wait: Waiter) -> None:
    found = wait(World(lambda now: REFUSED if now > 1 else PENDING), 5.0)
    assert found.state == "refused"
    assert found.refusal is not None
    assert found.refusal.code == "expired"


@both
def test_it_asks_until_it_is_final_and_less_and_less_often(wait: Waiter) -> None:
    world = World(lambda now: FINAL if now >= 4 else PENDING)
    assert wait(world, 30.0).state == "final"
    pauses = [later - earlier for earlier, later in zip(world.asked, world.asked[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(0.05)
    assert pauses[-1] <= 1.0 + 1e-9
    assert len(world.asked) < 15


@both
def test_a_time_out_is_pending_and_no_error(wait: Waiter) -> None:
    world = World(lambda now: PENDING)
    assert wait(world, 3.0) == TransactionState(ID, "pending")
    assert world.now == pytest.approx(103.0)


@both
def test_a_node_that_restarts_is_waited_for(wait: Waiter) -> None:
    world = World(lambda now: PENDING if now < 1 else None if now < 3 else FINAL)
    assert wait(world, 10.0).state == "final"


@both
def test_a_node_that_goes_away_leaves_what_was_known(wait: Waiter) -> None:
    world = World(lambda now: PENDING if now < 1 else None)
    assert wait(world, 2.0).state == "pending"


@both
@pytest.mark.parametrize("answer", [None, UNKNOWN])
def test_what_was_never_known_is_unknown(wait: Waiter, answer: object) -> None:
    assert wait(World(lambda now: answer), 2.0) == TransactionState(ID, "unknown")


@both
def test_the_node_is_asked_to_wait_and_the_last_time_not(wait: Waiter) -> None:
    world = World(lambda now: PENDING)
    world.node_waits = True
    assert wait(world, 40.0).state == "pending"
    assert world.waits[:2] == [30, 9]
    assert world.waits[-1] == 0
    assert world.now == pytest.approx(140.0)


@both
def test_where_too_many_wait_it_asks_again_and_again(wait: Waiter) -> None:
    assert wait(World(lambda now: FINAL if now > 2 else BUSY), 10.0).state == "final"
    assert wait(World(lambda now: BUSY), 2.0).state == "unknown"
    with pytest.raises(RequestRefused, match="slower"):
        wait(World(lambda now: TOO_MANY), 2.0)


@both
def test_no_time_still_asks_once(wait: Waiter) -> None:
    world = World(lambda now: PENDING)
    assert wait(world, 0.0).state == "pending"
    assert len(world.asked) == 1


def test_a_request_takes_what_is_left_of_the_wait_or_a_second() -> None:
    wait = Wait(ID, now=10.0, timeout_seconds=2.0)
    assert wait.remaining(10.0) == 2.0
    assert wait.remaining(10.5) == 1.5
    assert wait.remaining(11.5) == 1.0
    assert wait.remaining(12.0) == 1.0
