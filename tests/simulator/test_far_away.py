"""Validators on the other side of the world count: who is there is not taken for absent (protocol §3.5, §4.4)."""

from __future__ import annotations

from collections import Counter
from typing import Final

from msgspec.structs import replace

from blockchain.primitives.block import decode_block
from blockchain.primitives.chain import Parameters
from blockchain.simulator.network import WIDE_AREA
from tests.simulator.stage import Stage

SINGAPORE, SAO_PAULO = 4, 6  # no two places of WIDE_AREA are further apart
PLACES: Final = (*[SINGAPORE] * 6, *[SAO_PAULO] * 2)  # six of eight decide among themselves, within some 15 ms
HEIGHTS: Final = 10


def test_two_at_the_end_of_the_longest_line_are_in_most_certificates() -> None:
    parameters = Parameters(block_max_transactions=1)  # the default wait; a height follows the other at once
    regions = tuple(tuple(WIDE_AREA.regions[here][there] for there in PLACES) for here in PLACES)
    stage = Stage(parameters=parameters, links=replace(WIDE_AREA, regions=regions), validators=len(PLACES))
    stage.start(*range(len(PLACES)))
    stage.run(1_000)
    for _ in range(HEIGHTS):
        stage.pay(0)
    assert stage.run(60_000, lambda: stage.heads()[0] == HEIGHTS)
    signed = precommits(stage)
    least = (HEIGHTS - 1) * (10_000 - parameters.absence_share_bp) / 10_000
    assert min(signed.values()) >= least, f"of {HEIGHTS - 1} certificates each node is in {signed}"


def precommits(stage: Stage) -> dict[int, int]:
    """For each node, how many certificates have its precommit: of the blocks' parents, in their bodies."""
    store = stage.world.nodes[0].store
    counts: Counter[int] = Counter()
    for height in range(2, HEIGHTS + 1):
        block = store.block(height)
        assert block is not None
        counts.update(entry.index for entry in decode_block(block.raw).parent_certificate.precommits)
    by_index = sorted(range(len(PLACES)), key=stage.address)
    return {number: counts[by_index.index(number)] for number in range(len(PLACES))}
