"""Which proposals and votes of one height somebody holds: what one knows of a peer (docs/protocol.md §8.4)."""

from __future__ import annotations

from typing import Final, Self, TypeAlias

from blockchain.consensus.height import HeightInProgress
from blockchain.consensus.votes import StepVotes
from blockchain.node.messages import TALLIES_MAX, Holdings, Status, Tally
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Vote, VoteStep

VotePlace: TypeAlias = tuple[int, VoteStep, Hash32 | None]  # a round, a step and a value
PLACES_MAX: Final = 10_000  # rounds, steps and values that are remembered; then all is forgotten, and may be sent again


class RoundsHeld:
    """The rounds whose proposal is held, and the validators, by index, whose vote for a value is."""

    __slots__ = ("_proposals", "_votes")

    def __init__(self) -> None:
        self._votes: dict[VotePlace, int] = {}  # bits of validators
        self._proposals: set[int] = set()

    @classmethod
    def of_status(cls, status: Status) -> Self:
        """What a status says that its sender holds."""
        held = cls()
        held._proposals = {holding.round for holding in status.rounds if holding.has_proposal}
        for holding in status.rounds:
            for tally in holding.tallies:
                held._votes[holding.round, tally.step, tally.block_id] = int.from_bytes(tally.voters, "little")
        return held

    def voters(self, place: VotePlace) -> int:
        """The validators whose vote is held, as bits."""
        return self._votes.get(place, 0)

    def add_votes(self, place: VotePlace, voters: int) -> None:
        if len(self._votes) >= PLACES_MAX and place not in self._votes:
            self._votes = {}
        self._votes[place] = self._votes.get(place, 0) | voters

    def has_proposal(self, round: int) -> bool:
        return round in self._proposals

    def add_proposal(self, round: int) -> None:
        if len(self._proposals) >= PLACES_MAX:
            self._proposals = set()
        self._proposals.add(round)


def place_of(vote: Vote) -> VotePlace:
    return vote.round, vote.step, vote.block_id


def holdings_of(current: HeightInProgress, round: int) -> Holdings:
    """What this node holds of a round of the height in progress, as its status says it."""
    votes = current.rules.book.of(round)
    size = (len(current.validators) + 7) // 8
    tallies = (
        *_tallies(VoteStep.PREVOTE, votes.prevotes, size),
        *_tallies(VoteStep.PRECOMMIT, votes.precommits, size),
    )
    return Holdings(round, round in current.proposals, tallies)


def _tallies(step: VoteStep, votes: StepVotes, size: int) -> list[Tally]:
    """The voters of each value as `size` bytes, the values with most stake first."""
    voted = ((value, bits) for value, bits in votes.voters.items() if bits)
    ranked = sorted(voted, key=lambda tally: (-votes.stake_for(tally[0]), tally[0] or b""))[: TALLIES_MAX // 2]
    return [Tally(step, value, bits.to_bytes(size, "little")) for value, bits in ranked]
