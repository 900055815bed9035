"""How much is sent for one height where all are connected with all, and that nobody waits where they are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from blockchain.node.messages import Fresh, Have, Message, ProposedBlock, Status, Votes, decode_frame
from blockchain.node.whereabouts import STEP_MS
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import VoteStep
from blockchain.simulator.byzantine.actor import Actor, Hostile, Puppet
from blockchain.simulator.byzantine.forging import ForgesTwice
from blockchain.simulator.byzantine.voting import ShowsTwoFaces
from blockchain.simulator.justice import accused_in
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
    assert each[Votes] <= 28, "two of each validator to three peers: 24; and what is passed on in one height of eight"
    assert each[ProposedBlock] <= 4, "one to three"
    assert each.get(Status, 0) <= 2, "none for a height; those of a second that passes"
    assert each[Fresh] == 3 and each[Have] <= 3, "what a giver's transactions crossed with is found out at the first"
    assert sum(told.values()) <= 38 * PAYMENTS, "it was 66, and 52"


@pytest.mark.parametrize("pair", [(0, 1), (1, 3), (2, 3)], ids=str)
def test_two_that_lose_their_way_to_each_other_wait_a_moment_and_seldom(pair: tuple[int, int]) -> None:
    """A forger for the other's precommits, and who is left behind for word of that, and for the block."""
    stage = mesh()
    well = pay(stage, 0)
    stage.world.network.cut = frozenset((pair, pair[::-1]))
    waits = [pay(stage, 0) for _ in range(3 * PAYMENTS)]
    moment = stage.spec.parameters.commit_wait_ms + 2 * STEP_MS + 4 * HOP_MS
    assert max(waits) <= well + moment, waits
    assert sum(wait > well + moment // 3 for wait in waits) <= PAYMENTS, waits
    assert max(waits[-PAYMENTS:]) <= well + moment // 3, waits


class PrevotesTwoFaces(ShowsTwoFaces):
    """Its precommits are the same to all: no certificate tells of the rest."""

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        is_prevote = isinstance(message, Votes) and message.votes[0].step is VoteStep.PREVOTE
        return super().tells(me, receiver, message) if is_prevote else iter((message,))


@pytest.mark.parametrize("actor", [PrevotesTwoFaces, ShowsTwoFaces, ForgesTwice])
def test_who_tells_some_otherwise_than_others_is_caught_though_all_is_over_in_a_moment(actor: type[Actor]) -> None:
    """It was honest until nobody passed on its messages any more."""
    stage = mesh()
    stage.world.docket.suspect([Address(stage.keys[3].public_key)])
    stage.world.nodes[3].conduct = Hostile((actor(),))
    for number in range(PAYMENTS):
        pay(stage, number % 3)
    found = [piece for node in stage.world.nodes[:3] for piece in node.store.evidence()]
    assert {accused_in(raw) for raw in found} == {Address(stage.keys[3].public_key)}
    assert len(found) >= 3, "each honest node has it"
