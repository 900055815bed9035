"""Which faults happen in a run, and when: all drawn from one `Random`."""

from __future__ import annotations

from random import Random
from typing import Final

from blockchain.simulator.faults import (
    LOST_MAX,
    ClockDrift,
    ClockStep,
    Crash,
    Fault,
    Healing,
    LyingDisk,
    Narrow,
    OneWay,
    Partition,
    Pause,
    RecordGone,
    Slow,
)

STEP_MS: Final = 1_500_000  # twice is less than the hour after which a pool gives up (protocol §10.6)
DRIFT_PPM_MAX: Final = 50_000  # a second in twenty: a thousand times a bad quartz, as runs last seconds


def draw_faults(rng: Random, nodes: int, heal_ms: int) -> tuple[Fault, ...]:
    """Faults that begin one after the other, overlap, and have all ended at `heal_ms`."""
    faults: list[Fault] = []
    time_ms = rng.randint(100, 1_000)
    while time_ms < heal_ms:
        until_ms = min(time_ms + rng.randint(200, 2_500), heal_ms)
        draw = rng.choice((draw_partition, draw_partition, draw_crash, draw_crash, draw_condition, draw_loss))
        faults.append(draw(rng, nodes, time_ms, until_ms))
        time_ms += rng.randint(200, 2_000)  # some heights take less than that
    return tuple(faults)


def draw_partition(rng: Random, nodes: int, at_ms: int, until_ms: int) -> Fault:
    """Who hears whom no more."""
    everybody = rng.sample(range(nodes), nodes)
    sizes = {"halves": nodes // 2, "minority": max(1, (nodes - 1) // 3), "isolated": 1}
    size = sizes[rng.choice(("halves", "minority", "isolated"))]
    some, others = tuple(sorted(everybody[:size])), tuple(sorted(everybody[size:]))
    match rng.choice(("clean", "clean", "one_way", "healing")):
        case "one_way":
            senders, receivers = (some, others) if rng.random() < 0.5 else (others, some)
            return OneWay(at_ms=at_ms, until_ms=until_ms, senders=senders, receivers=receivers)
        case "healing":
            order = rng.randint(0, 999_999)
            return Healing(at_ms=at_ms, until_ms=until_ms, groups=(some, others), order=order)
        case _:
            return Partition(at_ms=at_ms, until_ms=until_ms, groups=(some, others))


def draw_crash(rng: Random, nodes: int, at_ms: int, until_ms: int) -> Fault:
    """One, some or all, between inputs or within one."""
    everybody = rng.sample(range(nodes), nodes)
    some = {"one": 1, "some": rng.randint(2, max(nodes - 1, 2)), "all": nodes}[
        rng.choice(("one", "one", "some", "all"))
    ]
    effects = rng.choice((-1, rng.randint(0, 8)))
    return Crash(at_ms=at_ms, until_ms=until_ms, nodes=tuple(everybody[:some]), effects=effects)


def draw_condition(rng: Random, nodes: int, at_ms: int, until_ms: int) -> Fault:
    """Nodes that run, and not well."""
    some = tuple(sorted(rng.sample(range(nodes), rng.randint(1, nodes))))
    match rng.choice(("pause", "slow", "narrow", "step", "drift")):
        case "pause":
            return Pause(at_ms=at_ms, until_ms=until_ms, nodes=some)
        case "slow":
            return Slow(at_ms=at_ms, until_ms=until_ms, nodes=some, cost_ms=rng.choice((1, 5, 20)))
        case "narrow":
            return Narrow(at_ms=at_ms, until_ms=until_ms, nodes=some, bytes_per_s=rng.choice((2_000, 10_000, 50_000)))
        case "step":
            by_ms = rng.choice((-STEP_MS, -2_000, -300, 300, 2_000, STEP_MS))
            return ClockStep(at_ms=at_ms, until_ms=until_ms, nodes=some, by_ms=by_ms)
        case _:
            ppm = rng.randint(-DRIFT_PPM_MAX, DRIFT_PPM_MAX)
            return ClockDrift(at_ms=at_ms, until_ms=until_ms, nodes=some, ppm=ppm)


def draw_loss(rng: Random, nodes: int, at_ms: int, until_ms: int) -> Fault:
    """What a machine must never do, to one node."""
    node = rng.randrange(nodes)
    if rng.random() < 0.5:
        return LyingDisk(at_ms=at_ms, until_ms=until_ms, node=node, writes=rng.randint(1, LOST_MAX))
    return RecordGone(at_ms=at_ms, until_ms=until_ms, node=node, loss=rng.choice(("lost", "older")))
