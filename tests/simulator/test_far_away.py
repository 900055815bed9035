"""Validators on the other side of the world count: who is there is not taken for absent (protocol §3.5, §4.4)."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Final

from msgspec.structs import replace

from blockchain.node.liveness import OFFLINE_MS
from blockchain.primitives.block import decode_block
from blockchain.primitives.chain import Parameters
from blockchain.seams import BlockFinalized
from blockchain.simulator.network import WIDE_AREA
from tests.simulator.stage import Stage

SINGAPORE, SAO_PAULO = 4, 6  # no two places of WIDE_AREA are further apart
PLACES: Final = (*[SINGAPORE] * 6, *[SAO_PAULO] * 2)  # six of eight decide among themselves, within some 15 ms
NEAR: Final = tuple(range(6))
FAR: Final = (6, 7)
HEIGHTS: Final = 30  # of fewer, how they fall decides
PARAMETERS: Final = Parameters(block_max_transactions=1)  # the default wait; a height follows the other at once


def test_two_at_the_end_of_the_longest_line_are_in_most_certificates() -> None:
    stage = far_apart()
    stage.start(*NEAR, *FAR)
    stage.run(1_000)
    decide(stage)
    check_all_count(stage)


def test_who_is_away_costs_no_time_and_counts_as_soon_as_it_is_back() -> None:
    stage = far_apart()
    stage.start(*NEAR)
    stage.run(OFFLINE_MS + 1_000)
    decide(stage, 6)
    gaps = heights_of_round_0(stage)
    assert gaps and max(gaps) < PARAMETERS.commit_wait_ms / 4, gaps
    stage.start(*FAR)
    stage.run(1_000)
    decide(stage)
    check_all_count(stage)


def far_apart() -> Stage:
    regions = tuple(tuple(WIDE_AREA.regions[here][there] for there in PLACES) for here in PLACES)
    return Stage(parameters=PARAMETERS, links=replace(WIDE_AREA, regions=regions), validators=len(PLACES))


def decide(stage: Stage, heights: int = HEIGHTS) -> None:
    height = stage.heads()[0] + heights
    for _ in range(heights):
        stage.pay(0)
    assert stage.run(60_000, lambda: stage.heads()[0] == height)


def heights_of_round_0(stage: Stage) -> list[int]:
    """How long each height took, in ms, whose forger and the one before were there."""
    final = [event for event in stage.events(BlockFinalized, 0) if event.decided_round == 0]
    return [last.final_ms - one.final_ms for one, last in pairwise(final) if last.height == one.height + 1]


def check_all_count(stage: Stage) -> None:
    """As far as the newest heights go, nobody is missing so often that it would be suspended."""
    signed = precommits(stage)
    least = (HEIGHTS - 1) * (10_000 - PARAMETERS.absence_share_bp) / 10_000
    assert min(signed.values()) >= least, f"of {HEIGHTS - 1} certificates each node is in {signed}"


def precommits(stage: Stage) -> dict[int, int]:
    """For each node, how many certificates have its precommit: of the newest blocks' parents, in their bodies."""
    store = stage.world.nodes[0].store
    counts: Counter[int] = Counter()
    for height in range(store.head() - HEIGHTS + 2, store.head() + 1):
        block = store.block(height)
        assert block is not None
        counts.update(entry.index for entry in decode_block(block.raw).parent_certificate.precommits)
    by_index = sorted(range(len(PLACES)), key=stage.address)
    return {number: counts[by_index.index(number)] for number in range(len(PLACES))}
