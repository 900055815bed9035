"""One thread for an event loop: in order, with results and errors, and to its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import pytest

from blockchain.runtime.worker_thread import WorkerThread
from tests.runtime.scenarios import run

T = TypeVar("T")


def asked(worker: WorkerThread, work: Callable[[], T]) -> asyncio.Future[T]:
    answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    worker.ask(work, answer.set_result, answer.set_exception)
    return answer


def unexpected(error: BaseException) -> None:
    raise AssertionError from error


def test_it_works_in_order_in_one_thread_and_the_loop_goes_on() -> None:
    async def scenario() -> None:
        worker, go_on, done = WorkerThread("one"), threading.Event(), list[int]()
        assert await asked(worker, threading.current_thread) is not threading.current_thread()
        waiting = asked(worker, go_on.wait)
        others = [asked(worker, partial(done.append, number)) for number in range(3)]
        await asyncio.sleep(0)
        assert not done and not waiting.done()
        go_on.set()
        await asyncio.gather(waiting, *others)
        assert done == [0, 1, 2]
        worker.stop()

    run(scenario())


def test_the_loops_own_thread_is_told() -> None:
    async def scenario() -> None:
        worker, told = WorkerThread("one"), asyncio.Event()
        threads: list[threading.Thread] = []
        worker.ask(lambda: None, lambda _: threads.append(threading.current_thread()), unexpected)
        worker.ask(lambda: None, lambda _: told.set(), unexpected)
        await told.wait()
        assert threads == [threading.current_thread()]
        worker.stop()

    run(scenario())


def test_what_the_work_raises_is_told_and_the_next_is_done() -> None:
    async def scenario() -> None:
        worker = WorkerThread("one")
        with pytest.raises(ZeroDivisionError):
            await asked(worker, lambda: 1 // 0)
        assert await asked(worker, lambda: 1) == 1
        worker.stop()

    run(scenario())


def test_the_end_waits_for_what_was_asked() -> None:
    async def scenario() -> None:
        worker, begun, go_on, done = WorkerThread("one"), threading.Event(), threading.Event(), list[int]()

        def work() -> None:
            begun.set()
            go_on.wait()
            done.append(1)

        worker.ask(work, lambda _: None, unexpected)
        await asyncio.to_thread(begun.wait)
        go_on.set()
        worker.stop()
        assert done == [1]
        await asyncio.sleep(0)

    run(scenario())


def test_one_that_was_never_asked_has_no_thread() -> None:
    async def scenario() -> None:
        before = threading.active_count()
        worker = WorkerThread("one")
        worker.stop()
        assert threading.active_count() == before

    run(scenario())
