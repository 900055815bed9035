"""Plays a Twins scenario to its end, and gives the verdict."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from msgspec import Struct

from blockchain.consensus.evidence import accused, author_of, contradicts, messages_of
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import (
    ConflictingProposals,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Proposal,
    Vote,
    verify_message,
)
from blockchain.simulator.twins.process import GENESIS_HASH, KEYS, Making, Message, Process
from blockchain.simulator.twins.scenario import HONEST, NAMES, Scenario
from blockchain.simulator.twins.stage import Stage

PROOFS_MAX: Final = 100_000  # pieces of evidence whose signatures were verified: the same ones come in most scenarios
SPOILT_MAX: Final = 1  # rounds of an honest forger that may fail once the network is whole: one, by a hidden lock
PRODUCTION: Final = Making()
_TWIN: Final = Address(KEYS[0].public_key)


class Outcome(Struct, frozen=True, kw_only=True):
    """What a scenario came to. `decided_round`: of the final block's certificate; −1: nobody honest decided.

    `conflicts`: whether two honest processes have different final blocks. `wrong`: what else must not happen.
    `offended`: honest processes that were given two messages of the twins that contradict each other; `accusers`: those
    that made evidence of what they had. `last_round`: the highest in which an honest process was when it decided.
    `spoilt`: rounds of honest forgers without a decision, of those that began when the network was whole.
    """

    conflicts: bool
    wrong: tuple[str, ...]
    decided_round: int
    last_round: int
    spoilt: int
    locks: int
    reproposals: int
    past_decisions: int
    syncs: int
    refusals: int
    offended: int
    accusers: int


def play(scenario: Scenario, making: Making = PRODUCTION, twin: Making | None = None) -> Outcome:
    """Play a scenario to its end. `twin`: what the twins are made of, if it is something else.

    Raises AssertionError where it does not come to rest.
    """
    stage = Stage(scenario, making, making if twin is None else twin)
    for at, period in enumerate((*scenario.periods, None)):
        killed = tuple(who for when, who in scenario.restarts if when == at)
        stage.begin(period, killed if at > 0 else range(len(NAMES)))
        stage.run()
    return _judge(scenario, stage)


def _judge(scenario: Scenario, stage: Stage) -> Outcome:
    honest = [stage.processes[number] for number in HONEST]
    finals = [process.app.final for process in honest]
    decided = [final for final in finals if final is not None]
    rounds = [certificate.round for _, certificate in decided]
    offended = [process for process in honest if _is_contradicted(process)]
    wrong = [f"{NAMES[p.number]}: {fault}" for p in honest for fault in p.faults]
    wrong += [f"{NAMES[p.number]} decided nothing" for p in honest if p.app.final is None]
    wrong += [f"the signer of {NAMES[p.number]} refused: {why}" for p in honest for why in p.refusals]
    wrong += _wrongly_accused(stage)
    spoilt = _spoilt(scenario, stage.healed_round, min(rounds, default=-1))
    if spoilt > SPOILT_MAX:
        wrong.append(f"{spoilt} rounds of honest forgers decided nothing though the network was whole")
    wrong += [
        f"the twins contradicted themselves to {NAMES[p.number]}, which saw nothing" for p in offended if not p.evidence
    ]
    return Outcome(
        conflicts=len({block.id for block, _ in decided}) > 1,
        wrong=tuple(wrong),
        decided_round=min(rounds, default=-1),
        last_round=max((process.app.final_round for process in honest), default=-1),
        spoilt=spoilt,
        locks=sum(process.locks for process in honest),
        reproposals=sum(process.proposed_again for process in stage.processes),
        past_decisions=sum(
            final is not None and final[1].round < process.app.final_round
            for process, final in zip(honest, finals, strict=True)
        ),
        syncs=stage.syncs,
        refusals=sum(len(process.refusals) for process in honest),
        offended=len(offended),
        accusers=sum(bool(process.evidence) for process in honest),
    )


def _spoilt(scenario: Scenario, healed_round: int, decided_round: int) -> int:
    """Rounds of honest forgers that began when the network was whole, and ended without a decision."""
    if healed_round < 0:
        return 0
    return sum(scenario.forger(round) != 0 for round in range(healed_round + 1, decided_round))


def _wrongly_accused(stage: Stage) -> list[str]:
    """Evidence that accuses anybody but the twins, or proves nothing."""
    found = []
    for process in stage.processes:
        for evidence in dict.fromkeys(process.evidence):
            if accused(evidence) != (1, _TWIN):
                found.append(f"{NAMES[process.number]} accuses an honest validator: {evidence}")
            elif not _proves(evidence):
                found.append(f"{NAMES[process.number]} accuses the twins of what is none: {evidence}")
    return found


@lru_cache(maxsize=PROOFS_MAX)
def _proves(evidence: Evidence) -> bool:
    signed = (verify_message(message, KEYS[0].public_key, GENESIS_HASH) for message in messages_of(evidence))
    return contradicts(evidence) and all(signed)


def _is_contradicted(process: Process) -> bool:
    """Whether a process was given two messages of the twins that no correct validator signs."""
    messages = [message for message in dict.fromkeys(process.given) if author_of(message) == _TWIN]
    return any(_contradict(one, other) for one in messages for other in messages)


def _contradict(one: Message, other: Message) -> bool:
    match one, other:
        case Proposal(), Proposal():
            return contradicts(ConflictingProposals(one, other))
        case Vote(), Vote() if (one.round, one.step) == (other.round, other.step):
            return contradicts(ConflictingVotes(one, other))
        case Vote(), Vote():
            return contradicts(ForgottenLock(one, other))
        case _:
            return False
