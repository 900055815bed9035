"""What is asked of peers, and what waits until it is: in order, in shares, and never too much at once."""

from __future__ import annotations

from blockchain.node.wanted import AT_ONCE, OF_ONE_MIN, OFFERED_MAX, WANT_TICKS, Wanted
from blockchain.primitives.crypto import Hash32
from blockchain.seams import PeerId

ANN, BOB = PeerId(b"a" * 32), PeerId(b"b" * 32)
IDS = [Hash32(number.to_bytes(32, "big")) for number in range(OFFERED_MAX + 10)]


class Bench:
    def __init__(self) -> None:
        self.held: set[Hash32] = set()
        self.wanted = Wanted(self.held.__contains__)

    def come(self, ids: list[Hash32]) -> None:
        self.held.update(ids)
        self.wanted.let_go(ids)


def test_no_more_is_asked_for_than_is_verified_in_a_moment_and_the_rest_when_some_came() -> None:
    bench = Bench()
    bench.wanted.offer(ANN, IDS[: 3 * AT_ONCE], 1)
    assert bench.wanted.take(ANN, 1) == IDS[:AT_ONCE]
    assert bench.wanted.take(ANN, 1) == []
    bench.come(IDS[:7])
    assert bench.wanted.take(ANN, 1) == IDS[AT_ONCE : AT_ONCE + 7]
    assert len(bench.wanted) == AT_ONCE


def test_each_peer_has_its_share_of_both_bounds() -> None:
    bench = Bench()
    bench.wanted.offer(ANN, IDS, 2)
    assert len(bench.wanted.take(ANN, 2)) == AT_ONCE // 2 and bench.wanted.take(ANN, 2) == []
    bench.wanted.offer(BOB, IDS[-5:], 2)
    assert bench.wanted.take(BOB, 2) == IDS[-5:], "what the other asks for and does not get is not in its way"
    taken = AT_ONCE // 2
    while True:
        bench.come([one for one in IDS if one in bench.wanted])
        more = bench.wanted.take(ANN, 2)
        if not more:
            break
        taken += len(more)
    assert taken == OFFERED_MAX // 2


def test_of_each_of_very_many_peers_some_are_asked_for() -> None:
    bench = Bench()
    bench.wanted.offer(ANN, IDS[: 2 * OF_ONE_MIN], 128)
    assert len(bench.wanted.take(ANN, 128)) == OF_ONE_MIN


def test_what_has_come_from_elsewhere_meanwhile_is_not_asked_for() -> None:
    bench = Bench()
    bench.wanted.offer(ANN, IDS[:4], 2)
    bench.wanted.offer(BOB, IDS[:6], 2)
    bench.held.add(IDS[0])
    assert bench.wanted.take(ANN, 2) == IDS[1:4]
    assert bench.wanted.take(BOB, 2) == IDS[4:6]


def test_what_a_block_needs_is_asked_for_at_once_and_counts() -> None:
    bench = Bench()
    bench.wanted.offer(ANN, IDS[:10], 1)
    assert bench.wanted.take(ANN, 1) == IDS[:10]
    bench.wanted.ask(BOB, IDS[5 : 5 + AT_ONCE])
    bench.wanted.offer(BOB, IDS[-5:], 2)
    assert bench.wanted.take(BOB, 2) == [], "what the block needs comes first"
    assert bench.wanted.release(IDS[5]) == BOB and bench.wanted.release(IDS[0]) == ANN
    bench.come(IDS[5 : 5 + AT_ONCE])
    assert bench.wanted.take(BOB, 2) == IDS[-5:]


def test_what_does_not_come_is_told_and_what_came_another_way_is_let_go() -> None:
    bench = Bench()
    bench.wanted.offer(ANN, IDS[:3], 1)
    bench.wanted.take(ANN, 1)
    bench.held.add(IDS[0])
    late = [bench.wanted.on_tick() for _ in range(WANT_TICKS)]
    assert late == [[]] * (WANT_TICKS - 1) + [IDS[1:3]]
    assert IDS[0] not in bench.wanted and IDS[1] in bench.wanted


def test_nothing_is_kept_of_who_is_gone() -> None:
    bench = Bench()
    bench.wanted.offer(ANN, IDS[: AT_ONCE + 5], 1)
    asked = bench.wanted.take(ANN, 1)
    assert bench.wanted.on_disconnected(ANN) == asked
    assert len(bench.wanted) == 0 and not bench.wanted._counts and not bench.wanted._offered


def test_what_is_told_is_asked_for_at_once_as_far_as_there_is_room_and_waits_its_turn_beyond() -> None:
    bench = Bench()
    assert bench.wanted.want(ANN, iter([IDS[0], IDS[1], IDS[1]]), 1) == IDS[:2]
    assert bench.wanted.want(ANN, iter(IDS[2 : AT_ONCE + 5]), 1) == IDS[2:AT_ONCE]
    bench.come(IDS[:3])
    assert bench.wanted.want(ANN, iter(IDS[-1:]), 1) == IDS[AT_ONCE : AT_ONCE + 3], "what waits comes first"
    bench.come(IDS[3:7])
    assert bench.wanted.take(ANN, 1) == [*IDS[AT_ONCE + 3 : AT_ONCE + 5], IDS[-1]]
