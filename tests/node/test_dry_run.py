"""Dry runs over a real core: what handing in would say, and that nothing changes."""

from __future__ import annotations

import pytest

from blockchain.errors import InvalidTransaction
from blockchain.node.core import Core
from blockchain.node.dry_run import dry_run_of
from blockchain.node.mempool import NONCE_GAP_MAX
from blockchain.node.views import DryRunView, Holdings
from blockchain.primitives.transaction import VerifiedTransaction
from tests.node.one_chain import NOW, Node, spec_with
from tests.samples import address, wallet

FEW = {"block_threshold": 1, "block_max_transactions": 10, "stake_delay": 2}


class Trial:
    """A core at height 2, where "a" and "b" have 1,000 each, less and more what "a" paid once."""

    def __init__(self) -> None:
        self.node = Node(spec_with(**FEW))
        self.node.grow(self.node.pay("a", 0, amount=10))
        self.core = Core(self.node.spec, self.node.store, frozenset())

    def hand_in(self, *transactions: VerifiedTransaction) -> None:
        for one in transactions:
            self.core.chain.pool.add(one, NOW, must_apply=True)

    def run(self, given: VerifiedTransaction) -> DryRunView:
        pool = self.core.chain.pool
        before = ([one.id for one in pool], pool.ready_count, self.core.chain.state().root())
        view = dry_run_of(self.core, self.node.store, given.transaction, given.id)
        assert before == ([one.id for one in pool], pool.ready_count, self.core.chain.state().root())
        return view

    def changes(self, given: VerifiedTransaction) -> dict[bytes, tuple[Holdings, Holdings]]:
        view = self.run(given)
        assert (view.outcome, view.code, view.why, view.height) == ("applies", "", "", 2)
        return {change.address: (change.before, change.after) for change in view.changes}


@pytest.fixture
def trial() -> Trial:
    return Trial()


def test_a_payment_changes_two_accounts_as_the_pool_will_leave_them(trial: Trial) -> None:
    trial.hand_in(trial.node.pay("a", 1, amount=100, fee=1))
    assert trial.changes(trial.node.pay("a", 2, amount=7, fee=2)) == {
        address("a"): (Holdings(889, 2, 0), Holdings(880, 3, 0)),
        address("b"): (Holdings(1_110, 0, 0), Holdings(1_117, 0, 0)),
    }


def test_a_payment_to_oneself_and_a_stake_change_one(trial: Trial) -> None:
    own = wallet("a", trial.node.spec.hash)
    assert trial.changes(own.transfer(own.address, 5, 1, fee=1)) == {
        address("a"): (Holdings(990, 1, 0), Holdings(989, 2, 0))
    }
    assert trial.changes(own.stake(5, 1)) == {address("a"): (Holdings(990, 1, 0), Holdings(985, 2, 5))}


def test_what_is_refused_has_the_ledgers_code(trial: Trial) -> None:
    own = wallet("a", trial.node.spec.hash)
    for given, code in (
        (own.transfer(address("b"), 991, 1), "insufficient_balance"),
        (own.transfer(address("b"), 1, 0), "nonce_used"),
        (own.transfer(address("b"), 1, 1, expiry=1), "expired"),
        (own.exchange(address("b"), 1, 1), "not_issuer"),
        (own.transfer(address("b"), 1, 2 + NONCE_GAP_MAX), "nonce_gap"),
    ):
        view = trial.run(given)
        assert (view.outcome, view.code, view.changes) == ("refused", code, ())
        assert view.why


def test_what_leaves_a_gap_waits(trial: Trial) -> None:
    view = trial.run(trial.node.pay("a", 1 + NONCE_GAP_MAX))
    assert (view.outcome, view.code) == ("waits", "nonce_gap")


def test_what_is_pending_or_final_is_known(trial: Trial) -> None:
    pending = trial.node.pay("a", 1)
    trial.hand_in(pending)
    assert trial.run(pending) == DryRunView("known", 2)
    assert trial.run(trial.node.pay("a", 0, amount=10)) == DryRunView("known", 2)


def test_a_replacement_is_tried_in_the_place_of_the_old(trial: Trial) -> None:
    first, old = trial.node.pay("a", 1, amount=100), trial.node.pay("a", 2, amount=500, fee=10)
    trial.hand_in(first, old, trial.node.pay("a", 3))
    new = trial.node.pay("a", 2, amount=600, fee=11)
    view = trial.run(new)
    assert (view.outcome, view.replaces) == ("applies", old.id)
    assert view.changes[0].after == Holdings(990 - 100 - 611, 3, 0)
    for given, code in (
        (trial.node.pay("a", 2, amount=600, fee=10), "replacement_underpriced"),
        (trial.node.pay("a", 2, amount=900, fee=11), "insufficient_balance"),
    ):
        view = trial.run(given)
        assert (view.outcome, view.code, view.replaces) == ("refused", code, old.id)


def test_a_replacement_of_one_that_waits_waits_too(trial: Trial) -> None:
    old = trial.node.pay("a", 5)
    trial.hand_in(trial.node.pay("a", 1), old)
    view = trial.run(trial.node.pay("a", 5, fee=1))
    assert (view.outcome, view.code, view.replaces) == ("waits", "nonce_gap", old.id)


def test_how_far_ahead_a_nonce_may_be_is_as_for_handing_in(trial: Trial) -> None:
    unpaid = trial.node.pay("a", 1, amount=5_000)  # a peer's: it waits, and the nonce that is due stays 1
    trial.core.chain.pool.add(unpaid, NOW, must_apply=False)
    for nonce, outcome in ((1 + NONCE_GAP_MAX, "waits"), (2 + NONCE_GAP_MAX, "refused")):
        assert trial.run(trial.node.pay("a", nonce)).outcome == outcome
    with pytest.raises(InvalidTransaction, match="too far ahead"):
        trial.hand_in(trial.node.pay("a", 2 + NONCE_GAP_MAX))
