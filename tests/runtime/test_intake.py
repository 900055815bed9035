"""Lanes: each peer's messages in their order, and no peer in another's way. Tests wait on conditions, never on time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import pytest

from blockchain.node.inputs import Input, MessageFaulty
from blockchain.node.messages import (
    Blocks,
    GetPeers,
    Transactions,
    VerifiedTransactions,
    encode_frame,
)
from blockchain.node.stateless import Check, Found, check_here
from blockchain.node.verify import VerifyContext
from blockchain.runtime.intake import (
    INLINE_BYTES_MAX,
    LANE_EVENTS_MAX,
    LANE_INPUTS_MAX,
    LARGE_BYTES_MAX,
    Call,
    Intake,
    Room,
)
from blockchain.runtime.peer_events import DialAnswered, DialFailed, FrameReceived, PeerDown, PeerUp
from blockchain.seams import PeerConnected, PeerDisconnected, PeerMet
from tests.runtime.intake_bench import ANN, BOB, GENESIS, HANG_S, LARGE, WANT, Bench, frame, put_all, rest, run, small
from tests.samples import address, wallet


def test_what_the_frames_of_these_tests_are() -> None:
    assert len(encode_frame(GENESIS, small(1))) <= INLINE_BYTES_MAX < len(encode_frame(GENESIS, LARGE))


def test_a_peers_messages_keep_their_order_whatever_their_size() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN)
        await put_all(bench, frame(ANN, small(1)), frame(ANN, LARGE), frame(ANN, small(2)), PeerDown(ANN, "why"))
        await rest()
        assert bench.of(ANN) == [PeerConnected, small(1)]
        bench.large.work()
        await rest()
        bench.handle()
        await rest()
        assert bench.of(ANN) == [PeerConnected, small(1), LARGE, small(2), PeerDisconnected]

    run(scenario)


def test_the_core_hears_of_blocks_before_they_are_verified_and_of_no_other_large_frame() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN, BOB)
        await put_all(bench, frame(ANN, LARGE), frame(BOB, LARGE), frame(BOB, Blocks(1, (), None)))
        await rest()
        assert bench.arrived == [BOB] and len(bench.large.waiting) == 2

    run(scenario)


def test_a_vote_does_not_wait_behind_the_block_of_another_peer() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN, BOB)
        await put_all(bench, frame(ANN, LARGE), frame(BOB, small(1)))
        await rest()
        assert bench.of(BOB) == [PeerConnected, small(1)] and bench.of(ANN) == [PeerConnected]
        bench.large.work()
        await rest()
        assert bench.of(ANN) == [PeerConnected, LARGE]

    run(scenario)


def test_who_sends_too_fast_is_read_no_further_and_nobody_else_feels_it() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN, BOB)
        frames = [frame(ANN, LARGE) for _ in range(2 * LANE_EVENTS_MAX)]
        more = asyncio.create_task(put_all(bench, *frames))
        await rest()
        assert not more.done() and len(bench.large.waiting) == 1
        await bench.intake.put(frame(BOB, small(1)))
        await rest()
        assert bench.of(BOB) == [PeerConnected, small(1)]
        while not more.done():
            bench.large.work()
            await rest()
        await more

    run(scenario)


def test_one_peers_messages_do_not_fill_the_inbox() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN, BOB)
        frames = [frame(ANN, small(number)) for number in range(2 * LANE_INPUTS_MAX)]
        more = asyncio.create_task(put_all(bench, *frames))
        await rest()
        assert len(bench.of(ANN)) == 1 + LANE_INPUTS_MAX and not more.done()
        await bench.intake.put(frame(BOB, small(1)))
        await rest()
        assert bench.of(BOB) == [PeerConnected, small(1)]
        bench.handle()
        await more
        await rest()
        assert bench.of(ANN)[1:] == [small(number) for number in range(2 * LANE_INPUTS_MAX)]

    run(scenario)


def test_a_faulty_frame_is_delivered_as_a_fault() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN)
        await put_all(bench, FrameReceived(ANN, b"garbage"), FrameReceived(ANN, bytes(INLINE_BYTES_MAX + 1)))
        await rest()
        bench.large.waiting.clear()
        (fault,) = [given for given in bench.delivered if isinstance(given, MessageFaulty)]
        assert (fault.peer, fault.fault.reason) == (ANN, "malformed")

    run(scenario)


def test_a_connection_that_is_replaced_ends_before_the_next_one_begins() -> None:
    async def scenario(bench: Bench) -> None:
        (first,) = await bench.join(ANN)
        await put_all(bench, frame(ANN, LARGE), PeerDown(ANN, "replaced"))
        (second,) = await bench.join(ANN)
        await bench.intake.put(frame(ANN, GetPeers()))
        bench.large.work()
        for handled in ([PeerConnected, LARGE], [PeerDisconnected, PeerConnected]):
            await rest()
            assert bench.of(ANN)[-2:] == handled
            assert bench.intake.connected[ANN] is first, "what the core sends is for this one, though it is over"
            bench.handle(1)
        assert bench.intake.connected == {}
        bench.handle(1)
        assert bench.intake.connected[ANN] is second
        await rest()
        assert bench.of(ANN)[-1] == GetPeers()
        bench.handle()
        await bench.intake.put(PeerDown(ANN, "gone"))
        await rest()
        assert list(bench.intake.connected) == [ANN], "its address is still wanted, for what waits in the inbox"
        bench.handle()
        assert bench.intake.connected == {} and bench.intake._lanes == {}

    run(scenario)


def test_nothing_of_a_connection_passes_its_beginning_or_its_end_in_the_inbox() -> None:
    """There transactions wait while agreement goes by: the core would drop these, or answer on the next connection."""

    async def scenario(bench: Bench) -> None:
        await put_all(bench, PeerUp(ANN, "", True, "host:1", "agent", "127.0.0.1"), frame(ANN, WANT))
        await rest()
        assert bench.of(ANN) == [PeerConnected], "it is not known of yet"
        bench.handle()
        await bench.intake.put(PeerDown(ANN, "gone"))
        await rest()
        assert bench.of(ANN) == [PeerConnected, WANT], "it is not answered yet"
        bench.handle()
        await rest()
        assert bench.of(ANN) == [PeerConnected, WANT, PeerDisconnected]

    run(scenario)


def test_what_a_connection_tells_of_itself_reaches_the_core() -> None:
    async def scenario(bench: Bench) -> None:
        failed = DialFailed("host:1", "why")
        answered = DialAnswered("host:2", BOB, "127.0.0.1")
        await bench.join(ANN)
        await put_all(bench, failed, answered)
        assert bench.delivered == [PeerConnected(ANN, "host:1", True, "127.0.0.1", "agent"), PeerMet(BOB, "host:2")]
        assert bench.dials == [failed, answered]

    run(scenario)


def test_before_it_runs_and_after_it_nothing_is_delivered() -> None:
    async def scenario() -> None:
        bench = Bench()
        early = asyncio.create_task(bench.join(ANN))
        await rest()
        assert not early.done() and bench.delivered == []
        running = asyncio.create_task(bench.intake.run(), name="running")
        await early
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await put_all(bench, frame(BOB, small(1)), PeerDown(BOB, "why"))
        await rest()
        assert bench.of(ANN) == [PeerConnected] and bench.of(BOB) == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())


def test_what_needs_bytes_alone_of_a_large_frame_is_done_by_whoever_is_given() -> None:
    paid = [wallet("a", GENESIS).transfer(address("b"), 1, nonce) for nonce in range(20)]
    asked: list[Check] = []

    def check_all(checks: Sequence[Check]) -> Iterator[Found]:
        asked.extend(checks)
        return check_here(checks)

    async def scenario(bench: Bench) -> None:
        bench.intake._check_all = check_all
        await bench.join(ANN)
        for some in (paid[:1], paid):
            await bench.intake.put(frame(ANN, Transactions(tuple(one.raw for one in some))))
            await rest()
        assert asked == [], "the small one is verified where it is"
        bench.large.work()
        await rest()
        assert [len(one.raws) for one in asked] == [20]
        assert bench.of(ANN)[1:] == [VerifiedTransactions(tuple(paid[:1])), VerifiedTransactions(tuple(paid))]

    run(scenario)


def test_all_large_frames_together_take_only_so_many_bytes() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN, BOB)
        room = bench.intake._room
        await room.enter(LARGE_BYTES_MAX)
        waiting = asyncio.create_task(bench.intake.put(frame(ANN, LARGE)))
        await rest()
        assert not waiting.done()
        await put_all(bench, frame(BOB, small(1)))
        room.leave(LARGE_BYTES_MAX)
        await waiting
        await rest()
        bench.large.work()
        await rest()
        assert bench.of(BOB)[1:] == [small(1)] and bench.of(ANN)[1:] == [LARGE]
        assert room.used == 0

    run(scenario)


def test_room_is_given_in_the_order_of_asking_and_one_that_gives_up_is_passed_over() -> None:
    async def scenario() -> None:
        room = Room(10)
        await room.enter(8)
        order: list[int] = []

        async def ask(size: int) -> None:
            await room.enter(size)
            order.append(size)

        tasks = [asyncio.create_task(ask(size)) for size in (7, 6, 2, 1)]
        await rest()
        assert order == [], "the small ones do not go ahead for ever"
        tasks[0].cancel()
        room.leave(8)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == [6, 2, 1] and room.used == 9
        room.leave(9)
        await room.enter(50)  # what is larger than all of it passes alone
        assert room.used == 50

    asyncio.run(asyncio.wait_for(scenario(), HANG_S))


@pytest.mark.parametrize("turns", range(6))
def test_what_comes_while_it_stops_finds_nobody_and_harms_nothing(turns: int) -> None:
    """A connection may tell something at any step of the end, when no lane may begin any more."""

    async def scenario(bench: Bench) -> None:
        await bench.join(ANN)
        running = next(task for task in asyncio.all_tasks() if task.get_name() == "running")
        running.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        await bench.intake.put(PeerUp(BOB, "", True, "host:1", "agent", "127.0.0.1"))
        assert bench.of(BOB) == []

    run(scenario)


def test_a_lane_that_fails_ends_all_and_no_other_begins_in_the_same_moment() -> None:
    async def scenario() -> None:
        bench = Bench()
        telling: list[asyncio.Task[None]] = []

        async def fail(given: Input, before: Call, after: Call) -> None:
            telling.append(asyncio.create_task(bench.intake.put(PeerDown(BOB, "why"))))
            raise ZeroDivisionError

        intake = bench.intake = Intake(
            lambda _: VerifyContext(GENESIS, 1, {}, lambda _: None),
            fail,
            bench.take_now,
            lambda: True,
            bench.large,
            bench.dialled,
        )
        running = asyncio.create_task(intake.run())
        await intake.put(PeerUp(ANN, "", True, "host:1", "agent", "127.0.0.1"))
        with pytest.raises(ExceptionGroup):
            await running
        await asyncio.gather(*telling)

    asyncio.run(scenario())
