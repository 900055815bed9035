"""From what connections tell to inputs of the core: each peer's frames verified, in order, and in nobody else's way.

Each connected peer has a lane: a short queue and a task. A lane verifies one frame after the other, so that the order
of a peer's messages is kept, and lanes run side by side: a vote does not wait behind another peer's block, nor do a
dozen that share a frame. Small frames are verified where they are, since a thread would take longer to be told; large
ones in a few threads, where no lane has more than one at a time, and what is laborious of them in processes
(`verifiers.py`). Whoever fills its lane is read no further until there is room; nobody else feels it.

What a peer says about transactions goes beside its lane, in a longer queue with a task of its own: they come by the
thousand, and a vote that waits behind them delays the block that would make room for them. Nothing depends on their
place among other messages, but that they lie between the beginning and the end of their connection.

A small frame that nothing waits before is verified and passed on where it comes in: the turns of two tasks cost more
than that (docs/decisions/0020).

Bounded are the frames and the verified messages of one peer, and the bytes of all large frames together, those about
transactions apart (docs/protocol.md §8.1).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import nullcontext
from functools import partial
from typing import Final, TypeVar, assert_never

from blockchain.errors import PeerFault
from blockchain.node.inputs import BlocksArrived, Input, MessageFaulty, MessageReceived
from blockchain.node.messages import Verified, is_about_transactions, is_of_blocks, is_of_ids
from blockchain.node.stateless import CheckAll, check_here
from blockchain.node.verify import VerifyContext, verify_frame
from blockchain.runtime.peer_events import (
    DialAnswered,
    DialBackEnded,
    DialFailed,
    FrameReceived,
    PeerDown,
    PeerEvent,
    PeerUp,
)
from blockchain.runtime.places import Places
from blockchain.seams import DialledBack, PeerConnected, PeerDisconnected, PeerId, PeerMet

INLINE_BYTES_MAX: Final = 2_048  # a smaller frame is verified faster than it is handed to a thread
INLINE_IDS_BYTES_MAX: Final = 32 * 1024  # so is one of a thousand ids, a fifth of a millisecond: nothing is signed
LANE_EVENTS_MAX: Final = 4  # of one peer, waiting for their turn; then its socket is not read
BESIDE_EVENTS_MAX: Final = 64  # those about transactions: what it is asked for at once, and what it offers meanwhile
LANE_INPUTS_MAX: Final = 16  # of one peer and queue, verified and waiting for the core; others' come between them
LARGE_BYTES_MAX: Final = 32 * 1024 * 1024  # of all large frames that wait for verification
BESIDE_BYTES_MAX: Final = 16 * 1024 * 1024  # of those about transactions, which take no room from the others
BESIDE_AT_ONCE: Final = 2  # large ones that are verified: two workers have enough to do, and a proposal is next

_LOG: Final = logging.getLogger("blockchain.node")

Call = Callable[[], object]
T = TypeVar("T")
Deliver = Callable[[Input, Call, Call], Awaitable[None]]  # waits for room; calls: before the core handles it, and after
DeliverNow = Callable[[Input, Call, Call], None]  # where there is room


def nothing() -> None:
    """What is called for an input that nobody waits for."""


class Room:
    """A number of bytes, taken and given back. Who asks for more than are left waits, in the order of asking."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()
        self.used = 0

    async def enter(self, size: int) -> None:
        async with self._turn:
            while self.used and self.used + size > self._most:
                self._freed.clear()
                await self._freed.wait()
            self.used += size

    def leave(self, size: int) -> None:
        self.used -= size
        self._freed.set()


class _Queue(asyncio.Queue[T]):
    """Events of one peer that wait for their turn, at most so many; and the verified ones that wait for the core."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self.inputs = Places(LANE_INPUTS_MAX)
        self._is_waited_for = False

    @property
    def is_idle(self) -> bool:
        """Whether its task has passed on all that came, and waits for more."""
        return self._is_waited_for and self.empty()

    async def next(self) -> T:
        """What comes next; the one before it is passed on."""
        self._is_waited_for = True
        try:
            return await self.get()
        finally:
            self._is_waited_for = False

    async def handled(self) -> None:
        """Returns when the core has handled all that came of it."""
        for _ in range(LANE_INPUTS_MAX):
            await self.inputs.take()
        for _ in range(LANE_INPUTS_MAX):
            self.inputs.give_back()


class _Beside(_Queue[FrameReceived | None]):
    """What one connection says about transactions, from its beginning to its end. None: it is over."""

    def __init__(self) -> None:
        super().__init__(BESIDE_EVENTS_MAX)


class _Lane(_Queue[tuple[PeerUp | FrameReceived | PeerDown, _Beside]]):
    """One peer's way in. It may outlive a connection, and serve the next one of the same peer."""

    def __init__(self) -> None:
        super().__init__(LANE_EVENTS_MAX)
        self.beside = _Beside()  # of the newest connection: none of the one before it is read any more
        self.coming = 0  # events that are about to be put in

    @property
    def is_unused(self) -> bool:
        return self.coming == 0 and self.empty()

    async def take_in(self, event: PeerUp | FrameReceived | PeerDown) -> None:
        """Returns when there was room for it."""
        self.coming += 1
        try:
            if isinstance(event, FrameReceived) and is_about_transactions(event.data):
                await self.beside.put(event)
                return
            if isinstance(event, PeerUp):
                self.beside = _Beside()
            await self.put((event, self.beside))
        finally:
            self.coming -= 1


class Intake:
    """Takes peer events (as P2P's `events`) and delivers inputs, while `run` runs; before, whoever brings one waits.

    `context` is the core's, taken afresh for each frame; `large` is where large frames are verified, and `check_all`
    does what needs nothing but their bytes; `on_dial` is told what became of dials.
    """

    def __init__(
        self,
        context: Callable[[PeerId], VerifyContext],
        deliver: Deliver,
        deliver_now: DeliverNow,
        has_room: Callable[[], bool],
        large: Executor,
        on_dial: Callable[[DialAnswered | DialFailed], None],
        check_all: CheckAll = check_here,
    ) -> None:
        self._context = context
        self._deliver = deliver
        self._deliver_now = deliver_now
        self._has_room = has_room
        self._large = large
        self._on_dial = on_dial
        self._check_all = check_all
        self._lanes: dict[PeerId, _Lane] = {}  # as many as there are connections
        self._room = Room(LARGE_BYTES_MAX)
        self._room_beside = Room(BESIDE_BYTES_MAX)
        self._turns_beside = asyncio.Semaphore(BESIDE_AT_ONCE)
        self._begun = asyncio.Event()
        self._tasks: asyncio.TaskGroup | None = None  # None: it takes no new lane
        self.connected: dict[PeerId, PeerUp] = {}  # what the core knows of, and until it has handled the end of it

    async def run(self) -> None:
        """Until it is cancelled; leaves no task. Raises what a lane failed of, in a group."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            self._begun.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:  # before the group waits for the lanes there are: it takes no other any more
                self._tasks = None

    async def put(self, event: PeerEvent) -> None:
        """Take one event of a connection; returns when there is room for it."""
        await self._begun.wait()
        match event:
            case DialFailed():
                self._on_dial(event)
            case DialAnswered(address=address, peer_id=peer):
                self._on_dial(event)
                await self._deliver(PeerMet(PeerId(peer), address), nothing, nothing)
            case DialBackEnded(peer_id=peer, outcome=outcome):
                await self._deliver(DialledBack(PeerId(peer), outcome), nothing, nothing)
            case PeerUp() | FrameReceived() | PeerDown():
                await self._put_in_lane(event)
            case _:
                assert_never(event)

    def put_now(self, event: FrameReceived) -> bool:
        """Verify and deliver a small frame that nothing of its peer waits before; False: `put` it."""
        peer, frame = PeerId(event.peer_id), event.data
        lane = self._lanes.get(peer)
        if lane is None or not _is_small(frame) or is_of_blocks(frame):
            return False
        queue = lane.beside if is_about_transactions(frame) else lane
        if not (queue.is_idle and self._has_room() and queue.inputs.take_now()):
            return False
        try:
            given = self._verify_small(peer, frame)
        except Exception as error:  # this program's own: it ends the node, and not this connection
            self._begin(partial(_fail, error))
            return True
        self._deliver_now(given, nothing, queue.inputs.give_back)
        return True

    async def _put_in_lane(self, event: PeerUp | FrameReceived | PeerDown) -> None:
        if isinstance(event, FrameReceived) and is_of_blocks(event.data):
            await self._deliver(BlocksArrived(PeerId(event.peer_id)), nothing, nothing)
        room, size = self._room_for(event), _large_bytes(event)
        if size:
            await room.enter(size)
        try:
            await self._lane(PeerId(event.peer_id)).take_in(event)
        except asyncio.CancelledError:
            if size:
                room.leave(size)
            raise

    def _room_for(self, event: PeerEvent) -> Room:
        is_beside = isinstance(event, FrameReceived) and is_about_transactions(event.data)
        return self._room_beside if is_beside else self._room

    def _lane(self, peer: PeerId) -> _Lane:
        lane = self._lanes.get(peer)
        if lane is None:
            lane = _Lane()
            if self._tasks is not None:  # else the node is stopping: nobody takes what comes now
                self._lanes[peer] = lane
            self._begin(partial(self._serve, peer, lane))
        return lane

    def _begin(self, serve: Callable[[], Awaitable[None]]) -> None:
        if self._tasks is not None:
            self._tasks.create_task(self._run_task(serve), name="lane")

    async def _run_task(self, serve: Callable[[], Awaitable[None]]) -> None:
        try:
            await serve()
        except BaseException:
            self._tasks = None  # the group ends with its first failure, at once: `run` hears of it a turn later
            raise

    async def _serve(self, peer: PeerId, lane: _Lane) -> None:
        """Take a lane's events in order; ends with the connection, unless there is another one by then.

        In the inbox some inputs pass others (`inbox.py`): none of a connection passes its beginning or its end.
        """
        while True:
            event, beside = await lane.next()
            match event:
                case PeerUp():
                    known = partial(self.connected.__setitem__, peer, event)
                    await self._pass_on(lane.inputs, _connected(event), before=known)
                    await lane.handled()
                    self._begin(partial(self._serve_beside, peer, beside))
                case FrameReceived(data=frame):
                    await self._pass_on(lane.inputs, await self._verify(peer, frame, self._room))
                case PeerDown(why=why):
                    _LOG.info("peer left: %s", why, extra={"evt.name": "peer_left", "peer": peer.hex(), "why": why})
                    await self._end_beside(beside)
                    await lane.handled()
                    await self._pass_on(lane.inputs, PeerDisconnected(peer), after=partial(self.connected.pop, peer))
                    if lane.is_unused:
                        del self._lanes[peer]
                        return
                case _:
                    assert_never(event)

    async def _serve_beside(self, peer: PeerId, beside: _Beside) -> None:
        """What a connection says about transactions, while the core knows of it."""
        while (event := await beside.next()) is not None:
            async with self._turns_beside if _large_bytes(event) else nullcontext():
                given = await self._verify(peer, event.data, self._room_beside)
            await self._pass_on(beside.inputs, given)
            beside.task_done()

    async def _end_beside(self, beside: _Beside) -> None:
        await beside.join()
        await beside.handled()
        beside.put_nowait(None)

    async def _pass_on(self, inputs: Places, given: Input, before: Call = nothing, after: Call = nothing) -> None:
        await inputs.take()

        def done() -> None:
            inputs.give_back()
            after()

        await self._deliver(given, before, done)

    async def _verify(self, peer: PeerId, frame: bytes, room: Room) -> Input:
        """What the core is given for a frame; its bytes leave the room that they took."""
        if _is_small(frame):
            return self._verify_small(peer, frame)
        try:
            return MessageReceived(peer, await self._verify_large(peer, frame, room))
        except PeerFault as fault:
            return MessageFaulty(peer, fault)

    def _verify_small(self, peer: PeerId, frame: bytes) -> Input:
        try:
            return MessageReceived(peer, verify_frame(frame, self._context(peer)))
        except PeerFault as fault:
            return MessageFaulty(peer, fault)

    async def _verify_large(self, peer: PeerId, frame: bytes, room: Room) -> Verified:
        context = self._context(peer)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._large, lambda: verify_frame(frame, context, self._check_all))
        finally:
            room.leave(len(frame))


async def _fail(error: Exception) -> None:
    raise error


def _connected(up: PeerUp) -> PeerConnected:
    return PeerConnected(PeerId(up.peer_id), up.advertised, up.inbound, up.remote, up.agent)


def _is_small(frame: bytes) -> bool:
    """Whether it is verified where it is."""
    return len(frame) <= (INLINE_IDS_BYTES_MAX if is_of_ids(frame) else INLINE_BYTES_MAX)


def _large_bytes(event: PeerEvent) -> int:
    """What an event takes of the room for large frames."""
    if isinstance(event, FrameReceived) and not _is_small(event.data):
        return len(event.data)
    return 0
