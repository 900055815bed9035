"""Any sequence of transactions, evidence and blocks: the ledger does what the model does, and loses or makes nothing.

Chains have small numbers, so that every bound is met; transactions mostly apply and sometimes do not; the signers are
any quorum; times rise by any steps. Compared after every block: everything (`stake_pair`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.ledger.stake_play import Choose, Play, T

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
