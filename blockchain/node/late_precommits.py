"""Precommits that came when their height was nearly over, or over: for peers from which they were kept (`apart.py`).

One of each validator and height, for two heights, by their places as bits of validators: what a peer lacks of them is a
few operations where it lacks none, however large the set is and however often it tells where it is.
"""

from __future__ import annotations

from blockchain.node.peers import Peer
from blockchain.node.rounds_held import VotePlace, place_of
from blockchain.primitives.vote import Vote


class LatePrecommits:
    """Others' newest precommits for a block, by height."""

    def __init__(self) -> None:
        self._votes: dict[int, dict[int, Vote]] = {}  # by the bit of the validator in the set of the height
        self._voters: dict[int, dict[VotePlace, int]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._votes.values()))

    def note(self, vote: Vote, bit: int) -> None:
        """It takes the place of the one of that validator and height that was here."""
        votes, voters = self._votes.setdefault(vote.height, {}), self._voters.setdefault(vote.height, {})
        before = votes.get(bit)
        if before is not None:
            left = voters.pop(place_of(before)) & ~bit
            if left:
                voters[place_of(before)] = left
        votes[bit] = vote
        voters[place_of(vote)] = voters.get(place_of(vote), 0) | bit

    def let_go(self, first: int) -> None:
        """Of all before this height."""
        for height in [height for height in self._votes if height < first]:
            del self._votes[height], self._voters[height]

    def take_for(self, peer: Peer, height: int) -> list[Vote]:
        """Those of a height that are of use to a peer, and that it may lack; they count as told now.

        No more than it may be sent before the next tick: one that goes to and fro between heights lacks them each time.
        """
        voters = self._voters.get(height, {})
        lacked = {place: peer.votes_awaited(height, place, some) for place, some in voters.items()}
        taken: list[Vote] = []
        for bit, vote in self._votes[height].items() if any(lacked.values()) else ():
            if lacked[place_of(vote)] & bit:
                if not peer.may_be_sent_vote():
                    break
                peer.take_votes(height, place_of(vote), bit)
                taken.append(vote)
        return taken
