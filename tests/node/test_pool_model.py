"""The pool beside a model of docs/protocol.md §10 that finds everything anew: both say the same, whatever comes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from blockchain.errors import InvalidTransaction
from blockchain.ledger.records import account_of, totals_of
from blockchain.ledger.state import Overlay
from blockchain.node import mempool, tried
from blockchain.node.mempool import WAIT_CHECK_MS, WAIT_MAX_MS
from blockchain.primitives.transaction import (
    Exchange,
    Pause,
    Payload,
    Resume,
    Stake,
    Transfer,
    Unstake,
    VerifiedTransaction,
)
from blockchain.seams import TransactionStory
from tests.ledger.one_ledger import rotating, staking
from tests.node.pool_bench import ADDRESSES, Bench, end_of, verified
from tests.node.pool_model import Ends, PoolModel

NOT_THERE = verified("a", 1_000_000, Resume()).transaction
NAMES = ("a", "b", "c", "d", "mint", "mint", "new")
STEPS = 60
SEEDS = 10


class Play:
    """One bench with both pools, and a world that is drawn."""

    def __init__(self, seed: str, kinds: tuple[str, ...], **parameters: Any) -> None:
        self.rng = Random(seed)
        self.kinds = kinds
        self.bench = Bench(**parameters)
        self.model = PoolModel(self.bench)
        self.seen: set[str] = set()  # codes of refusals and ends

    def step(self) -> None:
        step = self.rng.choices((self.add, self.block, self.foreign_block, self.protect, self.wait), (20, 3, 2, 1, 1))[
            0
        ]
        step()
        self.check()

    def add(self) -> None:
        new, must_apply = self.drawn(), self.rng.random() < 0.4
        if self.bench.pool.get(new.id) is not None:
            return  # admission lets no transaction in twice
        outcome = self.model.add(new, must_apply=must_apply)
        if not isinstance(outcome, str):
            self.compare(self.bench.pool.add(new, self.model.now, must_apply=must_apply), outcome)
            return
        self.seen.add(outcome)
        with pytest.raises(InvalidTransaction) as caught:
            self.bench.pool.add(new, self.model.now, must_apply=must_apply)
        assert caught.value.code == outcome

    def drawn(self) -> VerifiedTransaction:
        rng = self.rng
        name = rng.choice(NAMES)
        final = self.bench.ledger.next_nonce(Overlay(self.bench.final), ADDRESSES[name])
        nonce = max(final + rng.choice((-1, 0, 0, 0, 0, 1, 1, 2, 3, 4)), 0)
        expiry = rng.choice((None,) * 12 + (self.bench.height - 1, self.bench.height, self.bench.height + 2))
        return verified(name, nonce, self.payload(name), fee=rng.choice((0, 0, 1, 5, 10, 20, 21)), expiry=expiry)

    def payload(self, name: str) -> Payload:
        rng = self.rng
        recipient, amount = ADDRESSES[rng.choice(NAMES)], rng.choice((1, 50, 300, 900))
        match rng.choice(self.kinds):
            case "transfer":
                mints = rng.random() < (0.5 if name == "mint" else 0.02)
                return Exchange(recipient, amount) if mints else Transfer(recipient, amount)
            case "stake":
                return Stake(amount)
            case "shared stake":
                return staking(amount, rng.choice(("key", "other key")))
            case "rotate":
                return rotating(rng.choice(("key", "other key", name)))
            case "unstake":
                return Unstake(amount)
            case _:
                return rng.choice((Pause(3), Resume()))

    def block(self) -> None:
        count, size = self.rng.choice((0, 1, 2, 4)), self.rng.choice((300, 10**6))
        self.final(self.bench.select(count, size))

    def foreign_block(self) -> None:
        """Somebody else's: some of what is here, and what nobody here has seen."""
        state = Overlay(self.bench.final)
        chosen: list[VerifiedTransaction] = []
        held = [one.verified for one in self.model.held if self.rng.random() < 0.3]
        for each in [*held, *(self.drawn() for _ in range(4)), *held]:
            try:
                self.bench.ledger.apply(state, each.transaction, self.bench.height)
            except InvalidTransaction:
                continue
            chosen.append(each)
        self.final(chosen)

    def final(self, included: list[VerifiedTransaction]) -> None:
        forger = self.rng.choice(("v", "new", "c"))
        bench = self.bench
        settlement = bench.chain.block(*(each.transaction for each in included), forger=forger)
        bench.height += 1
        told = bench.pool.on_block(Overlay(bench.final), bench.height, included, settlement, self.model.now)
        self.compare(told, self.model.on_block(included))

    def protect(self) -> None:
        some = [one.verified for one in self.model.held if self.rng.random() < 0.2]
        self.model.protected |= self.bench.pool.protect(some)

    def wait(self) -> None:
        self.model.now += self.rng.choice((WAIT_CHECK_MS, WAIT_MAX_MS // 2, WAIT_MAX_MS))
        self.compare(self.bench.pool.give_up(self.model.now), self.model.give_up())

    def compare(self, told: list[TransactionStory], expected: Ends) -> None:
        self.seen |= {code for _, code in expected}
        assert sorted((end_of(story).id, end_of(story).code) for story in told) == sorted(expected)

    def check(self) -> None:
        pool, model = self.bench.pool, self.model
        assert list(pool) == [one.verified for one in model.held]
        ready = {one.verified.id for one in model.ready}
        assert {each.id for each in self.bench.select_ready()} == ready and pool.ready_count == len(ready)
        for count, size in ((100, 10**6), (2, 10**6), (100, 700)):
            assert self.bench.select(count, size) == model.select(count, size)
        state, expected = pool.trial_state(NOT_THERE), model.after(model.ready)
        assert [account_of(state, one) for one in ADDRESSES.values()] == [
            account_of(expected, one) for one in ADDRESSES.values()
        ]
        assert totals_of(state).minted == totals_of(expected).minted
        assert pool.bytes == model.bytes_of(model.held)
        received = [one.received for one in model.ready]
        assert pool.oldest_ready_ms == min(received, default=None)
        for one in model.waiting():
            assert "waiting" in {stage.name for stage in pool.story(one.verified.id)}


PAYMENTS = ("transfer",)
STAKES = ("transfer", "transfer", "stake", "unstake", "away")
RIVALS = (*STAKES, *3 * ("shared stake",), "rotate")  # for the same keys: who is first has them
CODES = {"expired", "not_issuer", "nonce_used", "nonce_gap", "insufficient_balance", "supply_exceeded", "evicted"} | {
    "replacement_underpriced",
    "replacement_too_late",
    "replaced",
    "pool_full",
    "sender_full",
    "waited_too_long",
}


@pytest.mark.parametrize("kinds", [PAYMENTS, STAKES, RIVALS], ids=["payments", "stakes", "rivals"])
def test_the_pool_says_what_the_model_says(kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held, ready, selected, refused and ended, after each step of each play."""
    seen: set[str] = set()
    for seed in range(SEEDS):
        seen |= play(f"{seed}", kinds, monkeypatch).seen
    assert kinds != PAYMENTS or seen >= CODES, CODES - seen


@pytest.mark.parametrize("kinds", [PAYMENTS, STAKES, RIVALS], ids=["payments", "stakes", "rivals"])
@pytest.mark.parametrize("seed", range(4))
def test_a_selection_of_many_is_the_models(seed: int, kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all that comes has room: several with one fee, long queues, and what can be paid by what a block takes."""
    monkeypatch.setattr(tried, "SEARCHED_MAX", 10**9)
    full = Play(f"{seed} of many", kinds, reward_per_block=40, supply_max=2_400, unbonding_blocks=1, unbonding_ms=1)
    for _ in range(4):
        for _ in range(30):
            full.add()
        assert len(full.model.held) > 9
        for count in (1, 3, 7, 100):
            assert full.bench.select(count, 10**6) == full.model.select(count, 10**6)
        full.final(full.bench.select(5))
        full.check()


def play(seed: str, kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, steps: int = STEPS) -> Play:
    monkeypatch.setattr(mempool, "TRANSACTIONS_MAX", 9)
    monkeypatch.setattr(mempool, "SENDER_TRANSACTIONS_MAX", 3)
    monkeypatch.setattr(mempool, "NONCE_GAP_MAX", 3)
    monkeypatch.setattr(mempool, "SMALL_STEPS_MAX", 2)
    monkeypatch.setattr(tried, "SEARCHED_MAX", 10**9)  # the model does not count
    done = Play(seed, kinds, reward_per_block=40, supply_max=2_400, unbonding_blocks=1, unbonding_ms=1)
    for number in range(steps):
        try:
            done.step()
        except AssertionError as error:
            raise AssertionError(f"seed {seed!r}, step {number}: {error}") from error
    return done
