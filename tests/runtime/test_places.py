"""Places: at once where one is free, else in the order of asking; none is lost to who gave up."""

from __future__ import annotations

import asyncio

import pytest

from blockchain.runtime.places import Places
from tests.runtime.scenarios import run


async def asked(places: Places, count: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(places.take()) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


def test_who_finds_none_free_waits_in_order() -> None:
    async def scenario() -> None:
        places = Places(2)
        assert places.is_one_free and places.take_now() and places.take_now()
        assert not places.is_one_free and not places.take_now()
        first, second = await asked(places, 2)
        places.give_back()
        assert not places.take_now(), "it is the first one's"
        await first
        assert not second.done()
        places.give_back()
        await second
        places.give_back()
        assert places.take_now()

    run(scenario())


@pytest.mark.parametrize("is_given_before", [False, True])
def test_a_place_is_not_lost_to_who_gave_up(is_given_before: bool) -> None:
    async def scenario() -> None:
        places = Places(1)
        assert places.take_now()
        gone, next_one = await asked(places, 2)
        if is_given_before:
            places.give_back()
        gone.cancel()
        await asyncio.sleep(0)
        if not is_given_before:
            places.give_back()
        await next_one
        assert not places.is_one_free
        places.give_back()
        assert places.take_now()

    run(scenario())
