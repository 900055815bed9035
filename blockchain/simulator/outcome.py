"""What a run came to: counts that show which rules were exercised, and a digest that shows it was the same run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from msgspec import Struct

from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Step
from blockchain.seams import (
    BlockFinalized,
    EvidenceFound,
    ForgerDrawn,
    Locked,
    NodeEvent,
    NodeStarted,
    Proposed,
    RoundTimedOut,
    SyncProgressed,
)
from blockchain.simulator.world import World


class Outcome(Struct, frozen=True, kw_only=True):
    """Counts are over all nodes. `decided_ms`: virtual time from healing until every node had decided once more.

    `rounds_of` says of how many heights the deciding round was 0, 1, 2, …
    """

    seed: int
    nodes: int
    height: int
    rounds: int  # entered above round 0
    locks: int
    locks_kept: int  # locks of rounds that did not decide by themselves
    reproposals: int
    past_decisions: int  # decided by a round before the one the node was in
    skips: int  # rounds entered by L55, without a time-out
    unlocks: int  # locks that gave way to a lock on another value of a later round (L28, L36)
    evidence: int  # pieces that nodes found or heard of
    restarts: int
    syncs: int  # blocks taken over from a peer
    final: int  # transactions
    decided_ms: int
    virtual_ms: int
    rounds_of: tuple[int, ...]
    good_rounds: int = 0  # of which the liveness rule was asked
    hidden_rounds: int = 0  # that would be good but for locks
    digest: str


COLUMNS: Final = (
    "seed",
    "nodes",
    "height",
    "rounds",
    "locks",
    "locks_kept",
    "reproposals",
    "past_decisions",
    "skips",
    "unlocks",
    "evidence",
    "restarts",
    "syncs",
    "final",
    "good_rounds",
    "decided_ms",
)


def heading() -> str:
    """The names of the columns of `row`."""
    return " ".join([*(f"{name:>{max(len(name), 6)}}" for name in COLUMNS), "digest"])


def row(outcome: Outcome) -> str:
    """One outcome as a line of a table."""
    values = (f"{getattr(outcome, name):>{max(len(name), 6)}}" for name in COLUMNS)
    return " ".join([*values, outcome.digest[:16]])


PER_HEIGHTS: Final = ("rounds", "locks", "reproposals", "unlocks", "skips", "past_decisions", "evidence")


def verdict(outcome: Outcome) -> str:
    """What one run came to, in a line."""
    sums = ", ".join(f"{name} {getattr(outcome, name)}" for name in COLUMNS[2:-1])
    times = f"decided {outcome.decided_ms} ms after healing, {outcome.virtual_ms} ms in all"
    return f"{sums}; {times}; digest {outcome.digest[:16]}"


def total(outcomes: Sequence[Outcome]) -> str:
    """What many runs exercised, in lines."""
    sums = ", ".join(f"{name} {sum(getattr(outcome, name) for outcome in outcomes)}" for name in COLUMNS[2:-1])
    slowest = max((outcome.decided_ms for outcome in outcomes), default=0)
    per = ", ".join(f"{name} {value:g}" for name, value in per_thousand(outcomes).items())
    decided = ", ".join(f"{round}: {heights}" for round, heights in enumerate(rounds_of(outcomes)))
    return (
        f"{len(outcomes)} seeds: {sums}; slowest to decide after healing {slowest} ms\n"
        f"per 1,000 heights: {per}\nheights by the round that decided: {decided}"
    )


def per_thousand(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """How often what is seldom happened in 1,000 heights, at all nodes together."""
    heights = max(sum(outcome.height for outcome in outcomes), 1)
    return {name: round(1_000 * sum(getattr(one, name) for one in outcomes) / heights, 2) for name in PER_HEIGHTS}


def rounds_of(outcomes: Sequence[Outcome]) -> list[int]:
    """How many heights round 0 decided, round 1, …"""
    rounds = max((len(outcome.rounds_of) for outcome in outcomes), default=0)
    return [sum(one.rounds_of[at] for one in outcomes if at < len(one.rounds_of)) for at in range(rounds)]


def count(world: World, healed_ms: int, decided_ms: int) -> Outcome:
    """The outcome of a run that has ended, and the times of its healing and of what was decided first after it."""
    events = [event for _, event in world.events]
    decisions = [event for event in events if isinstance(event, BlockFinalized)]
    rounds = {event.height: event.decided_round for event in decisions}
    locks = [event for event in events if isinstance(event, Locked)]
    starts = sum(isinstance(event, NodeStarted) for event in events)
    first = world.honest[0].store
    deciding = Counter(rounds.values())
    ids = sum(len(block.transaction_ids) for height in range(1, first.head() + 1) if (block := first.block(height)))
    return Outcome(
        seed=world.seed,
        nodes=len(world.nodes),
        height=first.head(),
        rounds=sum(isinstance(event, ForgerDrawn) and event.round > 0 for event in events),
        locks=len(locks),
        locks_kept=sum(lock.round < rounds.get(lock.height, 0) for lock in locks),
        reproposals=sum(isinstance(event, Proposed) and event.valid_round >= 0 for event in events),
        past_decisions=sum(event.round > event.decided_round and not event.synced for event in decisions),
        skips=sum(_skips([event for at, event in world.events if at == node.number]) for node in world.nodes),
        unlocks=_unlocks(world),
        evidence=sum(isinstance(event, EvidenceFound) for event in events),
        restarts=starts - len(world.present),
        syncs=sum(isinstance(event, SyncProgressed) for event in events),
        final=ids,
        decided_ms=decided_ms - healed_ms,
        virtual_ms=world.time_ms,
        rounds_of=tuple(deciding[round] for round in range(max(deciding, default=-1) + 1)),
        digest=sha256("\n".join(world.transcript).encode() + world.frames.digest()).hexdigest(),
    )


def _unlocks(world: World) -> int:
    """How often a node's lock gave way to one on another value."""
    unlocks = 0
    locked: dict[tuple[int, int], Hash32] = {}  # by node and height
    for number, event in world.events:
        if isinstance(event, Locked):
            unlocks += locked.setdefault((number, event.height), event.block_id) != event.block_id
            locked[number, event.height] = event.block_id
    return unlocks


def _skips(events: list[NodeEvent]) -> int:
    """Rounds that one node entered without having waited for the one before."""
    skips = 0
    is_expected = True  # the first round after a start is the recorded one
    for event in events:
        match event:
            case NodeStarted():
                is_expected = True
            case RoundTimedOut(step=Step.PRECOMMIT):
                is_expected = True
            case ForgerDrawn(round=round):
                skips += round > 0 and not is_expected
                is_expected = False
            case _:
                pass
    return skips
