"""Any sequence of transactions, evidence and blocks: the ledger does what the model does, and loses or makes nothing.

Chains have small numbers, so that every bound is met; transactions mostly apply and sometimes do not; the signers are
any quorum; times rise by any steps. Compared after every block: everything (`stake_pair`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from blockchain.primitives.chain import GenesisAccount, GenesisValidator
from tests.ledger.model import KEYS_MAX, TICKETS_MAX, WAITING_MAX
from tests.ledger.stake_pair import Pair
from tests.ledger.stake_play import PROOF, Choose, Play, T
from tests.samples import address, key, spec_of

MET = {
    "expired", "not_issuer", "nonce_used", "nonce_gap", "insufficient_balance", "supply_exceeded",
    "validator_out", "validator_key_fixed", "validator_key_invalid", "validator_key_used", "stake_below_min",
    "not_validator", "stake_insufficient", "last_validator", "unbonding_full", "waiting_full", "rotation_pending",
    "pause_too_long", "pause_too_soon", "pause_too_large", "suspended", "not_suspended",
    "EXCHANGE", "TRANSFER", "STAKE", "UNSTAKE", "ROTATE", "PAUSE", "RESUME",
    "penalties", "released", "suspensions", "absent", "queue", "away", "left out", "pressed in", "no candidates",
}  # fmt: skip


def chooser(data: st.DataObject) -> Choose:
    def choose(options: Sequence[T]) -> T:
        return data.draw(st.sampled_from(options))

    return choose


class StakeMachine(RuleBasedStateMachine):
    play: Play
    seen: Counter[str]  # of all the examples

    @initialize(data=st.data())
    def genesis(self, data: st.DataObject) -> None:
        self.play = Play(chooser(data))

    @rule(data=st.data())
    def act(self, data: st.DataObject) -> None:
        choose = chooser(data)
        choose(self.play.actions)(choose)

    def teardown(self) -> None:
        if hasattr(self, "play"):
            self.seen.update(self.play.pair.seen)


def run_machine(examples: int, steps: int) -> Counter[str]:
    StakeMachine.seen = Counter()
    quiet = settings(
        derandomize=True,
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(StakeMachine, settings=quiet)
    return StakeMachine.seen


def run_seeds(seeds: Sequence[int], actions: int) -> Counter[str]:
    """A seed is a chain; a failure names it."""
    seen: Counter[str] = Counter()
    for seed in seeds:
        choose: Choose = Random(seed).choice
        try:
            play = Play(choose)
            for _ in range(actions):
                choose(play.actions)(choose)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        seen.update(play.pair.seen)
    return seen


def test_the_ledger_does_what_the_model_does() -> None:
    assert run_machine(examples=15, steps=20)["blocks"] > 100


def test_seeded_chains() -> None:
    seen = run_seeds(range(8), 80)
    assert seen["blocks"] > 400 and {"penalties", "released", "absent", "queue", "away", "pressed in"} <= set(seen)


@pytest.mark.parametrize("seed", [1_280, 2_140], ids=["1280", "2140: a suspension is due, and nobody is a candidate"])
def test_chains_on_which_the_two_once_differed(seed: int) -> None:
    assert run_seeds([seed], 150)["blocks"] > 50


def quiet_pair(accounts: int, **parameters: Any) -> Pair:
    """A chain on which one validator signs, and money for everybody."""
    free = {"stake_delay": 0, "stake_min": 1, "stake_step_max_bp": None, "absence_window": None}
    everybody = [address(f"one of many {n}") for n in range(accounts)]
    held = tuple(GenesisAccount(owner, 1_000) for owner in everybody)
    first = (GenesisValidator(everybody[0], 1_000_000),)
    return Pair(spec_of(issuer=None, accounts=held, validators=first, parameters=free | parameters))


def finish(pair: Pair) -> None:
    forger = bytes(next(iter(pair.model.sets[0])))
    pair.finish(pair.time_ms + 1, forger, (), (forger,) if pair.height > 1 else ())


def test_sixty_four_keys() -> None:
    pair = quiet_pair(1)
    owner = bytes(address("one of many 0"))
    for n in range(KEYS_MAX - 1):
        assert pair.apply(owner, n, 0, None, ("ROTATE", bytes(key(f"rotated {n}").public_key), PROOF)) is None
        finish(pair)
    assert (
        pair.apply(owner, KEYS_MAX - 1, 0, None, ("ROTATE", bytes(key("last").public_key), PROOF)) == "rotations_full"
    )


@pytest.mark.slow
def test_a_thousand_tickets_a_block() -> None:
    """More wait than one block admits: the rest comes with the next, in the order of the tickets."""
    pair = quiet_pair(70)
    for n in range(70):
        for nonce in range(WAITING_MAX):
            assert (
                pair.apply(bytes(address(f"one of many {n}")), nonce, 0, None, ("STAKE", 1 + n % 9, None, None)) is None
            )
    finish(pair)
    assert len(pair.model.waiting) == 70 * WAITING_MAX - TICKETS_MAX
    finish(pair)
    assert not pair.model.waiting


@pytest.mark.slow
@pytest.mark.parametrize("steps", (20, 30, 40))
def test_thousands_of_examples(steps: int, record_property: Callable[[str, object], None]) -> None:
    seen = run_machine(examples=20_000 // steps, steps=steps)
    record_property("summary", f"stake machine: {dict(sorted(seen.items()))}")


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1_000, 3_000, 250))
def test_thousands_of_seeds(first: int, record_property: Callable[[str, object], None]) -> None:
    seen = run_seeds(range(first, first + 250), 150)
    record_property("summary", f"seeded chains: {dict(sorted(seen.items()))}")
    assert not MET - set(seen), f"never met: {sorted(MET - set(seen))}"
