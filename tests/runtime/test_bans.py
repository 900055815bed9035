"""Scores add up and fade, bans end, grow and are bounded, and some addresses are never banned."""

from __future__ import annotations

import pytest

from blockchain.node.views import BanView
from blockchain.runtime.bans import (
    ADDRESS_BAN_LONGEST_S,
    ADDRESS_BAN_S,
    BAN_LONGEST_S,
    BAN_S,
    BANS_MAX,
    FADE_S,
    REMEMBERED_S,
    SCORES_MAX,
    SPARED_MAX,
    Bans,
)
from blockchain.runtime.seldom import KEYS_MAX, PERIOD_S, Seldom
from blockchain.seams import PeerId
from blockchain.seams.faults import BAN_POINTS, SMALL_FAULTS

ANN, BOB = PeerId(b"a" * 32), PeerId(b"b" * 32)
THERE = "203.0.113.7"  # RFC 5737: nobody's


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    def __init__(self, *, ids_only: bool = False) -> None:
        self.clock = Clock()
        self.bans = Bans(ids_only=ids_only, clock=self.clock)

    def lie(self, peer: PeerId = ANN, source: str = THERE) -> bool:
        return self.bans.blame(peer, source, "bad_signature", "why")

    def slip(self, times: int = 1) -> list[bool]:
        return [self.bans.blame(ANN, THERE, "unasked", "why") for _ in range(times)]


def test_a_proof_of_malice_bans_the_id_and_for_a_shorter_time_the_address() -> None:
    bench = Bench()
    assert bench.lie()
    assert bench.bans.is_banned(ANN) and bench.bans.is_address_banned(THERE)
    assert not bench.bans.is_banned(BOB) and not bench.bans.is_address_banned("203.0.113.8")
    assert bench.bans.views() == [
        BanView(ANN, "", "bad_signature", "why", int(BAN_S), 1),
        BanView(None, THERE, "bad_signature", "why", int(ADDRESS_BAN_S), 1),
    ]
    bench.clock.now += ADDRESS_BAN_S
    assert bench.bans.is_banned(ANN) and not bench.bans.is_address_banned(THERE)
    bench.clock.now += BAN_S - ADDRESS_BAN_S
    assert not bench.bans.is_banned(ANN) and bench.bans.views() == []


def test_small_faults_add_up_to_a_ban() -> None:
    bench = Bench()
    needed = BAN_POINTS // SMALL_FAULTS["unasked"]
    assert bench.slip(needed) == [False] * (needed - 1) + [True]
    assert bench.bans.is_banned(ANN) and bench.bans.score(ANN) == 0


def test_points_fade_with_time() -> None:
    bench = Bench()
    bench.slip(4)
    assert bench.bans.score(ANN) == 20
    bench.clock.now += 5 * FADE_S
    assert bench.bans.score(ANN) == 15
    bench.clock.now += 100 * FADE_S
    assert bench.bans.score(ANN) == 0
    for _ in range(200):  # seldom enough, for ever
        bench.clock.now += SMALL_FAULTS["unasked"] * FADE_S
        assert bench.slip() == [False]


def test_a_repeated_ban_lasts_longer_to_a_maximum() -> None:
    bench = Bench()
    lengths, address_lengths = [], []
    for _ in range(12):
        bench.lie()
        one, other = bench.bans.views()
        lengths.append(one.seconds_left)
        address_lengths.append(other.seconds_left)
        bench.clock.now += one.seconds_left
    assert lengths[:3] == [BAN_S, 2 * BAN_S, 4 * BAN_S] and lengths[-1] == BAN_LONGEST_S
    assert address_lengths[:3] == [ADDRESS_BAN_S, 2 * ADDRESS_BAN_S, 4 * ADDRESS_BAN_S]
    assert address_lengths[-1] <= ADDRESS_BAN_LONGEST_S
    bench.clock.now += REMEMBERED_S + 1
    bench.lie()
    assert bench.bans.views()[0].seconds_left == BAN_S


def test_faults_that_were_on_their_way_do_not_make_a_ban_longer() -> None:
    bench = Bench()
    assert [bench.lie() for _ in range(5)] == [True] * 5
    assert [(view.seconds_left, view.times) for view in bench.bans.views()] == [(BAN_S, 1), (ADDRESS_BAN_S, 1)]


@pytest.mark.parametrize("source", ["127.0.0.1", "127.3.2.1", "::/64", ""])
def test_the_loopback_address_is_never_banned(source: str) -> None:
    bench = Bench()
    assert bench.lie(source=source)
    assert bench.bans.is_banned(ANN) and not bench.bans.is_address_banned(source)


def test_where_the_operators_seed_is_no_address_is_banned() -> None:
    bench = Bench()
    bench.lie(BOB)
    bench.bans.spare(THERE)
    assert not bench.bans.is_address_banned(THERE)
    bench.lie()
    assert bench.bans.is_banned(ANN) and not bench.bans.is_address_banned(THERE)


def test_where_ids_are_admitted_by_name_only_ids_are_banned() -> None:
    bench = Bench(ids_only=True)
    bench.lie()
    assert [view.peer for view in bench.bans.views()] == [ANN]


def test_everything_is_bounded() -> None:
    bench = Bench()
    for number in range(BANS_MAX + 5):
        bench.lie(PeerId(number.to_bytes(32, "big")), f"203.0.{number // 256}.{number % 256}")
        bench.bans.spare(f"198.51.{number // 256}.{number % 256}")
    assert len(bench.bans.views()) == 2 * BANS_MAX
    assert not bench.bans.is_banned(PeerId(bytes(32))) and bench.bans.is_banned(PeerId((5).to_bytes(32, "big")))
    for number in range(SCORES_MAX + 5):
        bench.bans.blame(PeerId(number.to_bytes(32, "little")), "", "unasked", "why")
    assert len(bench.bans._scores._scores) <= SCORES_MAX and len(bench.bans._spared) <= SPARED_MAX


def test_a_line_is_written_once_in_a_while_for_each_cause() -> None:
    clock = Clock()
    seldom = Seldom(clock)
    assert [seldom.is_due(key) for key in ("a", "a", "b", "a", "b")] == [True, False, True, False, False]
    clock.now += PERIOD_S
    assert seldom.is_due("a")
    for number in range(KEYS_MAX):
        seldom.is_due(number)
    assert len(seldom._since) == KEYS_MAX and seldom.is_due("a")
