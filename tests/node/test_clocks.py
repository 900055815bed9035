"""The peers' clocks: each answer has an error that bounds it, and one that lies moves its own row only."""

from __future__ import annotations

import pytest

from blockchain.node.clocks import CLOCK_PEERS_MIN, ERROR_MAX_MS, Clocks, median_of, offsets_of, reading_of
from blockchain.node.messages import GetTime, Time
from blockchain.node.peers import Peer
from blockchain.seams import ClockOff, Emit, PeerId

DRIFT_MS = 5_000


def peers(*offsets: int | None) -> list[Peer]:
    found = []
    for number, offset in enumerate(offsets):
        peer = Peer(PeerId(bytes([number]) * 32), "", inbound=True)
        peer.clock.offset_ms = offset
        found.append(peer)
    return found


@pytest.mark.parametrize("ahead", [-7_000, -1, 0, 3, 60_000])
@pytest.mark.parametrize("there, back", [(0, 0), (1, 0), (0, 1), (30, 2), (0, 900)])
def test_the_error_bounds_what_an_answer_says(ahead: int, there: int, back: int) -> None:
    asked = 1_000_000
    reading = reading_of(Time(asked, asked + there + ahead), asked + there + back)
    assert reading is not None
    offset, error = reading
    assert abs(offset - ahead) <= error <= (there + back) // 2 + 2


def test_an_answer_that_was_too_long_on_its_way_says_nothing() -> None:
    assert reading_of(Time(0, 9), 2 * (ERROR_MAX_MS - 1)) is not None
    assert reading_of(Time(0, 9), 2 * ERROR_MAX_MS) is None
    assert reading_of(Time(10, 9), 9) is None, "the clock was set back meanwhile"


def test_only_the_newest_question_is_answered_and_once() -> None:
    clocks, (peer,) = Clocks(DRIFT_MS), peers(None)
    assert clocks.ask(peer, 1_000) == GetTime(1_000)
    clocks.ask(peer, 31_000)
    clocks.on_time(peer, Time(1_000, 50_000), 31_001)
    assert offsets_of([peer]) == []
    clocks.on_time(peer, Time(31_000, 31_105), 31_010)
    assert (peer.clock.offset_ms, peer.clock.error_ms) == (100, 6)
    clocks.on_time(peer, Time(31_000, 99_999), 31_011)
    assert offsets_of([peer]) == [100]


def test_one_peer_that_lies_moves_its_own_row_only() -> None:
    for lie in (-(10**15), 10**15):
        assert median_of(offsets_of(peers(4, lie, 6))) in (4, 6)
        assert median_of(offsets_of(peers(4, lie, 6, 8))) in (4, 6, 8)
    assert median_of(offsets_of(peers(*[9_000] * (CLOCK_PEERS_MIN - 1), None))) is None


def test_a_clock_that_is_off_is_told_once_until_it_is_right_again() -> None:
    clocks = Clocks(DRIFT_MS)
    off, right = peers(2_501, 2_600, 2_400, 2_700), peers(2_500, 2_600, 2_400)
    assert clocks.judge(right) == []
    assert clocks.judge(off) == [Emit(ClockOff(2_501, 2_500, 4))]
    assert clocks.judge(off) == []
    assert clocks.judge(right) == []
    assert clocks.judge(peers(-9_000, -9_000, -9_000)) == [Emit(ClockOff(-9_000, 2_500, 3))]
