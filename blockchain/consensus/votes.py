"""The vote book of one height: who voted for what in which round, and what stake stands behind it.

The first vote of a validator in a (round, step) is its vote there. A second one for another value is evidence; it
still counts for its own value, as in the paper, once more than a third of the stake voted for that value first. Else a
validator that prevotes nil to one node and v to the others could hide from that node for ever the polka for v that
they locked on. At most two values have more than a third, so that a validator has at most three votes in one place.

Votes of rounds later than the node's own are kept for one round a validator, its latest (at most two votes): enough
to skip ahead (L55), and no validator can fill the memory with rounds that never come. What is dropped comes again
with the gossip of the current height.
"""

from __future__ import annotations

from enum import Enum, auto

from blockchain.consensus.evidence import is_forgotten_lock
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import ConflictingVotes, Evidence, ForgottenLock, Vote, VoteStep


class Added(Enum):
    """What became of a vote that was handed to the book."""

    COUNTED = auto()  # though there may be evidence too: a second vote that counts for its own value
    KNOWN = auto()  # exactly this vote is here already
    CONFLICT = auto()  # the validator voted otherwise before; not counted
    TOO_EARLY = auto()  # a later vote of the validator is kept instead


class StepVotes:
    """The votes of one (round, step), with the stake behind each value."""

    def __init__(self) -> None:
        self.votes: dict[tuple[Address, Hash32 | None], Vote] = {}  # all that count
        self.firsts: dict[Address, Vote] = {}
        self.stakes: dict[Hash32 | None, int] = {}
        self.voters: dict[Hash32 | None, int] = {}  # the same as bits, by index in the set
        self.stake = 0  # of those with any vote here

    def add(self, vote: Vote, stake: int, index: int) -> None:
        if vote.validator not in self.firsts:
            self.firsts[vote.validator] = vote
            self.stake += stake
        self.votes[vote.validator, vote.block_id] = vote
        self.stakes[vote.block_id] = self.stakes.get(vote.block_id, 0) + stake
        self.voters[vote.block_id] = self.voters.get(vote.block_id, 0) | 1 << index

    def remove(self, vote: Vote, stake: int, index: int) -> None:
        """Forget a validator's only vote."""
        del self.firsts[vote.validator]
        del self.votes[vote.validator, vote.block_id]
        self.stakes[vote.block_id] -= stake
        self.voters[vote.block_id] &= ~(1 << index)
        self.stake -= stake

    def stake_for(self, block_id: Hash32 | None) -> int:
        return self.stakes.get(block_id, 0)


class RoundVotes:
    """Both steps of one round."""

    def __init__(self) -> None:
        self.prevotes = StepVotes()
        self.precommits = StepVotes()
        self.stake = 0  # of those with any vote in this round

    def voted(self, validator: Address) -> bool:
        return validator in self.prevotes.firsts or validator in self.precommits.firsts

    def add(self, vote: Vote, stake: int, index: int) -> None:
        if not self.voted(vote.validator):
            self.stake += stake
        self.of(vote.step).add(vote, stake, index)

    def remove(self, validator: Address, stake: int, index: int) -> None:
        for step in (self.prevotes, self.precommits):
            vote = step.firsts.get(validator)
            if vote is not None:
                step.remove(vote, stake, index)
        self.stake -= stake

    def of(self, step: VoteStep) -> StepVotes:
        return self.prevotes if step is VoteStep.PREVOTE else self.precommits


class VoteBook:
    """All votes of one height. Votes are of members of the set and signed: the caller has verified them."""

    def __init__(self, validators: ValidatorSet) -> None:
        self.validators = validators
        self.rounds: dict[int, RoundVotes] = {}
        self._latest: dict[Address, int] = {}  # the highest round of each validator's votes
        self._latest_stakes: dict[int, int] = {}  # the same, as stake by round
        self._locks: dict[Address, tuple[Vote, ...]] = {}  # precommits for a value; mostly one: half a list's memory
        self._polls: dict[Address, tuple[Vote, ...]] = {}  # prevotes for a value

    def of(self, round: int) -> RoundVotes:
        """The votes of a round; an empty tally where there are none (not kept)."""
        return self.rounds.get(round) or RoundVotes()

    def add(self, vote: Vote, current_round: int) -> tuple[Added, list[Evidence]]:
        """Count a vote; returns what became of it, and the evidence it makes against its validator."""
        votes = self.of(vote.round).of(vote.step)
        known = votes.votes.get((vote.validator, vote.block_id))
        if known is not None:
            return (Added.KNOWN if known.polka_round == vote.polka_round else Added.CONFLICT), []
        first = votes.firsts.get(vote.validator)
        if first is not None:
            return self._add_second(vote, votes, current_round), [ConflictingVotes(first, vote)]
        if vote.round > current_round and not self._make_room(vote, current_round):
            return Added.TOO_EARLY, []
        index = self.validators.index[vote.validator]
        stake = self.validators.validators[index].stake
        if vote.round not in self.rounds:
            self.rounds[vote.round] = RoundVotes()
        self.rounds[vote.round].add(vote, stake, index)
        self._note_latest(vote, stake)
        return Added.COUNTED, self._forgotten_locks(vote)

    def holds(self, vote: Vote) -> bool:
        """Whether the very vote is counted."""
        votes = self.rounds.get(vote.round)
        return votes is not None and votes.of(vote.step).votes.get((vote.validator, vote.block_id)) == vote

    def polka(self, round: int) -> Hash32 | None:
        """The value with prevotes of more than two thirds of the stake in `round`, if there is one (not nil)."""
        return self._quorum_value(self.of(round).prevotes)

    def is_polka(self, round: int, block_id: Hash32 | None) -> bool:
        return self.validators.is_quorum(self.of(round).prevotes.stake_for(block_id))

    def is_disputed(self, round: int, block_id: Hash32) -> bool:
        """Whether somebody honest prevoted another block than this in `round`: more than a third did, and not nil."""
        stakes = self.of(round).prevotes.stakes.items()
        return any(
            self.validators.is_honest_minority(stake) for value, stake in stakes if value not in (None, block_id)
        )

    def decided(self, round: int) -> Hash32 | None:
        """The value with precommits of more than two thirds of the stake in `round`, if there is one (not nil)."""
        return self._quorum_value(self.of(round).precommits)

    def stake_in_round(self, round: int) -> int:
        """The stake of those with any vote in `round`."""
        return self.of(round).stake

    def stake_from(self, round: int) -> int:
        """The stake of those with any vote in `round` or a later one."""
        return sum(stake for latest, stake in self._latest_stakes.items() if latest >= round)

    def rounds_after(self, round: int) -> list[int]:
        """The later rounds with votes, highest first: at most one a validator."""
        if max(self.rounds, default=-1) <= round:  # asked with each vote; mostly so
            return []
        return sorted((number for number in self.rounds if number > round), reverse=True)

    def _add_second(self, vote: Vote, votes: StepVotes, current_round: int) -> Added:
        """Votes of later rounds are kept one a step: a second one comes again when the round has come."""
        if vote.round > current_round or not self.validators.is_honest_minority(votes.stake_for(vote.block_id)):
            return Added.CONFLICT
        votes.add(vote, self.validators.stake_of(vote.validator), self.validators.index[vote.validator])
        return Added.COUNTED

    def _quorum_value(self, votes: StepVotes) -> Hash32 | None:
        for value, stake in votes.stakes.items():
            if value is not None and self.validators.is_quorum(stake):
                return value
        return None

    def _make_room(self, vote: Vote, current_round: int) -> bool:
        """Keep the votes of one later round a validator, the highest. False: this vote is of a lower one."""
        kept = self._latest.get(vote.validator, -1)
        if vote.round > kept > current_round:
            self._forget(vote.validator, kept)
        return vote.round >= kept

    def _forget(self, validator: Address, round: int) -> None:
        votes = self.rounds[round]
        votes.remove(validator, self.validators.stake_of(validator), self.validators.index[validator])
        if votes.stake == 0:
            del self.rounds[round]
        for kept in (self._locks, self._polls):
            kept[validator] = tuple(vote for vote in kept.get(validator, ()) if vote.round != round)

    def _note_latest(self, vote: Vote, stake: int) -> None:
        before = self._latest.get(vote.validator)
        if before is not None and before >= vote.round:
            return
        if before is not None:
            self._latest_stakes[before] -= stake
            if self._latest_stakes[before] == 0:
                del self._latest_stakes[before]
        self._latest[vote.validator] = vote.round
        self._latest_stakes[vote.round] = self._latest_stakes.get(vote.round, 0) + stake

    def _forgotten_locks(self, vote: Vote) -> list[Evidence]:
        """Evidence of kind (c): the lock of an earlier precommit was forgotten in a later prevote (protocol §5.8)."""
        if vote.block_id is None:  # nil locks nothing
            return []
        if vote.step is VoteStep.PRECOMMIT:
            self._locks[vote.validator] = (*self._locks.get(vote.validator, ()), vote)
            return [
                ForgottenLock(vote, later)
                for later in self._polls.get(vote.validator, ())
                if is_forgotten_lock(vote, later)
            ]
        self._polls[vote.validator] = (*self._polls.get(vote.validator, ()), vote)
        return [
            ForgottenLock(earlier, vote)
            for earlier in self._locks.get(vote.validator, ())
            if is_forgotten_lock(earlier, vote)
        ]
