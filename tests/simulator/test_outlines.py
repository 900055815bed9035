"""Blocks that are proposed by the ids of their transactions, among nodes that hold these, lack them, or hide them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from blockchain.node.messages import Message, ProposedBlock, Transactions, Want
from blockchain.node.peers import Peer
from blockchain.primitives.outline import decode_outline, is_id
from blockchain.seams import EvidenceFound, ForgerDrawn
from blockchain.simulator.byzantine.actor import Puppet
from blockchain.simulator.byzantine.cast import ACTORS
from blockchain.simulator.byzantine.telling import NamesOnly
from blockchain.simulator.node import Node
from tests.simulator.plays import ALL
from tests.simulator.stage import Stage
from tests.simulator.villain import VillainStage

SOON_MS = 500  # before any status of a second's tick could help


@pytest.fixture(autouse=True)
def _no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forger that thinks that everybody has what it has."""
    monkeypatch.setattr(Peer, "news_ms", 0)


def by_ids(followers: int = 0) -> Stage:
    stage = Stage(followers)
    stage.world.outlined_min = 1
    return stage


def test_a_chain_goes_on_by_ids_alone() -> None:
    """The forger's transaction is new to all others: they ask for it, and nobody waits for a tick."""
    stage = by_ids(followers=1)
    stage.start(0, 1, 2, 3, 4)
    stage.run(2_000)
    for height in range(1, 6):
        stage.pay(stage.forger(0))
        assert stage.run(SOON_MS, lambda height=height: stage.heads() == [height] * 5)  # type: ignore[misc]
    assert set(stage.rounds()) == {0}


def test_a_height_that_ends_while_its_block_is_verified_accuses_nobody() -> None:
    """A busy node hears of the next block by its ids, and then what it took so long for."""
    stage = by_ids()
    stage.world.verify_ms_max = 600
    stage.start(*ALL)
    stage.run(2_000)
    for number in range(40):
        stage.pay(number % 4)
        stage.run(200)
    assert min(stage.heads()) > 5
    assert stage.events(EvidenceFound) == []


def test_who_comes_late_to_a_round_and_to_a_height_puts_the_block_together_too() -> None:
    stage = by_ids()
    stage.start(0, 1)
    stage.run(2_000)
    stage.pay(0)
    stage.pay(1)
    stage.run(3_000)
    assert max(stage.heads()) == 0, "two of four decide nothing"
    stage.start(2)
    assert stage.run(20_000, lambda: stage.heads()[:3] == [1, 1, 1])
    stage.start(3)
    assert stage.run(20_000, lambda: stage.heads() == [1, 1, 1, 1])


class GivesToOne(NamesOnly):
    """Of all others one honest node gets what the rest asks for in vain."""

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        if receiver is me.peers[0] and isinstance(message, Transactions | ProposedBlock):
            yield message
        else:
            yield from super().tells(me, receiver, message)


def test_who_hides_transactions_holds_nobody_up_who_hears_of_the_block_from_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(ACTORS, "gives_to_one", GivesToOne)
    play = VillainStage({0: ("gives_to_one",)}, outlined_min=1)
    paid = play.stage.pay(play.villain)
    assert play.stage.run(SOON_MS, lambda: play.heads() == [1, 1, 1])
    asked = {sender for sender, to, said in play.sent if to == play.villain and said == Want((paid,))}
    assert asked == set(play.honest) and len({to for _, to, said in play.sent if isinstance(said, Transactions)}) == 1
    assert [event.round for event in play.stage.events(ForgerDrawn) if event.height == 1] == [0] * 4
    play.check()


def test_ids_stand_for_what_the_pool_holds() -> None:
    play = VillainStage({}, outlined_min=1)
    play.grow(3)
    told = [(sender, said) for sender, _, said in play.sent if isinstance(said, ProposedBlock)]
    own = [decode_outline(said.block) for sender, said in told if said.proposal.forger == play.stage.address(sender)]
    assert own and all(is_id(entry) for outline in own for entry in outline.entries)
