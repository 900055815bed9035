"""That what must hold of a run is not taken on a node's word."""

from __future__ import annotations

import pytest

from blockchain.node.entry import ending, received
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.seams import Batch, TransactionRefused, TransactionStory
from blockchain.simulator.faults import LyingDisk
from blockchain.simulator.invariants import check_world
from blockchain.simulator.load import Load
from blockchain.simulator.world import Violation
from blockchain.wallet import Wallet
from tests.simulator.stage import Stage


class Promised(Load):
    """A client to whom node 0 has acknowledged one transfer, beside the one that is final."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.world, (stage.rich,), stage.rich)
        wallet = Wallet(stage.rich, stage.spec.hash)
        self.transfer: VerifiedTransaction = wallet.transfer(stage.address(0), 1, 1, expiry=2)
        self._submit(stage.world.nodes[0], [self.transfer])


@pytest.mark.parametrize(("code", "words"), [("expired", "expire too early"), ("nonce_used", "its nonce is used")])
def test_a_promise_is_not_kept_by_a_refusal_for_a_false_reason(code: str, words: str) -> None:
    stage = Stage()
    stage.start(0, 1, 2, 3)
    stage.run(500)
    stage.pay(0)
    assert stage.run(2_000, lambda: min(stage.heads()) == 1)
    load = Promised(stage)
    assert len(load.promises) == 1
    story = TransactionStory(load.transfer.id, (received(0, from_client=True), ending(code, "so it says", 1)))
    for node in stage.world.nodes:
        node.core = None
        node.store.write(Batch(pending_removed=(load.transfer.id,), ended=(story,)))
    check_world(stage.world, load)
    stage.world.events.append((0, TransactionRefused(load.transfer.id, code, "so it says")))
    with pytest.raises(Violation, match=words):
        check_world(stage.world, load)


def test_a_disk_that_once_lost_its_writes_does_not_excuse_what_is_lost_later() -> None:
    stage = Stage()
    stage.start(0, 1, 2, 3)
    stage.run(500)
    stage.pay(0)
    assert stage.run(2_000, lambda: min(stage.heads()) == 1)
    fault = LyingDisk(at_ms=0, until_ms=0, node=0, writes=1)
    fault.begin(stage.world)
    fault.end(stage.world)
    assert stage.run(5_000, lambda: min(stage.heads()) == 1)
    load = Promised(stage)
    assert len(load.promises) == 1
    for node in stage.world.nodes:
        node.core = None
        node.store.write(Batch(pending_removed=(load.transfer.id,)))
    with pytest.raises(Violation, match="acknowledged by node 0, is lost"):
        check_world(stage.world, load)
    stage.world.nodes[0].lost_up_to = stage.world.tokens
    check_world(stage.world, load)
