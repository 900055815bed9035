"""The paper's rules with a lock left out: planted for its traces here, and for the simulator's twins."""

from __future__ import annotations

from collections.abc import Callable

from blockchain.consensus.tendermint import Action, Tendermint


class NoLockForNewValues(Tendermint):
    """L22 without the lock."""

    def _prevote_new(self) -> list[Action]:
        return _without_lock(self, super()._prevote_new)


class NoLockForOldValues(Tendermint):
    """L28 without the lock."""

    def _prevote_again(self) -> list[Action]:
        return _without_lock(self, super()._prevote_again)


def _without_lock(rules: Tendermint, rule: Callable[[], list[Action]]) -> list[Action]:
    """Apply a rule as if nothing were locked."""
    locked = rules.locked_value, rules.locked_round
    rules.locked_value, rules.locked_round = None, -1
    actions = rule()
    rules.locked_value, rules.locked_round = locked
    return actions
