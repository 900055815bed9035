"""A validator changes its key while it runs: real cores, real ledger; its node is killed around the switch."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.node.reader import account_view
from blockchain.node.views import AccountView
from blockchain.primitives.crypto import Address
from blockchain.primitives.transaction import prove_possession
from blockchain.primitives.vote import Vote, verify_message
from blockchain.seams import BlockFinalized, Effect, Send, Sign, SignatureRefused
from blockchain.simulator.scenario import key
from blockchain.wallet import Wallet
from tests.simulator.stage import PARAMETERS, Stage

DELAY = 2
MOVER = 2  # the number of the node whose validator changes its key
NEXT = key("next", 0)
SWITCH = 1 + 1 + DELAY  # the rotation stands in block 1
LAST = SWITCH + 2


def rotating() -> Stage:
    """All four run, and the rotation waits for its block; the mover holds both keys."""
    stage = Stage(parameters=replace(PARAMETERS, stake_delay=DELAY))
    stage.world.nodes[MOVER].hold(NEXT)
    stage.start(0, 1, 2, 3)
    stage.run(100)
    held = stage.keys[MOVER]
    proof = prove_possession(NEXT, Address(held.public_key), 0, stage.spec.hash)
    rotation = Wallet(held, stage.spec.hash).rotate(NEXT.public_key, proof, 0)
    for number in range(4):
        stage.world.submit(number, (rotation,))
    assert stage.run(10_000, lambda: min(stage.heads()) == 1)
    return stage


def account_told(stage: Stage) -> AccountView:
    core = stage.world.nodes[0].core
    assert core is not None
    return account_view(core, Address(stage.keys[MOVER].public_key))


def grow(stage: Stage, height: int) -> None:
    while min(stage.heads()) < height:
        before = min(stage.heads())
        stage.pay(0)
        assert stage.run(20_000, lambda before=before: min(stage.heads()) > before)  # type: ignore[misc]


def check_signatures(stage: Stage) -> None:
    """At each height the mover has voted, with the key of that height."""
    mine = (signed for (number, *_), signed in stage.world.signed.items() if number == MOVER)
    votes = [signed for signed in mine if isinstance(signed, Vote)]
    assert {vote.height for vote in votes} >= set(range(1, LAST + 1))
    for vote in votes:
        held = NEXT if vote.height >= SWITCH else stage.keys[MOVER]
        assert verify_message(vote, held.public_key, stage.spec.hash), vote.height
    assert not stage.events(SignatureRefused)


def test_it_votes_at_each_height_with_the_key_that_counts_there() -> None:
    stage = rotating()
    told = account_told(stage)
    assert (told.validator_key, told.validator_key_from) == (NEXT.public_key, SWITCH), "before it signs"
    grow(stage, LAST)
    check_signatures(stage)
    assert [record.height for record in stage.world.nodes[MOVER].records.values()] == [SWITCH - 1, LAST]


@pytest.mark.parametrize("height", [SWITCH - 1, SWITCH, SWITCH + 1])
@pytest.mark.parametrize("kind", [Sign, Send], ids=["before it signs", "before it sends"])
def test_killed_around_the_switch_it_goes_on(height: int, kind: type[Effect]) -> None:
    stage = rotating()
    world, node = stage.world, stage.world.nodes[MOVER]
    grow(stage, height - 1)

    def is_there(effect: Effect) -> bool:
        is_its_height = node.core is not None and node.core.engine.current.height == height
        has_asked = node.core is not None and bool(node.core.engine.current.asked)
        return is_its_height and has_asked and isinstance(effect, kind)

    world.crash_before(MOVER, is_there)
    stage.pay(0)
    assert stage.run(20_000, lambda: node.core is None)
    stage.start(MOVER)
    assert stage.run(20_000, lambda: min(stage.heads()) == height)
    grow(stage, LAST)
    check_signatures(stage)
    assert len({event.block_id for event in stage.events(BlockFinalized)}) == LAST
