"""Inputs one after the other, the effects of each in order, and nothing past one that takes its time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from blockchain.node.inputs import Input
from blockchain.runtime.intake import nothing
from blockchain.runtime.steps import Steps
from blockchain.seams import Batch, Effect, Emit, Halted, TimerFired, TimerKey, TimerKind, Write
from tests.runtime.scenarios import run

WRITE = Write(Batch())


def timer(number: int) -> TimerFired:
    return TimerFired(TimerKey(TimerKind.STATUS, number))


def event(number: int) -> Emit:
    return Emit(Halted(str(number)))


class World:
    """What a core would do, and what was seen of it, in order."""

    def __init__(self) -> None:
        self.seen: list[object] = []
        self.effects: dict[Input, list[Effect]] = {}
        self.steps = Steps(self._handle, self._perform, self.note("settled"))

    def note(self, what: object) -> Callable[[], None]:
        return lambda: self.seen.append(what)

    def _handle(self, given: Input) -> list[Effect]:
        self.seen.append(given)
        if given == timer(13):
            raise ZeroDivisionError
        return self.effects.get(given, [])

    def _perform(self, effect: Effect) -> bool:
        self.seen.append(effect)
        return effect is not WRITE

    def taken(self) -> list[object]:
        seen, self.seen = self.seen, []
        return seen


async def begun() -> World:
    world = World()
    await world.steps.begin(timer(0))
    assert world.taken() == [timer(0), "settled"]
    return world


def test_one_input_after_the_other_with_what_is_called_around_it() -> None:
    async def scenario() -> None:
        world = await begun()
        world.effects = {timer(1): [event(1), event(2)]}
        await world.steps.inbox.put((timer(1), world.note("before"), world.note("after")), timer(1))
        world.steps.inbox.put_now((timer(2), nothing, nothing), timer(2))
        world.steps.give(timer(3))  # comes first: it is this node's own
        assert world.taken() == []  # in the loop's next turn
        await asyncio.sleep(0)
        first = [timer(3), "settled", "before", timer(1), event(1), event(2), "settled", "after"]
        assert world.taken() == [*first, timer(2), "settled"]
        world.steps.give(timer(4))
        await asyncio.sleep(0)
        assert world.taken() == [timer(4), "settled"]

    run(scenario())


def test_nothing_passes_an_effect_that_takes_its_time() -> None:
    async def scenario() -> None:
        world = await begun()
        world.effects = {timer(1): [event(1), WRITE, event(2)]}
        await world.steps.inbox.put((timer(1), nothing, world.note("after")), timer(1))
        world.steps.give(timer(2))
        await asyncio.sleep(0)
        world.steps.give(timer(3))
        await asyncio.sleep(0)
        assert world.taken() == [timer(2), "settled", timer(1), event(1), WRITE]
        world.steps.go_on(world.note("written"))
        assert world.taken() == ["written", event(2), "settled", "after", timer(3), "settled"]

    run(scenario())


def test_what_comes_before_the_beginning_waits_for_it() -> None:
    async def scenario() -> None:
        world = World()
        world.steps.give(timer(1))
        await asyncio.sleep(0)
        assert world.taken() == []
        world.effects = {timer(0): [WRITE]}
        beginning = asyncio.create_task(world.steps.begin(timer(0)))
        while not world.seen:
            await asyncio.sleep(0)
        assert not beginning.done() and world.taken() == [timer(0), WRITE]
        world.steps.go_on(nothing)
        await beginning
        assert world.taken() == ["settled", timer(1), "settled"]

    run(scenario())


def test_whoever_runs_it_hears_of_a_failure_and_nothing_follows() -> None:
    async def scenario() -> None:
        world = await begun()
        running = asyncio.create_task(world.steps.run())
        for number in (1, 13, 2):
            world.steps.give(timer(number))
        with pytest.raises(ZeroDivisionError):
            await running
        assert world.taken() == [timer(1), "settled", timer(13)]

    run(scenario())


@pytest.mark.parametrize("is_first", [False, True])
def test_a_failure_of_what_was_waited_for(*, is_first: bool) -> None:
    """`fail` says so, or what comes first when it is done."""

    async def scenario() -> None:
        world = await begun()
        world.effects = {timer(1): [WRITE, event(1)]}
        running = asyncio.create_task(world.steps.run())
        world.steps.give(timer(1))
        await asyncio.sleep(0)
        if is_first:
            world.steps.go_on(lambda: [].pop())
        else:
            world.steps.fail(IndexError())
        with pytest.raises(IndexError):
            await running
        world.steps.go_on(nothing)
        assert world.taken() == [timer(1), WRITE]

    run(scenario())


def test_whoever_begins_hears_of_a_failure() -> None:
    async def scenario() -> None:
        with pytest.raises(ZeroDivisionError):
            await World().steps.begin(timer(13))

    run(scenario())


@pytest.mark.parametrize("is_begun", [False, True])
def test_cancelled_it_ends_where_it_waits(*, is_begun: bool) -> None:
    async def scenario() -> None:
        world = World()
        if is_begun:
            await world.steps.begin(timer(0))
        world.effects = {timer(0): [WRITE, event(1)], timer(1): [WRITE, event(1)]}
        work = world.steps.run() if is_begun else world.steps.begin(timer(0))
        task = asyncio.create_task(work)
        world.steps.give(timer(1))
        while WRITE not in world.seen:
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        world.taken()
        world.steps.go_on(nothing)
        assert world.taken() == []

    run(scenario())
