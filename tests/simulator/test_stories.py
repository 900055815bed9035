"""What a client is told of its transactions by the nodes of a small world, while they wait, move and end."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.node import mempool
from blockchain.node.core import Core
from blockchain.node.reader import transaction_of
from blockchain.node.views import TransactionView
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.wallet import Wallet
from tests.simulator.stage import PARAMETERS, Stage

ALL = (0, 1, 2, 3)
TWO_A_BLOCK = replace(PARAMETERS, block_threshold=2)


def core_of(stage: Stage, number: int) -> Core:
    core = stage.world.nodes[number].core
    assert core is not None
    return core


def told(stage: Stage, number: int, transaction_id: Hash32) -> TransactionView | None:
    return transaction_of(core_of(stage, number), stage.world.nodes[number].store, transaction_id)


def names(stage: Stage, number: int, transaction_id: Hash32) -> tuple[str, list[str]]:
    view = told(stage, number, transaction_id)
    assert view is not None
    return view.state, [stage.name for stage in view.stages]


def transfer(stage: Stage, nonce: int, amount: int = 1, fee: int = 0, expiry: int | None = None) -> VerifiedTransaction:
    wallet = Wallet(stage.rich, stage.spec.hash)
    return wallet.transfer(Address(stage.keys[3].public_key), amount, nonce, fee, expiry)


def submit(stage: Stage, number: int, *transactions: VerifiedTransaction) -> list[str]:
    token = stage.world.submit(number, transactions)
    return [result.code for result in stage.world.replies[token]]


def test_from_a_client_and_from_a_peer_to_the_final_block() -> None:
    stage = Stage()
    stage.start(*ALL)
    stage.run(1_000)
    sent = stage.world.time_ms
    paid = stage.pay(0)
    assert stage.run(5_000, lambda: min(stage.heads()) == 1)
    for number in ALL:
        view = told(stage, number, paid)
        assert view is not None and (view.state, view.height, view.position) == ("final", 1, 0)
        if view.stages[0].name == "received":
            assert view.stages[0].why == ("from a client" if number == 0 else "from a peer")
            assert [(one.name, one.height, one.round) for one in view.stages[1:]] == [
                ("proposed", 1, 0),
                ("final", 1, 0),
            ]
            times = [one.time_ms for one in view.stages]
            assert times == sorted(times) and times[0] >= sent
        else:  # the proposal was faster than the gossip
            assert number != 0 and [(one.name, one.height) for one in view.stages] == [("final", 1)]


def test_one_that_came_with_its_block_alone_has_one_stage() -> None:
    stage = Stage(followers=1)
    stage.start(*ALL)
    paid = stage.pay(0)
    assert stage.run(5_000, lambda: min(stage.heads()[:4]) == 1)
    stage.start(4)
    assert stage.run(5_000, lambda: stage.heads()[4] == 1)
    assert names(stage, 4, paid) == ("final", ["final"])
    view, block = told(stage, 4, paid), stage.world.nodes[4].store.block(1)
    assert view is not None and block is not None
    assert view.stages[0].time_ms == core_of(stage, 4).chain.head.time_ms
    assert told(stage, 4, Hash32(bytes(32))) is None


def test_a_gap_is_told_with_the_nonce_that_is_missing_and_outlasts_a_restart() -> None:
    stage = Stage(parameters=TWO_A_BLOCK)
    stage.start(*ALL)
    late = transfer(stage, 1)
    assert submit(stage, 0, late) == [""]
    before = told(stage, 0, late.id)
    assert before is not None
    assert [(one.name, one.why) for one in before.stages] == [
        ("received", "from a client"),
        ("waiting", "nonce 0 is missing"),
    ]
    stage.run(5_000)
    stage.crash(0)
    stage.start(0)
    assert told(stage, 0, late.id) == before
    assert submit(stage, 0, transfer(stage, 0)) == [""]
    assert stage.run(5_000, lambda: min(stage.heads()) == 1)
    assert names(stage, 0, late.id) == ("final", ["received", "waiting", "proposed", "final"])


def test_a_refusal_at_the_door_is_durable_before_it_is_told() -> None:
    stage = Stage(parameters=TWO_A_BLOCK)
    stage.start(*ALL)
    good, poor = transfer(stage, 0), transfer(stage, 0, amount=2_000_000)
    assert submit(stage, 0, poor, good) == ["insufficient_balance", ""]
    stage.crash(0)
    stage.start(0)
    assert names(stage, 0, good.id)[0] == "pending"
    view = told(stage, 0, poor.id)
    assert view is not None and view.state == "refused" and view.raw is None
    assert (view.stages[-1].code, view.stages[-1].why) == (
        "insufficient_balance",
        "it needs 2000000; the balance is 1000000",
    )


def test_replaced_at_one_node_and_final_all_the_same() -> None:
    """A node that hears of a replacement and of nothing else for a while; the others decide for the first."""
    stage = Stage()
    stage.start(0, 1, 2)
    first, second = transfer(stage, 0), transfer(stage, 0, fee=10)
    stage.run(100)
    stage.start(3)
    assert submit(stage, 3, first, second) == ["", ""]
    assert names(stage, 3, first.id) == ("replaced", ["received", "replaced"])
    assert submit(stage, 0, first) == [""]
    assert stage.run(20_000, lambda: min(stage.heads()) == 1)
    view = told(stage, 3, first.id)
    assert view is not None
    if view.state == "final":
        assert [one.name for one in view.stages] == ["received", "replaced", "final"]
        assert names(stage, 3, second.id)[0] == "refused"
    else:  # the replacement was faster
        assert names(stage, 0, first.id) == ("replaced", ["received", "replaced"])


def test_expired_and_given_up_have_their_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mempool, "WAIT_MAX_MS", 15_000)
    stage = Stage()
    stage.start(*ALL)
    gap, late = transfer(stage, 7), transfer(stage, 9, expiry=1)
    assert submit(stage, 1, gap, late) == ["", ""]
    stage.run(3_000)
    stage.pay(0)
    assert stage.run(5_000, lambda: min(stage.heads()) == 1)
    stage.run(30_000)
    for number in ALL:
        first, second = told(stage, number, late.id), told(stage, number, gap.id)
        assert first is not None and second is not None
        assert (first.state, first.stages[-1].code) == ("expired", "expired")
        assert (second.state, second.stages[-1].code) == ("expired", "waited_too_long")
        assert not list(core_of(stage, number).chain.pool) and not stage.world.nodes[number].store.pending()


def test_pools_with_two_transactions_in_one_place_come_to_hold_the_same() -> None:
    """Two clients, two nodes, one nonce, one fee: else what depends on either might wait for ever (protocol §10.4)."""
    stage = Stage(parameters=replace(PARAMETERS, block_threshold=3))
    stage.start(*ALL)
    stage.run(100)
    one, other = transfer(stage, 0, amount=5), transfer(stage, 0, amount=6)
    assert submit(stage, 0, one) == [""] == submit(stage, 1, other)
    stage.run(10_000)
    winner, loser = sorted((one.id, other.id))
    for number in ALL:
        assert [each.id for each in core_of(stage, number).chain.pool] == [winner]
    ended = [names(stage, number, loser) for number in (0, 1) if told(stage, number, loser) is not None]
    assert ("replaced", ["received", "replaced"]) in ended
    assert submit(stage, 2, transfer(stage, 1), transfer(stage, 2)) == ["", ""]
    assert stage.run(10_000, lambda: min(stage.heads()) == 1)
