"""How much is sent for one height where all are connected with all, and that nobody waits where they are not."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

import pytest

from blockchain.node.messages import Fresh, Have, Message, ProposedBlock, Status, Votes, decode_frame
from blockchain.primitives.chain import Parameters
from blockchain.simulator.network import Links
from blockchain.simulator.node import Node
from tests.simulator.stage import Stage

HOP_MS = 10
ALL = range(4)
PAYMENTS = 8


def mesh() -> Stage:
    """Four validators that have made some blocks: they have found out what they need not pass on."""
    parameters = Parameters(block_max_wait_ms=None, block_max_transactions=1)
    stage = Stage(parameters=parameters, links=Links(delay_ms=(HOP_MS, HOP_MS)))
    stage.start(*ALL)
    stage.run(1_300)
    for _ in range(2):
        pay(stage, 0)
    return stage


def pay(stage: Stage, number: int) -> int:
    """One payment at a node; how many ms until it is final everywhere."""
    begun_ms, height = stage.world.time_ms, max(stage.heads()) + 1
    stage.pay(number)
    assert stage.run(5_000, lambda: min(stage.heads()) == height)
    return stage.world.time_ms - begun_ms


def test_a_height_takes_few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = mesh()
    told: Counter[type[Message]] = Counter()
    real = stage.world.send

    def send(sender: Node, receiver: Node, frame: bytes, extra_ms: int = 0) -> None:
        told[type(decode_frame(frame).message)] += 1
        real(sender, receiver, frame, extra_ms)

    monkeypatch.setattr(stage.world, "send", send)
    for number in range(PAYMENTS):
        pay(stage, number % 4)
    each = {kind: count / PAYMENTS for kind, count in told.items()}
    assert each[Votes] <= 25, "two of each validator to three peers: 24"
    assert each[ProposedBlock] <= 4, "one to three"
    assert each[Status] <= 14, "one of each node to three at a height, and of a second that passes"
    assert each[Fresh] == 3 and each[Have] <= 6
    assert sum(told.values()) <= 52 * PAYMENTS, "it was 66"


def test_who_loses_its_way_to_a_validator_waits_a_moment_once() -> None:
    stage = mesh()
    well = pay(stage, 0)
    stage.world.network.cut = frozenset(permutations((2, 3), 2))
    waits = [pay(stage, 0) for _ in range(PAYMENTS)]
    assert max(waits) <= well + 400, waits
    assert waits[-1] <= well + 4 * HOP_MS, waits
