"""Votes on their way out, put together where they need not go at once (docs/protocol.md §8.4 rule 2).

Every node passes on every vote that counts to every peer that may lack it. A frame for each costs far more than what is
in it: with 1,000 validators a node with eight peers would handle 14,000 of them a height; and of four that are all
connected each would get every vote three times. Held back for some milliseconds, votes share a frame, and those that a
peer has sent meanwhile are not sent to it at all. In a small set one's own do not wait: nobody else has them to send.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from blockchain.node.messages import VOTES_MAX
from blockchain.node.rounds_held import VotePlace, place_of
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Vote

AT_ONCE_MAX: Final = 50  # validators, up to whom a vote goes at once: nothing is gained that is worth a delay
RELAY_MS: Final = 10  # others' votes in a small set: by then most come from their voters; less than a hop of most ways
VALIDATORS_PER_MS: Final = 20  # 100: 5 ms, 1,000: 50 ms a hop, less than the way between two continents
HOLD_MS_MAX: Final = 100  # of the largest sets: several hops must fit into a time-out of a second


def hold_ms(validators: int, *, is_own: bool) -> int:
    """For how long a vote, one's own or another's, may be held back in a set of so many; 0: not at all."""
    crowded = 0 if validators <= AT_ONCE_MAX else min(validators // VALIDATORS_PER_MS, HOLD_MS_MAX)
    return crowded if is_own else max(crowded, RELAY_MS)


class HeldVotes:
    """Those that are held back: as many as one frame has room for."""

    def __init__(self) -> None:
        self._votes: list[Vote] = []

    def add(self, vote: Vote) -> bool:
        """True: the first, so that a timer has to be set."""
        self._votes.append(vote)
        return len(self._votes) == 1

    @property
    def is_full(self) -> bool:
        return len(self._votes) >= VOTES_MAX

    def take(self) -> list[Vote]:
        """All of them."""
        votes, self._votes = self._votes, []
        return votes


class Bundle:
    """Votes by their places, as bits of validators: what each of many peers lacks of many votes is a few operations.

    Those that are not of the heights of these sets are of use to nobody any more, and left out.
    """

    def __init__(self, votes: Iterable[Vote], sets: Mapping[int, ValidatorSet]) -> None:
        self.voters: dict[tuple[int, VotePlace], int] = {}  # by height and place
        self._votes: list[tuple[int, VotePlace, int, Vote]] = []
        for vote in votes:
            members = sets.get(vote.height)
            if members is not None:
                place, bit = place_of(vote), 1 << members.index[vote.validator]
                self.voters[vote.height, place] = self.voters.get((vote.height, place), 0) | bit
                self._votes.append((vote.height, place, bit, vote))

    def those(self, wanted: Iterable[tuple[int, VotePlace, int]]) -> tuple[Vote, ...]:
        """Those of these validators at each height and place, in the order in which they came."""
        voters = {(height, place): some for height, place, some in wanted}
        return tuple(vote for height, place, bit, vote in self._votes if voters.get((height, place), 0) & bit)
