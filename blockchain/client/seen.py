"""What a node answers of what it saw, as frozen values; see `answers`."""

from __future__ import annotations

from msgspec import Struct

from blockchain.client.answers import Validator


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


class Window(Struct, frozen=True):
    """The blocks over which is counted."""

    first: int | None
    last: int | None
    blocks: int


class Record(Struct, frozen=True):
    """What a validator did over the window; `wins` are draws of round 0, whether or not the block came."""

    draws: int
    expected_wins: float
    wins: int
    p_value: float | None
    forged: int
    let_pass: int
    certificates: int
    missed: int
    earned_forging: int
    earned_signing: int
    lost: int
    uptime: float | None


class ValidatorEntry(Validator, frozen=True):
    """`is_online` and `record` are None of another height than the one in progress."""

    share: float
    is_online: bool | None
    record: Record | None


class ValidatorList(Struct, frozen=True):
    """`next` is the `after` of the page that follows; None: this one is the last, or they are all here."""

    height: int
    hash: str
    total_stake: int
    count: int
    window: Window | None
    validators: tuple[ValidatorEntry, ...]
    next: str | None


class MissedHeight(Struct, frozen=True):
    """`reason` is "offline", "silent", "nil", "late", "left_out", or "" where the node did not see it."""

    height: int
    reason: str
    late_ms: int | None


class ValidatorRecord(Struct, frozen=True):
    """One validator; of one that has left the set since, `stake` is 0 and `key` None."""

    address: str
    key: str | None
    stake: int
    share: float
    is_online: bool
    window: Window
    record: Record
    missed_heights: tuple[MissedHeight, ...]
