"""Work for many at once: alone at once, together while others are served, each with the results of its own items."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

import pytest

from blockchain.runtime.grouping import Grouping
from tests.runtime.scenarios import run


class Work:
    """Doubles numbers, when it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go_on = asyncio.Event()

    async def __call__(self, items: list[int]) -> list[int]:
        self.groups.append(items)
        await self.go_on.wait()
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


def asked(grouping: Grouping[int, int], *items: int) -> asyncio.Future[list[int]]:
    return grouping.ask(list(items))


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def play(scenario: Coroutine[None, None, None]) -> None:
    run(scenario)


def test_what_comes_while_a_group_is_served_makes_the_next_one() -> None:
    async def scenario() -> None:
        work = Work()
        grouping = Grouping(work, most=10)
        first = asked(grouping, 1)
        await turns()
        others = [asked(grouping, 2, 3), asked(grouping), asked(grouping, 4)]
        await turns()
        assert work.groups == [[1]], "who is alone is served at once"
        work.go_on.set()
        assert await first == [2]
        assert [await other for other in others] == [[4, 6], [], [8]]
        assert work.groups == [[1], [2, 3, 4]]

    play(scenario())


def test_a_group_has_its_most_and_no_callers_items_are_parted() -> None:
    async def scenario() -> None:
        work = Work()
        grouping = Grouping(work, most=3)
        work.go_on.set()
        tasks = [asked(grouping, *items) for items in ((0,), (1, 2), (3, 4), (5,), (6, 7, 8, 9))]
        assert [item for task in tasks for item in await task] == [2 * number for number in range(10)]
        assert work.groups == [[0], [1, 2], [3, 4, 5], [6, 7, 8, 9]]

    play(scenario())


def test_so_many_groups_are_served_at_once() -> None:
    async def scenario() -> None:
        work = Work()
        grouping = Grouping(work, most=1, at_once=2)
        tasks = [asked(grouping, number) for number in range(3)]
        await turns()
        assert work.groups == [[0], [1]]
        work.go_on.set()
        assert [await task for task in tasks] == [[0], [2], [4]]

    play(scenario())


def test_a_caller_that_leaves_takes_nothing_of_the_others() -> None:
    async def scenario() -> None:
        work = Work()
        grouping = Grouping(work, most=10)
        tasks = [asked(grouping, number) for number in range(3)]
        await turns()
        tasks[1].cancel()
        work.go_on.set()
        assert [await tasks[0], await tasks[2]] == [[0], [4]]

    play(scenario())


def test_what_the_work_raises_its_group_raises_and_the_next_is_served() -> None:
    async def scenario() -> None:
        work = Work()
        grouping = Grouping(work, most=2)
        first, bad, good = asked(grouping, 1), asked(grouping, 13), asked(grouping, 5, 6)
        work.go_on.set()
        assert await first == [2]
        with pytest.raises(ValueError, match="13"):
            await bad
        assert await good == [10, 12]

    play(scenario())


def test_at_the_end_all_are_cancelled_and_who_comes_later_too() -> None:
    async def scenario() -> None:
        grouping = Grouping(Work(), most=1)
        tasks = [asked(grouping, 1), asked(grouping, 2)]
        await turns()
        grouping.stop()
        tasks.append(asked(grouping, 3))
        for task in tasks:
            with pytest.raises(asyncio.CancelledError):
                await task

    play(scenario())


def test_a_group_that_has_not_taken_its_first_step_is_cancelled_too() -> None:
    async def scenario() -> None:
        grouping = Grouping(Work(), most=1)
        task = asked(grouping, 1)
        await asyncio.sleep(0)
        grouping.stop()
        with pytest.raises(asyncio.CancelledError):
            await task

    play(scenario())
