"""What a Twins scenario is, as data, and the enumeration of all of them.

Four validators A, B, C, D; A runs twice, as A and A'. A period is a split of the five processes and a limit: how far,
in rounds and steps, anything may go while it lasts. After the last period the network is whole and has no limits.
"""

from __future__ import annotations

from enum import Enum
from random import Random
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from blockchain.primitives.vote import Step

NAMES: Final = ("A", "A'", "B", "C", "D")  # of the processes
VALIDATOR_OF: Final = (0, 0, 1, 2, 3)  # each process's, by index in the set
TWINS: Final = (0, 1)
HONEST: Final = (2, 3, 4)
PERIODS: Final = 4  # of an enumerated scenario

Split = tuple[int, ...]  # the group of each process

WHOLE: Final[Split] = (0,) * len(NAMES)
SPLITS: Final[tuple[Split, ...]] = tuple(
    (0, *(mask >> at & 1 for at in range(len(NAMES) - 1))) for mask in range(1, 1 << (len(NAMES) - 1))
)  # all 15 ways to part five processes in two


class Period(Struct, frozen=True):
    """While it lasts, messages go within a group of `split`, and no message or time-out is later than (round, step)."""

    split: Split
    round: int
    step: Step


class Plan(Enum):
    """Where the four splits of an enumerated scenario change: with each of four rounds, or twice in each of two.

    Within one round that is split once, whoever sees a polka hears the precommits too, so that only the second plan
    has locks that others do not know of.
    """

    ROUNDS = "rounds"
    STEPS = "steps"

    def limits(self) -> tuple[tuple[int, Step], ...]:
        if self is Plan.ROUNDS:
            return tuple((round, Step.PRECOMMIT) for round in range(PERIODS))
        return tuple((round, step) for round in range(PERIODS // 2) for step in (Step.PREVOTE, Step.PRECOMMIT))


class Scenario(Struct, frozen=True, kw_only=True):
    """`forgers`: by index in the set, of the first rounds; then B, C, D and A take turns. `stakes`: of A to D.

    `restarts`: (period, process), each killed and started again when that period, or the whole network, begins.
    """

    periods: tuple[Period, ...]
    forgers: tuple[int, ...] = (0,) * PERIODS
    stakes: tuple[int, ...] = (1, 1, 1, 1)
    restarts: tuple[tuple[int, int], ...] = ()

    def forger(self, round: int) -> int:
        """Who forges a round, by index in the set."""
        if round < len(self.forgers):
            return self.forgers[round]
        return (1, 2, 3, 0)[(round - len(self.forgers)) % len(self.stakes)]


def count() -> int:
    """How many scenarios a plan has: 50,625."""
    return len(SPLITS) ** PERIODS


def enumerated(number: int, plan: Plan, forgers: tuple[int, ...] = (0,) * PERIODS) -> Scenario:
    """Scenario `number` of a plan, from 0 to `count()` − 1."""
    digits = (number // len(SPLITS) ** at % len(SPLITS) for at in reversed(range(PERIODS)))
    periods = (Period(SPLITS[digit], *limit) for digit, limit in zip(digits, plan.limits(), strict=True))
    return Scenario(periods=tuple(periods), forgers=forgers)


def sampled(rng: Random, plan: Plan) -> Scenario:
    """One of a plan's scenarios with any forgers in its rounds, and up to two kills of honest processes."""
    forgers = tuple(rng.randrange(4) for _ in range(PERIODS))
    kills = tuple((rng.randrange(1, PERIODS + 1), rng.choice(HONEST)) for _ in range(rng.randrange(3)))
    return replace(enumerated(rng.randrange(count()), plan, forgers), restarts=kills)


def words(scenario: Scenario) -> str:
    """A scenario in a few lines, for whoever has to understand it."""
    lines = [f"forgers {' '.join('ABCD'[one] for one in scenario.forgers)}, stakes {scenario.stakes}"]
    for number, period in enumerate(scenario.periods):
        sides = (" ".join(n for n, side in zip(NAMES, period.split, strict=True) if side == group) for group in (0, 1))
        killed = "".join(f", {NAMES[who]} killed" for at, who in scenario.restarts if at == number)
        lines.append(f"to round {period.round} {period.step.name.lower()}: {' | '.join(sides)}{killed}")
    return "\n".join(lines)
