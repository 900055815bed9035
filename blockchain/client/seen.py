"""What a node answers of what it saw, as frozen values; see `answers`."""

from __future__ import annotations

from msgspec import Struct


class VoteSeen(Struct, frozen=True):
    validator: str
    at_ms: int
    is_nil: bool


class StepSeen(Struct, frozen=True):
    """The last votes, in the order in which they came, and some of those that are missing; the counts are of all."""

    stake: int
    vote_count: int
    missing_count: int
    votes: tuple[VoteSeen, ...]
    missing: tuple[str, ...]


class TimeOut(Struct, frozen=True):
    step: str
    at_ms: int


class RoundSeen(Struct, frozen=True):
    """Times are ms after the height began; None: it did not happen at that node."""

    round: int
    forger: str | None
    began_ms: int | None
    due_ms: int | None
    proposed_ms: int | None
    late_ms: int | None
    polka_ms: int | None
    locked_ms: int | None
    prevotes: StepSeen
    precommits: StepSeen
    timed_out: tuple[TimeOut, ...]
    rejected: str


class SignatureRefusal(Struct, frozen=True):
    round: int
    step: str
    why: str


class HeightSeen(Struct, frozen=True):
    """`began_ms` is wall time, all other times are ms after it."""

    began_ms: int
    is_whole: bool
    is_synced: bool
    triggered_ms: int | None
    final_ms: int | None
    total_stake: int
    quorum_stake: int
    rounds: tuple[RoundSeen, ...]
    rounds_dropped: int
    never_voted: tuple[str, ...]
    never_voted_count: int
    refusals: tuple[SignatureRefusal, ...]


class HeightStored(Struct, frozen=True):
    id: str
    round: int
    decided_round: int
    time_ms: int
    forger: str
    passed: tuple[str, ...]
    signer_count: int
    unsigned: tuple[str, ...] | None
    unsigned_count: int


class Why(Struct, frozen=True):
    """`seen` is None of a height that the node did not see in progress, `final` of the one in progress."""

    height: int
    verdict: str
    seen: HeightSeen | None
    final: HeightStored | None
