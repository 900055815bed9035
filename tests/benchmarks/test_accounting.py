"""Percentiles, heights that are final on all, what is lost, and what a run of the network comes to."""

from __future__ import annotations

import pytest

from benchmarks.accounting import Chain, Heights, is_one_chain, lost, percentile
from benchmarks.load import Sent, Told
from benchmarks.network import run_of

A, B, C, D = (bytes([letter]) * 32 for letter in b"ABCD")
CHAIN = Chain([(A, B), (C,), (D,)])
HEIGHTS = Heights([(10.0, (0, 0)), (11.0, (1, 0)), (12.0, (2, 1)), (13.0, (2, 2)), (14.0, (5, 3))])


def told(*sent: Sent, is_dry: bool = False) -> Told:
    return Told(sent, {}, begun=10.0, ended=12.5, cpu_seconds=0.4, is_dry=is_dry)


def test_a_percentile_is_the_smallest_value_that_the_share_does_not_exceed() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    with pytest.raises(ValueError, match="nothing"):
        percentile([], 0.5)


def test_a_height_is_final_on_all_when_the_last_node_has_it() -> None:
    assert [HEIGHTS.at(seconds) for seconds in (9.0, 11.5, 12.0, 13.9, 99.0)] == [0, 0, 1, 2, 3]
    assert HEIGHTS.final_times() == {1: 12.0, 2: 13.0, 3: 14.0}
    assert HEIGHTS.behind_max() == 2


def test_nothing_was_looked_at() -> None:
    assert Heights([]).final_times() == {} and Heights([]).behind_max() == 0 == Heights([]).at(1.0)


def test_lost_is_what_one_of_the_chains_does_not_hold() -> None:
    short = Chain(CHAIN.blocks[:2])
    assert lost([A, B, C, D], [CHAIN, CHAIN]) == 0
    assert lost([A, B, C, D], [CHAIN, short]) == 1
    assert lost([A, bytes(32)], [CHAIN]) == 1


def test_chains_are_one_when_the_shorter_begins_the_longer() -> None:
    assert is_one_chain([CHAIN, Chain(CHAIN.blocks[:1])])
    assert not is_one_chain([CHAIN, Chain([(A, C)])])


def test_a_run_counts_what_is_final_on_all_when_the_clients_end() -> None:
    one = run_of(told(Sent(10.0, 10.5, (A, B)), Sent(11.0, 12.0, (C, D))), HEIGHTS, [CHAIN, CHAIN], cpu=1.6)
    assert one.rate == 2 / 2.5
    assert one.lost == 0 and one.behind == 2
    assert one.cpu == 0.2 and one.client_cpu == 0.1
    assert one.durable == (0.5, 1.0)
    assert sorted(one.final) == [2.0, 2.0, 2.0, 3.0]


def test_a_run_that_had_nothing_left_counts_until_all_is_final() -> None:
    one = run_of(told(Sent(10.0, 10.5, (A, B, C, D)), is_dry=True), HEIGHTS, [CHAIN, CHAIN], cpu=None)
    assert one.rate == 4 / 4.0 and one.cpu is None


def test_a_run_with_two_chains_is_no_figure() -> None:
    with pytest.raises(RuntimeError, match="different blocks"):
        run_of(told(Sent(10.0, 10.5, (A,))), HEIGHTS, [CHAIN, Chain([(A, C)])], cpu=None)
