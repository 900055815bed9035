"""Which proposals and votes of one height somebody holds: what one knows of a peer (docs/protocol.md §8.4)."""

from __future__ import annotations

from typing import Final, Self, TypeAlias

from blockchain.node.messages import Status
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
