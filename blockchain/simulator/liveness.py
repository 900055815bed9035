"""After healing the first round whose forger is honest and on line decides, or the next one after a hidden lock.

A round is *good* when nothing but the rules could keep it from deciding: it began after healing at all honest
validators, within a time that its time-outs leave room for, with links as they are; and its forger is one of them, and
had something to propose in time. Then every honest validator votes in time. That is only so while clocks agree, and
while nobody hostile keeps a vote back to lock one node more: where there is one, a run has to decide, and no more is
asked of single rounds.
"""

from __future__ import annotations

from typing import Final

from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Step
from blockchain.seams import BlockFinalized, ForgerDrawn, Locked, Proposed
from blockchain.simulator.faults import ClockDrift, ClockStep
from blockchain.simulator.scenario import Scenario
from blockchain.simulator.world import Violation, World

# Journeys from node to node before the last honest vote of a step is everywhere. Two of them may go by because a node
# tells where it is before it is sent what it lacks of that height (protocol §8.4); proposal, prevotes, precommits take
# the others.
TRIPS: Final = {Step.PROPOSE: 3, Step.PREVOTE: 4, Step.PRECOMMIT: 5}


def check_liveness(scenario: Scenario, world: World, healed_ms: int) -> int:
    """How many good rounds there were in heights that were decided. Raises Violation where one should have decided."""
    if not _is_asked(scenario, world):
        return 0
    seen = _Seen(world)
    count = 0
    for height, decided_round in sorted(seen.decided.items()):
        good = [
            round for round in range(decided_round + 1) if _is_good(scenario, world, seen, (height, round), healed_ms)
        ]
        count += len(good)
        lost = [round for round in good if round < decided_round]
        is_hidden = bool(lost) and any(round < lost[0] for round in seen.locked.get(height, ()))
        if len(lost) > is_hidden:
            raise Violation(
                f"seed {world.seed}: good rounds {lost} of height {height} decide nothing, round {decided_round} does"
            )
    return count


Entries = dict[int, tuple[int, Address]]  # by node: when it entered a round, and whose turn it was


class _Seen:
    """By height and round: who entered it when, and when it was proposed in; by height: what decided, and locked."""

    def __init__(self, world: World) -> None:
        self.entries: dict[tuple[int, int], Entries] = {}
        self.proposed_ms: dict[tuple[int, int], int] = {}
        self.decided: dict[int, int] = {}
        self.locked: dict[int, set[int]] = {}
        for time_ms, (number, event) in zip(world.event_ms, world.events, strict=True):
            match event:
                case ForgerDrawn(height=height, round=round, forger=forger):
                    self.entries.setdefault((height, round), {}).setdefault(number, (time_ms, forger))
                case Proposed(height=height, round=round):
                    self.proposed_ms.setdefault((height, round), time_ms)
                case BlockFinalized(height=height, decided_round=round):
                    self.decided[height] = round
                case Locked(height=height, round=round):
                    self.locked.setdefault(height, set()).add(round)
                case _:
                    pass


def _is_asked(scenario: Scenario, world: World) -> bool:
    is_wrong = any(isinstance(fault, ClockStep | ClockDrift) for fault in scenario.faults)
    is_apart = 2 * scenario.skew_max_ms > scenario.parameters.clock_drift_ms
    return not (scenario.hostile or is_wrong or is_apart or any(node.is_spoilt for node in world.nodes))


def _is_good(scenario: Scenario, world: World, seen: _Seen, place: tuple[int, int], healed_ms: int) -> bool:
    entries = seen.entries.get(place, {})
    voters = [node for node in world.honest if node.keys]
    if place not in seen.proposed_ms or any(node.number not in entries for node in voters):
        return False
    times = [entries[node.number][0] for node in voters]
    first_ms, last_ms = min(times), max(times)
    trip = scenario.links.delay_ms[1]
    late_ms = {step: last_ms - first_ms + trips * trip for step, trips in TRIPS.items()}
    late_ms[Step.PROPOSE] += max(seen.proposed_ms[place] - first_ms, 0)
    return first_ms >= healed_ms and all(_timeout(scenario, step, place[1]) > ms for step, ms in late_ms.items())


def _timeout(scenario: Scenario, step: Step, round: int) -> int:
    """In ms (protocol §5.5)."""
    parameters = scenario.parameters
    name = step.name.lower()
    grown = getattr(parameters, f"{name}_timeout_ms") + getattr(parameters, f"{name}_delta_ms") * round
    return int(min(grown, parameters.timeout_max_ms))
