"""That a wrong state, and money from nowhere, stop a run at the block that brings them."""

from __future__ import annotations

from types import MethodType

import pytest
from msgspec.structs import replace

from blockchain.ledger import rewards
from blockchain.ledger.records import credit
from blockchain.primitives.block import Header
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, VoteStep
from blockchain.seams import Batch, BlockFinalized, Emit, EvidenceFound, NodeEvent, State
from blockchain.simulator.disk import Disk
from blockchain.simulator.invariants import check_word
from blockchain.simulator.world import Violation
from tests.simulator.stage import PARAMETERS, Stage
from tests.simulator.test_evidence import A, B, Hostile

REWARD = 7


def running() -> Stage:
    stage = Stage(parameters=replace(PARAMETERS, reward_per_block=REWARD))
    stage.start(0, 1, 2, 3)
    stage.run(500)
    return stage


def grow(stage: Stage) -> None:
    stage.pay(0)
    height = max(stage.heads()) + 1
    assert stage.run(5_000, lambda: min(stage.heads()) == height)


def test_money_from_nowhere_is_found_though_all_nodes_agree_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = running()
    grow(stage)
    monkeypatch.setattr(rewards, "credit", lambda state, address, amount: credit(state, address, amount + 1))
    with pytest.raises(Violation, match=r"seed 1: after block 2 .* and its records hold"):
        grow(stage)
    assert max(stage.heads()) == 2, "at once"


def test_no_more_is_minted_than_the_reward_and_the_issuer_may(monkeypatch: pytest.MonkeyPatch) -> None:
    real = rewards.reward

    def generous(
        state: State, parameters: Parameters, header: Header, certificate: Certificate, members: ValidatorSet
    ) -> rewards.Rewards:
        more = replace(parameters, reward_per_block=REWARD + (header.height > 1))
        return real(state, more, header, certificate, members)

    monkeypatch.setattr("blockchain.ledger.accounts.reward", generous)
    stage = running()
    grow(stage)
    with pytest.raises(Violation, match="seed 1: block 2 brings what is minted to"):
        grow(stage)


def test_a_node_that_writes_another_state_is_found_when_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = running()
    disk = stage.world.nodes[2].store

    def write(self: Disk, batch: Batch) -> None:
        Disk.write(self, replace(batch, state=dict(list(batch.state.items())[:-1])))

    monkeypatch.setattr(disk, "write", MethodType(write, disk))
    with pytest.raises(Violation, match=r"seed 1: nodes \d and \d wrote different states at height 1"):
        grow(stage)


def test_a_node_that_has_another_state_in_memory_is_found() -> None:
    stage = running()
    grow(stage)
    core = stage.world.nodes[2].core
    assert core is not None
    other = core.chain.state()
    credit(other, stage.address(0), 1)
    core.chain._final.commit(other)
    [event] = stage.events(BlockFinalized, 2)
    stage.world._finality._newest.clear()
    with pytest.raises(Violation, match=r"seed 1: nodes 2 and . have different states in memory at height 1"):
        stage.world._on_event(stage.world.nodes[2], event)


@pytest.mark.parametrize(
    ("height", "words"),
    [(1, "node 0 made height 1 final after height 2"), (3, "node 0 says that height 3 is final, and has not written")],
)
def test_finality_is_never_undone_nor_only_said(height: int, words: str) -> None:
    stage = running()
    grow(stage)
    grow(stage)
    event = next(event for event in stage.events(BlockFinalized, 0) if event.height == min(height, 2))
    with pytest.raises(Violation, match=words):
        stage.world._on_event(stage.world.nodes[0], replace(event, height=height))


@pytest.mark.parametrize("crashed", [(0,), (0, 1, 2, 3)])
def test_a_height_that_was_written_right_before_a_crash_counts_though_nothing_was_said_of_it(
    crashed: tuple[int, ...],
) -> None:
    stage = running()
    grow(stage)
    for number in crashed:
        stage.world.crash_before(
            number, lambda effect: isinstance(effect, Emit) and isinstance(effect.event, BlockFinalized)
        )
    grow(stage)
    assert stage.world.nodes[0].core is None and stage.heads()[0] == 2
    stage.start(*crashed)
    grow(stage)
    assert [event.height for event in stage.events(BlockFinalized, 0)] == [1, 3]


def test_a_block_that_punishes_an_honest_validator_is_found() -> None:
    hostile = Hostile()
    hostile.world.docket.suspects = frozenset()
    for value in (A, B):
        hostile.vote(0, 1, 0, VoteStep.PREVOTE, value)
    with pytest.raises(Violation, match=f"block 1 punishes the honest validator {hostile.address.hex()[:8]}"):
        hostile.grow()


def test_a_node_that_drops_its_evidence_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = Hostile()
    core = hostile.world.nodes[0].core
    assert core is not None
    monkeypatch.setattr(core.chain.evidence, "add", lambda evidence, is_own=False: True)
    hostile.vote(0, 1, 0, VoteStep.PREVOTE, A)
    with pytest.raises(Violation, match=r"node 0 has no evidence waiting: .* offended at heights .1. and has lost"):
        hostile.vote(0, 1, 0, VoteStep.PREVOTE, B)


def test_a_word_against_an_honest_validator_is_no_word_to_be_said() -> None:
    stage = running()
    node = stage.world.nodes[1]
    word: NodeEvent = EvidenceFound("votes", 1, Address(bytes(32)))
    with pytest.raises(Violation, match="seed 1: node 1 says of honest nodes"):
        check_word(stage.world, node, word)
    stage.world.docket.suspect([Address(bytes(32))])
    check_word(stage.world, node, word)
