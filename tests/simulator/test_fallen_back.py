"""A signing record that is back by one signature, as by the loss of its newest slot, beside a store that is whole.

The store asks for the same again (docs/decisions/0002): nothing is signed twice, which the world looks at, and the
chain goes on.
"""

from __future__ import annotations

from typing import Final

import pytest

from blockchain.primitives.vote import Proposal, Vote
from blockchain.seams import SigningRecord
from blockchain.simulator.world import Violation
from tests.simulator.stage import Stage

ALL: Final = (0, 1, 2, 3)
VICTIM: Final = 2  # which forges the first block
SIGNATURES: Final = 5  # of the victim, before the loss: its proposal, and the votes of two heights


def until_signed(count: int, stage: Stage) -> SigningRecord:
    """Run until the victim has signed so often; the record of the one before the last."""
    node = stage.world.nodes[VICTIM]
    (held,) = node.keys
    known = [node.records[held]]

    def is_there() -> bool:
        if node.records[held] != known[-1]:
            known.append(node.records[held])
        return len(known) > count

    for _ in range(SIGNATURES):
        stage.pay(1)
        if stage.run(2_000, is_there):
            return known[-2]
    raise AssertionError("the chain stands")


def after_the_loss(count: int, downtime_ms: int, writes: int = 0) -> tuple[Stage, SigningRecord]:
    """The validator lost its newest signature, and so many writes of its store, and runs again."""
    stage = Stage()
    stage.start(*ALL)
    before = until_signed(count, stage)
    node = stage.world.nodes[VICTIM]
    lost = node.records[before.key]
    stage.crash(VICTIM)
    node.records[before.key] = before
    node.store = node.store.without_last(writes)
    stage.run(downtime_ms)
    stage.start(VICTIM)
    return stage, lost


@pytest.mark.parametrize("downtime_ms", [0, 100])
def test_nothing_is_signed_twice_and_the_chain_goes_on(downtime_ms: int) -> None:
    lost_messages = []
    for count in range(1, SIGNATURES + 1):
        stage, lost = after_the_loss(count, downtime_ms)
        lost_messages.append(lost.message)
        head = max(stage.heads())
        for height in (1, 2):
            stage.pay(1)
            assert stage.run(8_000, lambda: min(stage.heads()[1:]) >= head + height)  # noqa: B023
    votes = {vote.step for vote in lost_messages if isinstance(vote, Vote)}
    assert len(votes) == 2 and any(isinstance(message, Proposal) for message in lost_messages)


def test_where_the_store_lost_it_too_is_the_hole() -> None:
    """Docs/security.md says so. It shows as well that the world would have seen it above."""
    violations = []
    for count in range(1, SIGNATURES + 1):
        stage, _ = after_the_loss(count, 300, writes=1)
        try:
            stage.run(3_000)
        except Violation as seen:
            violations.append(str(seen))
    assert violations and all(f"node {VICTIM} signed twice" in seen for seen in violations)
