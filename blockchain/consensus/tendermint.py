"""One height of Tendermint, as published (arXiv:1807.04938, Algorithm 1); `# L..` are the paper's line numbers.

Theory of operation. A height goes through rounds 0, 1, 2, …; each has a forger and three steps. In *propose* the
forger names a value; in *prevote* each validator says whether it could accept it; a *polka* (prevotes of more than
two thirds of the stake for one value in one round) lets it lock on that value and *precommit* it; precommits of more
than two thirds for one value decide. A lock is only left for a later polka (L28): that is the whole of safety.

This class holds the paper's variables and rules and nothing else: no keys, no clock, no blocks, only their ids. Facts
go in (`on_proposal`, `on_vote`, `on_timeout`, `start_round`), what must be done comes out as a list of actions, and
after each fact the rules are applied until none fires. When it asks for a vote the step has changed already; the vote
counts when it comes back through `on_vote`, like anybody else's (docs/protocol.md §5.4).
"""

from __future__ import annotations

from msgspec import Struct

from blockchain.consensus.votes import Added, VoteBook
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Evidence, Step, Vote, VoteStep


class Candidate(Struct, frozen=True):
    """A proposal of one round as the rules see it: its value, and what checking the block said.

    `is_timely` is the clock's opinion of a new block (protocol §4.5): it can cost it a prevote, never a lock.
    """

    block_id: Hash32
    valid_round: int
    is_valid: bool
    is_timely: bool = True


class RoundStarted(Struct, frozen=True):
    """Round `round` begins (L11). Its forger must propose: `value` again if not None (L16), else a new one (L18)."""

    round: int
    value: Hash32 | None
    valid_round: int


class CastVote(Struct, frozen=True):
    """Vote for a value, or nil (None)."""

    round: int
    step: VoteStep
    value: Hash32 | None
    polka_round: int = -1


class ScheduleTimeout(Struct, frozen=True):
    """Call `on_timeout(step, round)` after the time-out of that step and round."""

    step: Step
    round: int


class LockedOn(Struct, frozen=True):
    """Locked (L38): the value and round to be remembered until the height is decided."""

    round: int
    value: Hash32


class ValidNow(Struct, frozen=True):
    """A polka seen too late to lock on: the value to propose when one's turn comes (L42)."""

    round: int
    value: Hash32


class Decide(Struct, frozen=True):
    """The height is decided; nothing more comes out of it."""

    round: int
    value: Hash32


Action = RoundStarted | CastVote | ScheduleTimeout | LockedOn | ValidNow | Decide


class Tendermint:
    """The variables (L1–L9) and rules of one height."""

    def __init__(self, validators: ValidatorSet) -> None:
        self.validators = validators
        self.book = VoteBook(validators)
        self.proposals: dict[int, Candidate] = {}
        self.round = -1
        self.step = Step.PROPOSE
        self.locked_value: Hash32 | None = None
        self.locked_round = -1
        self.valid_value: Hash32 | None = None
        self.valid_round = -1
        self.decision: Decide | None = None
        self._scheduled: set[tuple[Step, int]] = set()  # "for the first time" of L34 and L47
        self._polkas_seen: set[int] = set()  # "for the first time" of L36

    # ------------------------------------------------------------------------------------------------ facts

    def start_round(self, round: int) -> list[Action]:
        return self._apply_rules(self._begin(round))

    def resume(self) -> list[Action]:
        """Go on in the place that the variables were restored to (protocol §5.6)."""
        actions: list[Action] = []
        if self.step is Step.PROPOSE:
            actions.append(RoundStarted(self.round, self.valid_value, self.valid_round))
            actions.append(ScheduleTimeout(Step.PROPOSE, self.round))
        return self._apply_rules(actions)

    def on_proposal(self, round: int, candidate: Candidate) -> list[Action]:
        """The proposal of a round's forger, its block checked. The first of a round counts."""
        if round in self.proposals:
            return []
        self.proposals[round] = candidate
        return self._apply_rules([])

    def on_vote(self, vote: Vote) -> tuple[Added, list[Evidence], list[Action]]:
        """A verified vote of this height, one's own included."""
        added, evidence = self.book.add(vote, self.round)
        return added, evidence, self._apply_rules([]) if added is Added.COUNTED else []

    def on_timeout(self, step: Step, round: int) -> list[Action]:
        """L57, L61, L65. One that is out of date changes nothing."""
        if round != self.round or self.decision is not None:
            return []
        if step is Step.PRECOMMIT:  # L65
            return self._apply_rules(self._begin(round + 1))
        if step is not self.step:
            return []
        if step is Step.PROPOSE:  # L57
            return self._apply_rules([self._prevote(None)])
        return self._apply_rules([self._precommit(None)])  # L61

    # ------------------------------------------------------------------------------------------------ rules

    def _apply_rules(self, actions: list[Action]) -> list[Action]:
        """Apply the rules until none fires; each firing changes the state, so that this ends."""
        while self.decision is None and self.round >= 0:
            fired = (
                self._decide()
                or self._skip()
                or self._prevote_new()
                or self._prevote_again()
                or self._follow_polka()
                or self._follow_nil_polka()
                or self._schedule_prevote_timeout()
                or self._schedule_precommit_timeout()
            )
            if not fired:
                break
            actions += fired
        return actions

    def _begin(self, round: int) -> list[Action]:  # L11
        self.round = round
        self.step = Step.PROPOSE
        return [
            RoundStarted(round, self.valid_value, self.valid_round),  # L14–L19: its forger proposes
            ScheduleTimeout(Step.PROPOSE, round),  # L21
        ]

    def _decide(self) -> list[Action]:  # L49
        for round, candidate in self.proposals.items():
            if candidate.is_valid and self.book.decided(round) == candidate.block_id:
                self.decision = Decide(round, candidate.block_id)
                return [self.decision]
        return []

    def _skip(self) -> list[Action]:  # L55
        for round in self.book.rounds_after(self.round):
            if self.validators.is_honest_minority(self.book.stake_in_round(round)):
                return self._begin(round)
        return []

    def _prevote_new(self) -> list[Action]:  # L22
        candidate = self.proposals.get(self.round)
        if self.step is not Step.PROPOSE or candidate is None or candidate.valid_round != -1:
            return []
        free = self.locked_round == -1 or self.locked_value == candidate.block_id
        if candidate.is_valid and candidate.is_timely and free:
            return [self._prevote(candidate)]  # L24
        return [self._prevote(None)]  # L26

    def _prevote_again(self) -> list[Action]:  # L28
        candidate = self.proposals.get(self.round)
        if self.step is not Step.PROPOSE or candidate is None or not 0 <= candidate.valid_round < self.round:
            return []
        if not self.book.is_polka(candidate.valid_round, candidate.block_id):
            return []
        free = self.locked_round <= candidate.valid_round or self.locked_value == candidate.block_id
        if candidate.is_valid and free:
            return [self._prevote(candidate)]  # L30
        return [self._prevote(None)]  # L32

    def _follow_polka(self) -> list[Action]:  # L36
        candidate = self.proposals.get(self.round)
        if self.step is Step.PROPOSE or candidate is None or self.round in self._polkas_seen:
            return []
        if not candidate.is_valid or not self.book.is_polka(self.round, candidate.block_id):
            return []
        self._polkas_seen.add(self.round)
        self.valid_value, self.valid_round = candidate.block_id, self.round  # L42, L43
        if self.step is not Step.PREVOTE:
            return [ValidNow(self.round, candidate.block_id)]
        self.locked_value, self.locked_round = candidate.block_id, self.round  # L38, L39
        return [LockedOn(self.round, candidate.block_id), self._precommit(candidate.block_id)]  # L40

    def _follow_nil_polka(self) -> list[Action]:  # L44
        if self.step is Step.PREVOTE and self.book.is_polka(self.round, None):
            return [self._precommit(None)]
        return []

    def _schedule_prevote_timeout(self) -> list[Action]:  # L34
        if self.step is not Step.PREVOTE:
            return []
        return self._schedule(Step.PREVOTE, self.book.of(self.round).prevotes.stake)

    def _schedule_precommit_timeout(self) -> list[Action]:  # L47
        return self._schedule(Step.PRECOMMIT, self.book.of(self.round).precommits.stake)

    def _schedule(self, step: Step, stake: int) -> list[Action]:
        if (step, self.round) in self._scheduled or not self.validators.is_quorum(stake):
            return []
        self._scheduled.add((step, self.round))
        return [ScheduleTimeout(step, self.round)]

    def _prevote(self, candidate: Candidate | None) -> CastVote:
        self.step = Step.PREVOTE
        if candidate is None:
            return CastVote(self.round, VoteStep.PREVOTE, None)
        locked = self.locked_round if self.locked_value == candidate.block_id else -1
        polka_round = max(candidate.valid_round, locked)  # protocol §5.7
        return CastVote(self.round, VoteStep.PREVOTE, candidate.block_id, polka_round)

    def _precommit(self, value: Hash32 | None) -> CastVote:
        self.step = Step.PRECOMMIT
        return CastVote(self.round, VoteStep.PRECOMMIT, value)
