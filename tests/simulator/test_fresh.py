"""A payment alone, handed in anywhere: final after four hops, and nobody had to ask for it."""

from __future__ import annotations

from collections import Counter

import pytest

from blockchain.node.messages import Fresh, Have, Message, Transactions, Want, decode_frame
from blockchain.seams import TransactionAccepted
from blockchain.simulator.node import Node
from tests.simulator.stage import Stage

HOP_MS = 10
ALL = range(4)


def test_it_takes_four_hops_and_nobody_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.start(*ALL)
    stage.run(1_500)  # between two statuses
    taker = next(number for number in ALL if number != stage.forger(0))
    told: Counter[type[Message]] = Counter()
    real = stage.world.send

    def send(sender: Node, receiver: Node, frame: bytes, extra_ms: int = 0) -> None:
        told[type(decode_frame(frame).message)] += 1
        real(sender, receiver, frame, extra_ms)

    monkeypatch.setattr(stage.world, "send", send)
    begun_ms = stage.world.time_ms
    stage.pay(taker)
    assert stage.run(1_000, lambda: stage.heads()[taker] == 1)
    assert stage.world.time_ms - begun_ms == 4 * HOP_MS, "itself, the proposal, prevotes, precommits"
    assert told[Fresh] == 3 and told[Want] == told[Transactions] == 0
    assert told[Have] == 6, "each that took it tells the two others once"
    assert len(stage.events(TransactionAccepted)) == 4

    told.clear()
    stage.run(100)
    stage.pay(taker)
    assert stage.run(1_000, lambda: min(stage.heads()) == 2)
    assert told[Fresh] == 3 and told[Have] == told[Want] == 0, "these crossed: all have what this one hands in"
    assert len(stage.events(TransactionAccepted)) == 8


def test_what_nobody_heard_of_is_offered_again() -> None:
    stage = Stage()
    stage.start(*ALL)
    stage.run(1_500)
    taker = next(number for number in ALL if number != stage.forger(0))
    stage.world.network.cut = frozenset((taker, number) for number in ALL)
    stage.pay(taker)
    stage.run(500)
    assert len(stage.events(TransactionAccepted)) == 1
    stage.world.network.cut = frozenset()
    assert stage.run(5_000, lambda: min(stage.heads()) == 1)
