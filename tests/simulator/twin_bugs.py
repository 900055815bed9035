"""Bugs planted in the rules that keep agreement, each with the script that shows it (`make twins MUTANT=…`).

A signer refuses by its own record what a dropped lock asks for (protocol §5.6, rule 4). So the bugs of the lock are
here twice: in the engine alone, where the signer has to hold, and in engine and signer, where nothing does.

Theory of the scripts. A lock matters only where a block is final at one node and nobody else knows it: B decides v by
A's precommit, which C, who is locked on v, has not heard. Then A' asks C and D for another value. In a round that is
split once that cannot be, since whoever sees a polka hears the precommits that follow it too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import msgspec.structs

from blockchain.consensus.record import RoundRecord
from blockchain.consensus.signing import last_position, position_of, unsigned
from blockchain.consensus.tendermint import Action, RoundStarted, Tendermint
from blockchain.errors import SigningRefused
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Step
from blockchain.seams import SigningRecord
from blockchain.simulator.twins.process import Making, Message
from blockchain.simulator.twins.scenario import HONEST, NAMES, Period, Scenario

# ------------------------------------------------------------------------------------------------ bugs
from tests.consensus.without_locks import NoLockForNewValues, NoLockForOldValues


class _QuorumIsReached(ValidatorSet):
    def is_quorum(self, stake: int) -> bool:
        return 3 * stake >= 2 * self.total


class _PolkaIsNotAskedFor(Tendermint):
    def _prevote_again(self) -> list[Action]:
        candidate = self.proposals.get(self.round)
        if self.step is not Step.PROPOSE or candidate is None or not 0 <= candidate.valid_round < self.round:
            return []
        is_free = self.locked_round <= candidate.valid_round or self.locked_value == candidate.block_id
        return [self._prevote(candidate if candidate.is_valid and is_free else None)]


class _Liar(_PolkaIsNotAskedFor):
    """Proposes the value of round 0 again, as if there had been a polka for it, and votes for it."""

    def _begin(self, round: int) -> list[Action]:
        actions = super()._begin(round)
        first = self.proposals.get(0)
        if round == 0 or first is None:
            return actions
        self.valid_value, self.valid_round = first.block_id, 0
        return [RoundStarted(round, first.block_id, 0), *actions[1:]]


def _positions_alone(record: SigningRecord, message: Message) -> Message | None:
    """A signer that asks for a higher place and looks at no lock. Raises SigningRefused."""
    if record.message is not None and unsigned(message) == unsigned(record.message):
        return record.message
    if position_of(message) <= last_position(record):
        raise SigningRefused("not above the last")
    return None


def _without_its_lock(record: RoundRecord) -> RoundRecord:
    return msgspec.structs.replace(record, locked_value=None, locked_round=-1)


# ------------------------------------------------------------------------------------------------ scripts


def _script(*periods: tuple[str, int, Step]) -> Scenario:
    return Scenario(periods=tuple(Period(_split(sides), round, step) for sides, round, step in periods))


def _split(sides: str) -> tuple[int, ...]:
    first = sides.split("|")[0].split()
    return tuple(int((name in first) is not ("A" in first)) for name in NAMES)


# B and C lock in round 0 and know of each other's precommits. B alone hears A's, and decides; A' has another value.
HIDDEN_LOCK: Final = _script(
    ("A B C | A' D", 0, Step.PREVOTE),
    ("A | A' B C D", 0, Step.PRECOMMIT),
    ("A B | A' C D", 1, Step.PREVOTE),
    ("A B | A' C D", 1, Step.PRECOMMIT),
)
# A polka of round 0, seen by D and A', who propose its value again after B has decided another one of round 1, on which
# C is locked. C prevoted for the old value, saw its polka too late to lock on it, and had not heard of it in round 1.
OLD_POLKA: Final = _script(
    ("A B | A' C D", 0, Step.PROPOSE),
    ("A B C | A' D", 0, Step.PREVOTE),
    ("A B | A' C D", 0, Step.PREVOTE),
    ("A | A' B C D", 0, Step.PRECOMMIT),
    ("A B C | A' D", 1, Step.PREVOTE),
    ("A | A' B C D", 1, Step.PRECOMMIT),
    ("A B | A' C D", 2, Step.PREVOTE),
    ("A B | A' C D", 2, Step.PRECOMMIT),
)
C_IS_KILLED: Final = msgspec.structs.replace(HIDDEN_LOCK, restarts=((2, 3),))
A_THIRD: Final = (2, 2, 1, 1)  # of A to D: a twin with exactly a third is one too many, but for the last unit of stake
SPLIT_ONCE: Final = msgspec.structs.replace(_script(("A B | A' C D", 0, Step.PRECOMMIT)), stakes=A_THIRD)


@dataclass(frozen=True)
class Bug:
    """`making`: what all are made of. `twin`: the twins, where they are something else.

    `stakes`, `restarts`: what an enumerated scenario needs for the bug to show. `conflicts`: whether the script makes
    two final blocks; where it does not, the signer holds.
    """

    making: Making
    script: Scenario
    twin: Making | None = None
    stakes: tuple[int, ...] = (1, 1, 1, 1)
    restarts: tuple[tuple[int, int], ...] = ()
    conflicts: bool = True


_KILLS: Final = tuple((2, number) for number in HONEST)  # all of them, when half of the periods are over
_LOCK: Final = {
    "lock-new": Bug(Making(rules=NoLockForNewValues), HIDDEN_LOCK),  # L22
    "lock-old": Bug(Making(rules=NoLockForOldValues), OLD_POLKA),  # L28
    "lock-lost": Bug(Making(recalled=_without_its_lock), C_IS_KILLED, restarts=_KILLS),  # a kill forgets it
}
LIAR: Final = Making(rules=_Liar)
BUGS: Final = {
    **{name: replace(bug, conflicts=False) for name, bug in _LOCK.items()},
    **{
        f"{name}+signer": replace(bug, making=replace(bug.making, check=_positions_alone))
        for name, bug in _LOCK.items()
    },
    # A claimed polka binds no signer, which knows no prevotes: the engine alone is in its way.
    "polka-unasked": Bug(Making(rules=_PolkaIsNotAskedFor), HIDDEN_LOCK, LIAR),  # L28
    "quorum-reached": Bug(Making(validators=_QuorumIsReached), SPLIT_ONCE, stakes=A_THIRD),
}
SIGNER_ALONE: Final = Making(check=_positions_alone)  # the other way round: the engine holds without the signer's rule
