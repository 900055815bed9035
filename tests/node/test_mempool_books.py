"""The pool keeps its books whatever comes: nothing vanishes, no limit is passed, a selection is maximal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import InvalidTransaction
from blockchain.ledger.records import account_of, totals_of
from blockchain.ledger.state import Overlay
from blockchain.node import mempool
from blockchain.node.mempool import WAIT_MAX_MS, Mempool
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.transaction import Exchange, Payload, Stake, Transfer, Unstake, VerifiedTransaction
from blockchain.seams import TransactionStory
from tests.node.pool_bench import ADDRESSES, NOW, Bench, applied_by, end_of, pay, verified
from tests.samples import deterministic

NAMES = st.sampled_from(["a", "b", "c", "mint", "new"])
PAYLOADS: st.SearchStrategy[Payload] = st.one_of(
    st.builds(Transfer, NAMES.map(ADDRESSES.__getitem__), st.sampled_from([1, 300, 900, 1_500])),
    st.builds(Exchange, NAMES.map(ADDRESSES.__getitem__), st.sampled_from([1, 700])),
    st.builds(Stake, st.sampled_from([1, 600])),
    st.builds(Unstake, st.sampled_from([1, 600])),
)
ADDITIONS = st.tuples(NAMES, st.integers(0, 4), PAYLOADS, st.sampled_from([0, 0, 1, 5]), st.sampled_from([None, 1, 3]))
SUPPLY = totals_of(Overlay(Bench().final)).minted
STEPS = st.lists(st.one_of(ADDITIONS, st.just("block"), st.just("others")), max_size=40)


@settings(deterministic, max_examples=200)
@given(STEPS)
def test_the_pool_keeps_its_books_whatever_comes(steps: list[Any]) -> None:
    keep_books(Bench(), steps)


@settings(deterministic, max_examples=100)
@given(STEPS, st.sampled_from([2_100, 5_000]))
def test_the_pool_keeps_its_books_where_blocks_pay(steps: list[Any], supply_max: int) -> None:
    """Its forgers earn, and what they sent before they had money becomes ready; at last there is nothing to mint."""
    keep_books(Bench(reward_per_block=700, supply_max=supply_max, unbonding_blocks=1, unbonding_ms=1), steps)


def test_an_empty_pool_follows_blocks_without_looking_at_what_is_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a sync. What it held before has left nothing behind that a later block would have to be added to."""
    bench = Bench(supply_max=5_000)
    bench.add(pay("a", 0, fee=3), verified("mint", 0, Exchange(ADDRESSES["b"], 100)))
    bench.block(*bench.select())
    with monkeypatch.context() as patched:
        patched.delattr(type(bench.ledger), "repay")
        bench.block(verified("mint", 1, Exchange(ADDRESSES["new"], 700)))
    again = verified("mint", 2, Exchange(ADDRESSES["new"], 5_000 - 800 - SUPPLY))
    state = bench.pool.trial_state(again.transaction)
    assert (account_of(state, ADDRESSES["new"]).balance, totals_of(state).minted) == (700, SUPPLY + 800)
    bench.add(pay("new", 0, 700), again, must_apply=True)
    assert bench.select() == [pay("new", 0, 700), again]
    assert bench.refuses(verified("mint", 3, Exchange(ADDRESSES["new"], 1)), must_apply=True) == "supply_exceeded"


def keep_books(bench: Bench, steps: list[Any]) -> None:
    for step in steps:
        if step == "block":
            bench.block(*bench.select(count=2), forger="new" if bench.height % 2 else "c")
        elif step == "others":
            nonce = bench.ledger.next_nonce(Overlay(bench.final), ADDRESSES["b"])
            balance = account_of(Overlay(bench.final), ADDRESSES["b"]).balance
            bench.block(*([pay("b", nonce, 1, to="new", fee=1)] if balance > 1 else []))
        else:
            sender, nonce, payload, fee, expiry = step
            try:
                bench.add(verified(sender, nonce, payload, fee=fee, expiry=expiry))
            except InvalidTransaction:
                continue
        check_books(bench)


class Accounts:
    """What was acknowledged and has not ended, kept beside a pool of four, whatever happens to it."""

    def __init__(self) -> None:
        self.bench = Bench()
        self.now = NOW
        self.held: set[Hash32] = set()

    def add(self, each: VerifiedTransaction, *, must_apply: bool) -> None:
        before = self.held | {each.id}
        if each.id in self.held:
            return  # admission lets no transaction in twice
        try:
            gone = self.bench.pool.add(each, self.now, must_apply=must_apply)
        except InvalidTransaction:
            return
        self.held = before
        self.end(gone)

    def end(self, gone: list[TransactionStory]) -> None:
        ids = [end_of(told).id for told in gone]
        assert len(ids) == len(set(ids)) and set(ids) <= self.held
        assert not set(ids) & self.bench.pool.protected
        self.held -= set(ids)

    def block(self) -> None:
        chosen = self.bench.select(count=2)
        self.bench.pool.protected = frozenset()
        self.held -= {each.id for each in chosen}
        self.held -= {end.id for end in self.bench.block(*chosen)}

    def wait(self) -> None:
        self.now += WAIT_MAX_MS
        self.end(self.bench.pool.give_up(self.now))

    def check(self) -> None:
        pool = self.bench.pool
        assert {each.id for each in pool} == self.held
        assert len(self.held) <= 4 and pool.bytes == 200 * len(self.held)
        assert all(pool.story(each)[0].name == "received" for each in self.held)
        assert pool.ready_count == len(self.bench.select_ready())


@settings(deterministic, max_examples=100)
@given(
    st.lists(st.one_of(st.tuples(ADDITIONS, st.booleans()), st.sampled_from(["block", "protect", "wait"])), max_size=40)
)
def test_nothing_vanishes_and_no_limit_is_passed(steps: list[Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mempool, "TRANSACTIONS_MAX", 4)
        accounts = Accounts()
        for step in steps:
            match step:
                case "block":
                    accounts.block()
                case "wait":
                    accounts.wait()
                case "protect":
                    accounts.bench.pool.protect(list(accounts.bench.pool)[-1:])
                case ((sender, nonce, payload, fee, expiry), must_apply):
                    accounts.add(verified(sender, nonce, payload, fee=fee, expiry=expiry), must_apply=must_apply)
            accounts.check()


def check_books(bench: Bench) -> None:
    pool = bench.pool
    held = list(pool)
    places = [(each.transaction.sender, each.transaction.nonce) for each in held]
    assert len(pool) == len(held) == len(set(places)) and pool.bytes == sum(len(each.raw) for each in held)
    for sender in ADDRESSES.values():
        final = bench.ledger.next_nonce(Overlay(bench.final), sender)
        assert all(nonce >= final for owner, nonce in places if owner == sender)
    fresh = Mempool(bench.ledger, Overlay(bench.final), bench.height)
    for each in held:
        fresh.add(each, NOW, must_apply=False)
    assert fresh.ready_count == pool.ready_count == len(bench.select_ready()) == len(bench.select())
    check_nothing_is_left(bench, held)


def check_nothing_is_left(bench: Bench, held: list[VerifiedTransaction]) -> None:
    """After what was selected, no other transaction of the pool applies: the selection was maximal."""
    state = Overlay(bench.final)
    chosen = bench.pool.select(state, 10**6, 10**9)
    for each in held:
        if each not in chosen:
            with pytest.raises(InvalidTransaction):
                bench.ledger.apply(state.child(), each.transaction, bench.height)


def test_of_one_who_has_nothing_here_the_account_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What applies had the next nonce: the ledger is not asked for it again."""
    bench = Bench()
    asked: list[bytes] = []

    def counted(state: Any, sender: bytes) -> int:
        asked.append(sender)
        return 0

    monkeypatch.setattr(bench.ledger, "next_nonce", counted)
    applied = applied_by(bench, monkeypatch)
    bench.add(pay("a", 0))
    assert len(applied) == 1 and asked == [] and bench.pool.ready_count == 1
    bench.add(pay("b", 1))
    assert asked == [ADDRESSES["b"]] and bench.pool.ready_count == 1
