"""What peers say about transactions goes beside their lanes: no vote waits behind it, and it is bounded by itself."""

from __future__ import annotations

import asyncio

import pytest

from blockchain.node.messages import (
    Blocks,
    Fresh,
    Have,
    Message,
    Transactions,
    VerifiedTransactions,
    Votes,
    Want,
    encode_frame,
    is_about_transactions,
    is_of_ids,
)
from blockchain.primitives.vote import Vote, VoteStep
from blockchain.runtime.intake import (
    BESIDE_AT_ONCE,
    BESIDE_BYTES_MAX,
    BESIDE_EVENTS_MAX,
    INLINE_BYTES_MAX,
    LANE_INPUTS_MAX,
)
from blockchain.runtime.peer_events import PeerDown, PeerUp
from blockchain.seams import PeerConnected, PeerDisconnected, PeerId
from tests.runtime.intake_bench import ANN, BOB, GENESIS, LARGE, WANT, Bench, frame, put_all, rest, run, small
from tests.samples import address, wallet

CEM = PeerId(b"c" * 32)
PAID = tuple(wallet("a", GENESIS).transfer(address("b"), 1, nonce) for nonce in range(20))
MANY = Transactions(tuple(one.raw for one in PAID))


@pytest.mark.parametrize("message", [Have((GENESIS,) * 200), WANT, MANY, Fresh(MANY.transactions[:1])])
def test_what_is_about_transactions_is_seen_in_its_first_bytes(message: Message) -> None:
    assert is_about_transactions(encode_frame(GENESIS, message))
    assert is_of_ids(encode_frame(GENESIS, message)) == isinstance(message, Have | Want)


@pytest.mark.parametrize(
    "message",
    [
        small(1),
        LARGE,
        Blocks(1, (), None),
        Votes((Vote(1, 0, VoteStep.PREVOTE, None, -1, address("a")),)),
    ],
)
def test_what_is_not_is_not(message: Message) -> None:
    assert not is_about_transactions(encode_frame(GENESIS, message))
    assert not is_about_transactions(encode_frame(GENESIS, message)[:36])


def test_a_vote_does_not_wait_behind_transactions_of_the_same_peer() -> None:
    """However many of them wait, and though nobody verifies any."""

    async def scenario(bench: Bench) -> None:
        await bench.join(ANN)
        for number in range(BESIDE_EVENTS_MAX):
            await put_all(bench, frame(ANN, MANY), frame(ANN, small(number)))
            await rest()
            assert bench.of(ANN)[-1] == small(number)
            bench.handle()
        assert len(bench.large.waiting) == 1
        while bench.large.waiting:
            bench.large.work()
            await rest()
            bench.handle()
        assert bench.of(ANN).count(VerifiedTransactions(PAID)) == BESIDE_EVENTS_MAX

    run(scenario)


def test_a_vote_does_not_wait_for_the_core_to_handle_what_is_about_transactions() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN)
        await put_all(bench, *[frame(ANN, WANT)] * BESIDE_EVENTS_MAX, frame(ANN, small(1)))
        await rest()
        assert bench.of(ANN).count(WANT) == LANE_INPUTS_MAX and small(1) in bench.of(ANN)

    run(scenario)


def test_who_sends_more_than_there_is_room_for_beside_its_lane_is_read_no_further() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN)
        more = asyncio.create_task(put_all(bench, *[frame(ANN, MANY)] * (BESIDE_EVENTS_MAX + 2)))
        await rest()
        assert not more.done()
        bench.large.work()
        await rest()
        assert more.done()

    run(scenario)


def test_only_so_many_large_ones_are_verified_at_a_time_and_a_proposal_does_not_wait_for_them() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN, BOB, CEM)
        await put_all(bench, *(frame(peer, MANY) for peer in (ANN, BOB, CEM)))
        await rest()
        assert len(bench.large.waiting) == BESIDE_AT_ONCE
        await put_all(bench, frame(CEM, WANT), frame(CEM, LARGE))
        await rest()
        assert len(bench.large.waiting) == BESIDE_AT_ONCE + 1
        bench.large.work()
        await rest()
        assert LARGE in bench.of(CEM) and len(bench.large.waiting) == 1

    run(scenario)


def test_what_waits_beside_the_lanes_takes_no_room_of_large_frames_and_is_bounded_itself() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.join(ANN, BOB)
        room = bench.intake._room_beside
        await room.enter(BESIDE_BYTES_MAX)
        waiting = asyncio.create_task(bench.intake.put(frame(ANN, MANY)))
        await put_all(bench, frame(BOB, LARGE), frame(BOB, WANT))
        await rest()
        assert not waiting.done() and len(bench.large.waiting) == 1 and bench.of(BOB)[-1] == WANT
        room.leave(BESIDE_BYTES_MAX)
        await waiting
        await rest()
        bench.large.work()
        await rest()
        assert bench.of(ANN)[-1] == VerifiedTransactions(PAID)
        assert room.used == bench.intake._room.used == 0

    run(scenario)


def test_they_too_lie_between_the_beginning_and_the_end_of_their_connection() -> None:
    """Also where the next connection of the same peer is up before the first is over for the core."""

    async def scenario(bench: Bench) -> None:
        up = PeerUp(ANN, "", True, "host:1", "agent", "127.0.0.1")
        await put_all(bench, up, frame(ANN, MANY), PeerDown(ANN, "replaced"), up, frame(ANN, WANT))
        expected: list[object] = []
        for told in ([PeerConnected], [VerifiedTransactions(PAID)], [PeerDisconnected, PeerConnected], [WANT]):
            expected += told
            await rest()
            bench.large.work()
            await rest()
            assert bench.of(ANN) == expected
            bench.handle()
        await bench.intake.put(PeerDown(ANN, "gone"))
        await rest()
        bench.handle()
        assert bench.of(ANN)[-1] is PeerDisconnected and bench.intake._lanes == {}

    run(scenario)


def test_what_the_frames_of_these_tests_are() -> None:
    assert len(encode_frame(GENESIS, MANY)) > INLINE_BYTES_MAX > len(encode_frame(GENESIS, Want((GENESIS,))))
