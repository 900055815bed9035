"""The time-outs of a round: one timer a step, longer with each round (docs/protocol.md §5.3)."""

from __future__ import annotations

from typing import Final

from blockchain.primitives.chain import Parameters
from blockchain.primitives.vote import Step
from blockchain.seams import SetTimer, TimerKey, TimerKind

_STEP_TIMERS: Final = {
    Step.PROPOSE: TimerKind.PROPOSE,
    Step.PREVOTE: TimerKind.PREVOTE,
    Step.PRECOMMIT: TimerKind.PRECOMMIT,
}
STEP_OF: Final = {kind: step for step, kind in _STEP_TIMERS.items()}


def timeout(parameters: Parameters, height: int, round: int, step: Step) -> SetTimer:
    """The timer of a step, in ms: its base and its delta times the round, and never more than the maximum."""
    base, delta = {
        Step.PROPOSE: (parameters.propose_timeout_ms, parameters.propose_delta_ms),
        Step.PREVOTE: (parameters.prevote_timeout_ms, parameters.prevote_delta_ms),
        Step.PRECOMMIT: (parameters.precommit_timeout_ms, parameters.precommit_delta_ms),
    }[step]
    delay = min(base + delta * round, parameters.timeout_max_ms)
    return SetTimer(TimerKey(_STEP_TIMERS[step], height, round), delay)
