"""Thousands of random worlds with fresh seeds: `make soak` (SEEDS=10000 HEIGHTS=20 JOBS=2 FIRST=).

FIRST is the first of the seeds, drawn afresh unless it is given, and printed. A run that breaks a rule is printed with
the command that replays and shrinks it. Every thousand seeds a line goes to tests/records/soak.jsonl: a run that is cut
short has not been for nothing, and the figures of several sittings add up. One of a thousand heights and more fails
also where the rule of liveness was asked of no single round.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from random import SystemRandom
from signal import SIG_DFL, SIGINT, signal
from statistics import quantiles
from time import monotonic, process_time
from typing import Final

from msgspec import Struct

from blockchain.simulator.drawing import draw
from blockchain.simulator.faults import Fault, Healing, Partition
from blockchain.simulator.outcome import Outcome, per_thousand, rounds_of, total
from blockchain.simulator.playing import play, world_of
from blockchain.simulator.scenario import Scenario
from blockchain.simulator.wishes import Wishes, command_of
from blockchain.simulator.world import Violation
from tests.asked import asked
from tests.record_lines import append_record

SHARE: Final = 50  # seeds that a process plays before it reports
SITTING: Final = 1_000  # seeds to a line of the record
ASKED_HEIGHTS: Final = 1_000  # of a sitting that must have asked for liveness
SEEDS_BELOW: Final = 10**9
COLLECTED_EACH: Final = 8  # seeds: up to 100 MB of what is over


class Part(Struct):
    """What a share of the seeds came to."""

    outcomes: list[Outcome]
    broken: list[str]  # violations, each with its command
    shapes: Counter[str]
    cpu_s: float


def main() -> int:
    seeds, heights = asked("SEEDS", 10_000, 1), asked("HEIGHTS", 20, 1)
    first = asked("FIRST", 0) or SystemRandom().randrange(1, SEEDS_BELOW)
    print(f"seeds {first} to {first + seeds - 1}, {heights} heights each; FIRST={first} plays them again", flush=True)
    broken = 0
    for start in range(first, first + seeds, SITTING):
        numbers = range(start, min(start + SITTING, first + seeds))
        begun = monotonic()
        parts = list(_play(numbers, heights, asked("JOBS", 2, 1)))
        broken += _report(numbers, heights, parts, monotonic() - begun)
    return 1 if broken else 0


def play_share(numbers: range, heights: int) -> Part:
    """Play seeds one after the other, in a process of its own."""
    wishes = Wishes(heights=heights)
    part = Part([], [], Counter(), 0.0)
    begun = process_time()
    gc.disable()  # nothing of a run can go before its end
    for played, seed in enumerate(numbers):
        if played % COLLECTED_EACH == 0:
            gc.collect()
        scenario = draw(seed, wishes)
        part.shapes["hostile"] += bool(scenario.hostile)
        part.shapes["a third absent"] += bool(scenario.absent)
        part.shapes["halves"] += any(_is_halving(fault, scenario) for fault in scenario.faults)
        try:
            part.outcomes.append(play(scenario, world_of(scenario)))
        except Violation as violation:
            part.broken.append(f"{violation}\nreplay: {command_of(seed, wishes)}")
    part.cpu_s = process_time() - begun
    return part


def _is_halving(fault: Fault, scenario: Scenario) -> bool:
    """Whether it leaves each of two sides with half of the stake."""
    groups = fault.groups if isinstance(fault, Partition | Healing) else ()
    stakes = [sum(scenario.nodes[number].stake for number in group) for group in groups]
    return len(stakes) == 2 and stakes[0] == stakes[1]


def _play(numbers: range, heights: int, jobs: int) -> Iterator[Part]:
    shares = [numbers[start : start + SHARE] for start in range(0, len(numbers), SHARE)]
    # Ctrl-C ends the processes at once: else each would first play its whole share, minutes long.
    with ProcessPoolExecutor(jobs, initializer=signal, initargs=(SIGINT, SIG_DFL)) as pool:
        for part in pool.map(play_share, shares, [heights] * len(shares)):
            for told in part.broken:
                print(told, flush=True)
            yield part


def _report(numbers: range, heights: int, parts: list[Part], wall_s: float) -> int:
    outcomes = [outcome for part in parts for outcome in part.outcomes]
    broken = sum(len(part.broken) for part in parts)
    print(total(outcomes))
    decided = sum(outcome.height for outcome in outcomes)
    cpu_s = sum(part.cpu_s for part in parts)
    per = per_thousand(outcomes)
    missing = [name for name, times in per.items() if times == 0]
    print(f"{broken} broken; {cpu_s / max(decided, 1):.4f} s of CPU a height, {wall_s:.0f} s in all")
    print(f"did not happen: {', '.join(missing) or 'nothing of it'}")
    good, hidden = sum(one.good_rounds for one in outcomes), sum(one.hidden_rounds for one in outcomes)
    print(f"liveness was asked of {good} rounds, {hidden} had a hidden lock", flush=True)
    append_record(
        "soak",
        {
            "seeds": [numbers[0], numbers[-1]],
            "heights_each": heights,
            "violations": broken,
            "heights": decided,
            "per_1000_heights": per,
            "heights_by_deciding_round": rounds_of(outcomes),
            "good_rounds": good,
            "hidden_rounds": hidden,
            "runs": dict(sum((part.shapes for part in parts), Counter())),
            "virtual_s": _spread([outcome.virtual_ms / 1000 for outcome in outcomes]),
            "decided_after_healing_s": _spread([outcome.decided_ms / 1000 for outcome in outcomes]),
            "cpu_s_per_height": round(cpu_s / max(decided, 1), 4),
            "wall_s": round(wall_s),
        },
    )
    return broken + (good == 0 and decided >= ASKED_HEIGHTS)


def _spread(values: list[float]) -> dict[str, float]:
    """Half of the runs take less than `p50`, all but one in a hundred less than `p99`."""
    cuts = quantiles(values, n=100) if len(values) > 1 else [0.0] * 99
    most = max(values, default=0.0)
    return {"p50": round(cuts[49], 2), "p90": round(cuts[89], 2), "p99": round(cuts[98], 2), "most": most}


if __name__ == "__main__":
    sys.exit(main())
