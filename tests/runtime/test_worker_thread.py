"""One thread for an event loop: in order, with results and errors, and to its end."""

from __future__ import annotations

import asyncio
import threading
from functools import partial

import pytest

from blockchain.runtime.worker_thread import WorkerThread
from tests.runtime.scenarios import run


def test_it_works_in_order_in_one_thread_and_the_loop_goes_on() -> None:
    async def scenario() -> None:
        worker, go_on, done = WorkerThread("one"), threading.Event(), list[int]()
        assert await worker.do(threading.current_thread) is not threading.current_thread()
        waiting = asyncio.create_task(worker.do(go_on.wait))
        others = [asyncio.create_task(worker.do(partial(done.append, number))) for number in range(3)]
        await asyncio.sleep(0)
        assert not done and not waiting.done()
        go_on.set()
        await asyncio.gather(waiting, *others)
        assert done == [0, 1, 2]
        worker.stop()

    run(scenario())


def test_what_the_work_raises_is_raised_and_the_next_is_done() -> None:
    async def scenario() -> None:
        worker = WorkerThread("one")
        with pytest.raises(ZeroDivisionError):
            await worker.do(lambda: 1 // 0)
        assert await worker.do(lambda: 1) == 1
        worker.stop()

    run(scenario())


def test_the_end_waits_for_what_nobody_waits_for_any_more() -> None:
    async def scenario() -> None:
        worker, begun, go_on, done = WorkerThread("one"), threading.Event(), threading.Event(), list[int]()

        def work() -> None:
            begun.set()
            go_on.wait()
            done.append(1)

        waiting = asyncio.create_task(worker.do(work))
        await asyncio.to_thread(begun.wait)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go_on.set()
        worker.stop()
        assert done == [1]
        await asyncio.sleep(0)  # its answer goes nowhere

    run(scenario())


def test_one_that_was_never_asked_has_no_thread() -> None:
    async def scenario() -> None:
        before = threading.active_count()
        worker = WorkerThread("one")
        worker.stop()
        assert threading.active_count() == before

    run(scenario())
