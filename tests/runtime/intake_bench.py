"""An intake of which a test sees what it delivers, and says when large frames are verified and inputs handled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any

from blockchain.node.inputs import BlocksArrived, Input, MessageReceived
from blockchain.node.messages import Message, Peers, Status, Want, encode_frame
from blockchain.node.verify import VerifyContext
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Step
from blockchain.runtime.intake import Call, Intake
from blockchain.runtime.peer_events import DialAnswered, DialFailed, FrameReceived, PeerEvent, PeerUp
from blockchain.seams import PeerId

GENESIS = Hash32(b"\x11" * 32)
ANN, BOB = PeerId(b"a" * 32), PeerId(b"b" * 32)
HANG_S = 20.0  # a test that waits longer has failed
LARGE = Peers(tuple(f"{number:>02}.{'name' * 10}:{number}" for number in range(1, 65)))
WANT = Want((GENESIS,))
TURNS = 100  # of the event loop: more than anything here needs to come to rest


class Held(Executor):
    """Does nothing until it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append(lambda: future.set_result(fn(*args, **kwargs)))
        return future

    def work(self) -> None:
        for each in self.waiting:
            each()
        self.waiting.clear()


class Bench:
    """An intake, and what it has delivered."""

    def __init__(self) -> None:
        self.large = Held()
        self.arrived: list[PeerId] = []
        self.delivered: list[Input] = []
        self.calls: list[tuple[Call, Call]] = []  # before the core handles one, and after
        self.has_room = True
        self.dials: list[DialAnswered | DialFailed] = []
        self.intake = Intake(
            lambda _: VerifyContext(GENESIS, 1, {}, lambda _: None),
            self.take,
            self.take_now,
            lambda: self.has_room,
            self.large,
            self.dialled,
        )

    async def take(self, given: Input, before: Call, after: Call) -> None:
        if isinstance(given, BlocksArrived):
            self.arrived.append(given.peer)
            return
        self.take_now(given, before, after)

    def take_now(self, given: Input, before: Call, after: Call) -> None:
        self.delivered.append(given)
        self.calls.append((before, after))

    def handle(self, count: int = 1_000) -> None:
        """As a core does: so many of those that wait."""
        for before, after in self.calls[:count]:
            before()
            after()
        del self.calls[:count]

    def dialled(self, event: DialAnswered | DialFailed) -> None:
        self.dials.append(event)

    def of(self, peer: PeerId) -> list[object]:
        """What was delivered of one peer: its messages, else the names of the inputs."""
        mine = [given for given in self.delivered if getattr(given, "peer", None) == peer]
        return [given.message if isinstance(given, MessageReceived) else type(given) for given in mine]

    async def join(self, *peers: PeerId) -> list[PeerUp]:
        """Connect them, and let the core handle what waits; returns their events."""
        ups = [PeerUp(peer, "", True, "host:1", "agent", "127.0.0.1") for peer in peers]
        for up in ups:
            await self.intake.put(up)
        await rest()
        self.handle()
        await rest()
        return ups


async def rest() -> None:
    """Let everybody go on until nobody can."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


def frame(peer: PeerId, message: Message) -> FrameReceived:
    return FrameReceived(peer, encode_frame(GENESIS, message))


def small(number: int) -> Status:
    return Status(number, 0, Step.PROPOSE, ())


def run(scenario: Callable[[Bench], Coroutine[None, None, None]]) -> None:
    """With an intake that runs; in the end it must stop whatever it is doing, and leave no task."""

    async def bounded() -> None:
        async with asyncio.timeout(HANG_S):
            bench = Bench()
            running = asyncio.create_task(bench.intake.run(), name="running")
            await scenario(bench)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            assert running.cancelled()
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(bounded())


async def put_all(bench: Bench, *events: PeerEvent) -> None:
    for event in events:
        await bench.intake.put(event)
