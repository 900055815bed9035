"""Requests that come together begin a few in each turn of the loop, in their order; who is alone begins at once."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from starlette.types import Message, Receive, Scope, Send

from blockchain.api.turns import AT_ONCE, Turns


class Begun:
    """An application that notes what begins, and in which turn of the loop."""

    def __init__(self) -> None:
        self.turn = 0
        self.names: list[str] = []
        self.turns: list[int] = []
        self.layer = Turns(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.names.append(scope["path"])
        self.turns.append(self.turn)

    def asked(self, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self.ask(name))

    async def ask(self, name: str) -> None:
        await self.layer({"type": "http", "path": name}, _receive, _send)

    async def go_on(self, turns: int) -> None:
        for _ in range(turns):
            self.turn += 1
            await asyncio.sleep(0)


async def _receive() -> Message:
    raise AssertionError("nobody reads here")


async def _send(message: Message) -> None:
    raise AssertionError("nobody answers here")


def test_who_is_alone_begins_at_once() -> None:
    async def scenario() -> None:
        begun = Begun()
        for name in ("first", "second"):
            with pytest.raises(StopIteration):  # it came to its end without waiting
                begun.ask(name).send(None)
            assert begun.names[-1] == name
            await asyncio.sleep(0)

    asyncio.run(scenario())


def test_a_crowd_begins_a_few_in_a_turn_in_its_order() -> None:
    async def scenario() -> None:
        begun = Begun()
        names = [str(number) for number in range(3 * AT_ONCE)]
        tasks = [begun.asked(name) for name in names]
        await begun.go_on(20)
        assert begun.names == names
        assert max(Counter(begun.turns).values()) <= AT_ONCE, "between these the loop looked at all else"
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


@pytest.mark.parametrize("gone", [AT_ONCE, AT_ONCE + 1, AT_ONCE + 2])
def test_one_that_is_cut_off_while_it_waits_holds_nobody_up(gone: int) -> None:
    async def scenario() -> None:
        begun = Begun()
        tasks = [begun.asked(str(number)) for number in range(AT_ONCE + 4)]
        await begun.go_on(1)
        tasks[gone].cancel()
        await begun.go_on(20)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert begun.names == [str(number) for number in range(AT_ONCE + 4) if number != gone]
        await begun.ask("later")
        assert begun.names[-1] == "later"

    asyncio.run(scenario())
