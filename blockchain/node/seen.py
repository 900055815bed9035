"""Why a height went as it did, as values: what this node saw of it, and what its store tells (`why.py` makes them)."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from blockchain.consensus.pos import Forgers
from blockchain.node.timeline import HeightSeen
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Step
from blockchain.seams import FinalBlock


class VoteSeen(Struct, frozen=True):
    validator: Address
    at_ms: int
    is_nil: bool


class StepView(Struct, frozen=True):
    """The votes of one (round, step), in the order in which they came; both lists are cut, the counts are not."""

    stake: int  # of all who voted
    vote_count: int
    missing_count: int
    votes: tuple[VoteSeen, ...]
    missing: tuple[Address, ...]


class RoundView(Struct, frozen=True):
    """Times are ms after the height began; None: it did not happen here.

    `due_ms` is when the propose time-out ends; `late_ms` how much later than that the proposal came.
    """

    round: int
    forger: Address | None  # None: this node was never in this round
    began_ms: int | None
    due_ms: int | None
    proposed_ms: int | None
    late_ms: int | None
    polka_ms: int | None
    locked_ms: int | None
    prevotes: StepView
    precommits: StepView
    timed_out: tuple[tuple[Step, int], ...]
    rejected: str  # why this node did not prevote for the block, or ""


class SeenView(Struct, frozen=True):
    """What this node saw while the height was in progress. `began_ms` is wall time, all else ms after it."""

    began_ms: int
    is_whole: bool  # not: this node was started in the middle of it
    is_synced: bool  # it was decided without this node, which took the block from a peer
    triggered_ms: int | None  # when a block came to be due here
    final_ms: int | None
    total_stake: int
    quorum_stake: int
    rounds: tuple[RoundView, ...]  # the newest
    rounds_dropped: int
    never_voted: tuple[Address, ...]  # members of whom no vote came, in any round; cut
    never_voted_count: int
    refusals: tuple[tuple[int, Step, str], ...]  # signatures that this node's own signer refused


class FinalView(Struct, frozen=True):
    """What the store tells of a final height. `unsigned` (cut) is None where the set is not known here."""

    id: Hash32
    round: int  # in which the block was built
    decided_round: int
    time_ms: int
    forger: Address
    passed: tuple[Address, ...]  # the forgers of the rounds before the block's, of the first ones
    signer_count: int
    unsigned: tuple[Address, ...] | None
    unsigned_count: int


class WhyView(Struct, frozen=True):
    height: int
    seen: SeenView | None
    final: FinalView | None


class WhyFacts(Struct, frozen=True):
    """All that a view is made of, of one moment. To make it takes long where there are many validators."""

    height: int
    seen: HeightSeen | None
    stored: FinalBlock | None
    members: ValidatorSet | None  # of a final height, where they are known
    draws: Callable[[Hash32, int, ValidatorSet], Forgers]
    waiting_for: str  # what the height in progress waits for
