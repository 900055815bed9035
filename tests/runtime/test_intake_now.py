"""Frames that are passed on where they come in: only small ones that nothing of their peer waits before."""

from __future__ import annotations

import asyncio

import pytest

from blockchain.node.inputs import MessageFaulty
from blockchain.node.messages import Blocks, Have, Want
from blockchain.node.verify import VerifyContext
from blockchain.runtime.intake import INLINE_BYTES_MAX, INLINE_IDS_BYTES_MAX, LANE_INPUTS_MAX, Intake
from blockchain.runtime.peer_events import FrameReceived, PeerDown, PeerUp
from blockchain.seams import PeerConnected, PeerDisconnected, PeerId
from tests.runtime.intake_bench import ANN, BOB, GENESIS, LARGE, WANT, Bench, frame, put_all, rest, run, small


def test_a_small_frame_is_delivered_at_once() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN)
        assert bench.intake.put_now(frame(ANN, small(1))) and bench.intake.put_now(frame(ANN, WANT))
        assert bench.of(ANN) == [PeerConnected, small(1), WANT]
        assert bench.intake.put_now(FrameReceived(ANN, b"garbage"))
        assert isinstance(bench.delivered[-1], MessageFaulty)

    run(scenario)


def test_so_is_one_of_many_ids_but_not_of_very_many() -> None:
    """To decode a thousand takes less than to hand them to a thread."""

    async def scenario(bench: Bench) -> None:
        await bench.join(ANN)
        for message in (Have((GENESIS,) * 900), Want((GENESIS,) * 900)):
            assert INLINE_BYTES_MAX < len(frame(ANN, message).data) <= INLINE_IDS_BYTES_MAX
            assert bench.intake.put_now(frame(ANN, message)) and bench.of(ANN)[-1] == message
        bench.handle()
        assert not bench.intake.put_now(frame(ANN, Have((GENESIS,) * 1_000)))
        await put_all(bench, frame(ANN, Have((GENESIS,) * 900)), frame(ANN, Have((GENESIS,) * 1_000)))
        await rest()
        assert bench.of(ANN)[-1] == Have((GENESIS,) * 900) and len(bench.large.waiting) == 1
        bench.large.work()
        await rest()
        assert bench.of(ANN)[-1] == Have((GENESIS,) * 1_000)
        assert bench.intake._room_beside.used == 0

    run(scenario)


def test_a_large_one_and_blocks_are_not() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN)
        assert not bench.intake.put_now(frame(ANN, LARGE))
        assert not bench.intake.put_now(frame(ANN, Blocks(1, (), None)))
        assert bench.of(ANN) == [PeerConnected] and bench.arrived == []

    run(scenario)


def test_none_passes_one_that_waits_and_nobody_else_waits_for_it() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN, BOB)
        await put_all(bench, frame(ANN, LARGE))
        assert not bench.intake.put_now(frame(ANN, small(1))), "the large one waits for its turn"
        await rest()
        assert not bench.intake.put_now(frame(ANN, small(1))), "the large one is being verified"
        assert bench.intake.put_now(frame(ANN, WANT)) and bench.intake.put_now(frame(BOB, small(1)))
        bench.large.work()
        await rest()
        assert bench.intake.put_now(frame(ANN, small(1)))
        assert bench.of(ANN) == [PeerConnected, WANT, LARGE, small(1)]

    run(scenario)


def test_one_peer_does_not_fill_the_inbox_with_them() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN, BOB)
        taken = [bench.intake.put_now(frame(ANN, small(number))) for number in range(LANE_INPUTS_MAX + 1)]
        assert taken == [True] * LANE_INPUTS_MAX + [False]
        assert bench.intake.put_now(frame(BOB, small(1)))
        bench.handle(1)
        assert bench.intake.put_now(frame(ANN, small(LANE_INPUTS_MAX)))

    run(scenario)


def test_none_is_taken_without_room_in_the_inbox() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN)
        bench.has_room = False
        assert not bench.intake.put_now(frame(ANN, small(1))) and bench.of(ANN) == [PeerConnected]

    run(scenario)


def test_they_lie_between_the_beginning_and_the_end_of_their_connection() -> None:
    async def scenario(bench: Bench) -> None:
        assert not bench.intake.put_now(frame(ANN, small(1))), "nobody knows of it"
        await put_all(bench, PeerUp(ANN, "", True, "host:1", "agent", "127.0.0.1"))
        for one in (small(1), WANT):
            assert not bench.intake.put_now(frame(ANN, one)), "the core does not know of it yet"
        await rest()
        bench.handle()
        await rest()
        assert bench.intake.put_now(frame(ANN, small(2))) and bench.intake.put_now(frame(ANN, WANT))
        await put_all(bench, PeerDown(ANN, "gone"))
        await rest()
        assert bench.of(ANN) == [PeerConnected, small(2), WANT]
        bench.handle()
        await rest()
        assert bench.of(ANN)[-1] is PeerDisconnected

    run(scenario)


def test_a_bug_of_this_node_ends_it_and_not_the_connection_alone() -> None:
    def failing(_: PeerId | None) -> VerifyContext:
        raise ZeroDivisionError

    async def scenario() -> None:
        bench = Bench()
        intake = bench.intake = Intake(
            failing, bench.take, bench.take_now, lambda: bench.has_room, bench.large, bench.dialled
        )
        running = asyncio.create_task(intake.run())
        await asyncio.sleep(0)
        await bench.join(ANN)
        assert intake.put_now(frame(ANN, small(1)))
        with pytest.raises(ExceptionGroup) as raised:
            await running
        assert raised.group_contains(ZeroDivisionError)

    asyncio.run(scenario())
