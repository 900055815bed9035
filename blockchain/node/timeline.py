"""What this node saw of the newest heights, and when: who was drawn, what came, what timed out (docs/operating.md).

The core shows every effect of its engine to `note`, and says when the trigger comes to hold; nothing here decides
anything. Times are the driver's, wall time in ms, as of the input that brought the news. A height is forgotten when
newer ones need its room.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from copy import copy
from heapq import nlargest
from typing import Final

from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Proposal, Step, Vote, VoteStep
from blockchain.seams import (
    BlockFinalized,
    BlockRejected,
    Broadcast,
    Effect,
    Emit,
    ForgerDrawn,
    HeightBegun,
    Locked,
    ProposalUntimely,
    RoundTimedOut,
    SetTimer,
    SignatureRefused,
    TimerKey,
    TimerKind,
)

HEIGHTS_MAX: Final = 100  # some minutes of a busy chain, hours of a quiet one
ROUNDS_MAX: Final = 16  # the newest of a height: a stalled one goes on for long, and all its rounds are alike
SLOTS_MAX: Final = 500_000  # validators, once a height and twice a round, in all: a few MB; ten heights of 10,000
REFUSALS_MAX: Final = 8  # signatures of one height that were refused
NEVER: Final = -1


class StepSeen:
    """The votes of one (round, step): when the first of each validator came, and whether it was nil."""

    def __init__(self, validators: int) -> None:
        self._seen = array("q", [NEVER]) * validators
        self.stakes: dict[Hash32 | None, int] = {}

    def note(self, index: int, after_ms: int, block_id: Hash32 | None, stake: int) -> None:
        self.stakes[block_id] = self.stakes.get(block_id, 0) + stake
        if self._seen[index] == NEVER:
            self._seen[index] = 2 * max(after_ms, 0) + (block_id is None)

    def copied(self) -> StepSeen:
        other = copy(self)
        other._seen, other.stakes = self._seen[:], dict(self.stakes)
        return other

    def voters(self) -> set[int]:
        """The indices of those whose vote came."""
        return {index for index, when in enumerate(self._seen) if when != NEVER}

    def latest(self, count: int) -> list[int]:
        """The indices of those whose votes came last, in the order in which they did; stable."""
        return nlargest(count, sorted(self.voters()), key=self._seen.__getitem__)[::-1]

    def came(self, index: int) -> int | None:
        """ms after the height began; None: no vote of this validator came."""
        return None if self._seen[index] == NEVER else self._seen[index] // 2

    def is_nil(self, index: int) -> bool:
        return self._seen[index] % 2 == 1


class RoundSeen:
    """One round. Times are ms after the height began; None: it did not happen, or not here."""

    def __init__(self, validators: int) -> None:
        self.forger: Address | None = None
        self.began: int | None = None
        self.due: int | None = None  # when the propose time-out ends
        self.proposed: int | None = None
        self.polka: int | None = None
        self.locked: int | None = None
        self.timed_out: dict[Step, int] = {}
        self.rejected = ""
        self.prevotes = StepSeen(validators)
        self.precommits = StepSeen(validators)

    def copied(self) -> RoundSeen:
        other = copy(self)
        other.timed_out = dict(self.timed_out)
        other.prevotes, other.precommits = self.prevotes.copied(), self.precommits.copied()
        return other

    def of(self, step: VoteStep) -> StepSeen:
        return self.prevotes if step is VoteStep.PREVOTE else self.precommits


class HeightSeen:
    """One height, from the moment at which it was in progress here."""

    def __init__(self, height: int, members: ValidatorSet, began_ms: int, *, is_whole: bool) -> None:
        self.height = height
        self.members = members
        self.began_ms = began_ms  # wall time
        self.is_whole = is_whole  # not: this node was started in the middle of it
        self.rounds: dict[int, RoundSeen] = {}
        self.slots = len(members)  # the room that it takes
        self.rounds_dropped = 0
        self.triggered: int | None = None
        self.final: int | None = None
        self.decided_round: int | None = None
        self.is_synced = False
        self.offline: frozenset[Address] = frozenset()  # of those without a precommit when it became final
        self.refusals: list[tuple[int, Step, str]] = []

    def copied(self) -> HeightSeen:
        """As it is now, to be looked at in another thread."""
        other = copy(self)
        other.rounds = {number: found.copied() for number, found in self.rounds.items()}
        other.refusals = list(self.refusals)
        return other

    def voters(self) -> set[int]:
        """The indices of the members of whom any vote came, in any of the rounds that are kept."""
        steps = (step for found in self.rounds.values() for step in (found.prevotes, found.precommits))
        return set().union(*(step.voters() for step in steps))

    def round(self, number: int) -> RoundSeen | None:
        """None for one that is older than those kept."""
        found = self.rounds.get(number)
        if found is not None:
            return found
        if len(self.rounds) >= ROUNDS_MAX:
            oldest = min(self.rounds)
            if number < oldest:
                return None
            del self.rounds[oldest]
            self.rounds_dropped += 1
        self.rounds[number] = found = RoundSeen(len(self.members))
        self.slots = len(self.members) * (1 + 2 * len(self.rounds))
        return found


class Timeline:
    """The newest heights, at most HEIGHTS_MAX of them, in SLOTS_MAX of room."""

    def __init__(self, members: Callable[[], ValidatorSet], is_offline: Callable[[Address], bool]) -> None:
        """`members`: the set of the height in progress."""
        self.heights: dict[int, HeightSeen] = {}
        self._members = members
        self._is_offline = is_offline

    def on_due(self, height: int, is_due: Callable[[], bool], now: int) -> None:
        """After each input: when the trigger came to hold at this height, which is in progress. Asked until it does."""
        seen = self.heights.get(height)
        if seen is not None and seen.triggered is None and is_due():
            seen.triggered = now - seen.began_ms

    def note(self, effect: Effect, now: int) -> None:
        match effect:
            case Broadcast(message=Vote() as vote):
                self._on_vote(vote, now)
            case Broadcast(message=Proposal() as proposal):
                seen, found = self._at(proposal.height, proposal.round)
                if seen is not None and found is not None and found.proposed is None:
                    found.proposed = now - seen.began_ms
            case SetTimer(key=TimerKey(kind=TimerKind.PROPOSE, height=height, round=round), delay_ms=delay):
                seen, found = self._at(height, round)
                if seen is not None and found is not None:
                    found.due = now + delay - seen.began_ms
            case Emit(event=event):
                self._on_event(event, now)
            case _:
                pass

    def _on_event(self, event: object, now: int) -> None:
        match event:
            case HeightBegun(height=height):
                self._begin(height, now)
            case BlockFinalized():
                self._on_final(event, now)
            case SignatureRefused(height=height, round=round, step=step, why=why):
                seen = self.heights.get(height)
                if seen is not None and len(seen.refusals) < REFUSALS_MAX:
                    seen.refusals.append((round, step, why))
            case ForgerDrawn() | RoundTimedOut() | Locked() | BlockRejected() | ProposalUntimely():
                self._on_round(event, now)
            case _:
                pass

    def _on_round(
        self, event: ForgerDrawn | RoundTimedOut | Locked | BlockRejected | ProposalUntimely, now: int
    ) -> None:
        seen, found = self._at(event.height, event.round)
        if seen is None or found is None:
            return
        after = now - seen.began_ms
        match event:
            case ForgerDrawn(forger=forger):
                found.forger, found.began = forger, after
            case RoundTimedOut(step=step):
                found.timed_out[step] = after
            case Locked():
                found.locked = after
            case BlockRejected(why=why):
                found.rejected = why
            case ProposalUntimely(ahead_ms=ahead):
                found.rejected = f"its time is {ahead} ms ahead of this node's clock"

    def _begin(self, height: int, now: int) -> None:
        is_whole = bool(self.heights)
        self.heights.pop(height, None)
        self.heights[height] = HeightSeen(height, self._members(), now, is_whole=is_whole)
        while len(self.heights) > HEIGHTS_MAX or self._slots() > SLOTS_MAX:
            if len(self.heights) == 1:
                break
            del self.heights[next(iter(self.heights))]

    def _slots(self) -> int:
        return sum(seen.slots for seen in self.heights.values())

    def _on_vote(self, vote: Vote, now: int) -> None:
        seen, found = self._at(vote.height, vote.round)
        if seen is None or found is None:
            return
        index = seen.members.index.get(vote.validator)
        if index is None:
            return
        after = now - seen.began_ms
        step = found.of(vote.step)
        step.note(index, after, vote.block_id, seen.members.validators[index].stake)
        is_prevote = vote.step is VoteStep.PREVOTE and vote.block_id is not None
        if is_prevote and found.polka is None and seen.members.is_quorum(step.stakes[vote.block_id]):
            found.polka = after

    def _on_final(self, event: BlockFinalized, now: int) -> None:
        seen = self.heights.get(event.height)
        if seen is None or seen.final is not None:
            return
        seen.final = now - seen.began_ms
        seen.decided_round = event.decided_round
        seen.is_synced = event.synced
        decided = seen.rounds.get(event.decided_round)
        seen.offline = frozenset(
            one.address
            for index, one in enumerate(seen.members.validators)
            if (decided is None or decided.precommits.came(index) is None) and self._is_offline(one.address)
        )

    def _at(self, height: int, round: int) -> tuple[HeightSeen | None, RoundSeen | None]:
        seen = self.heights.get(height)
        return seen, None if seen is None else seen.round(round)
