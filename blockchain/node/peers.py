"""What this node knows of each connected peer: its place, what it holds, and how much it asks.

Everything here is bounded: a peer can make this node remember only so much (docs/protocol.md §8.1, §8.3).
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable
from typing import Final

from blockchain.node.messages import GetBlocks, GetPeers, Have, Peers, ProposedBlock, Status, Want
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Vote, VoteStep
from blockchain.seams import PeerId

KNOWN_IDS_MAX: Final = 20_000  # pending transactions that a peer is known to hold
PLACES_MAX: Final = 10_000  # rounds, steps and values of which it is kept what a peer holds, until its next status
# What a peer may ask of this node between two status ticks, about a second: ids for have and want, else messages. Far
# above what an honest one needs; what is beyond is left undone, and nothing depends on it: all is said again.
ALLOWANCES: Final[dict[type, int]] = {
    Status: 100,  # each may be answered with all that the peer says it lacks
    Have: 20_000,  # each id is a look into the store
    Want: 20_000,
    GetBlocks: 20,  # each may be 2 MiB to read and to send
    GetPeers: 5,
    Peers: 5,
    ProposedBlock: 8,  # sent to who says that it lacks them: up to 4 MiB each for a status of 100 bytes
}


class Peer:
    """One connected peer. Its holdings are those of its last status, and what was sent to it since."""

    def __init__(self, peer_id: PeerId, address: str, *, inbound: bool) -> None:
        self.id = peer_id
        self.address = address
        self.inbound = inbound
        self.status: Status | None = None
        self._votes: dict[tuple[int, VoteStep, Hash32 | None], int] = {}  # bits of validators, by place and value
        self._proposals: set[int] = set()
        self._listed: set[int] = set()  # the rounds of which the last status told
        self._asked: Counter[type] = Counter()  # since the last tick
        self._known: OrderedDict[Hash32, None] = OrderedDict()  # a dict is slow to find its first again and again

    @property
    def height(self) -> int:
        """The height in progress at the peer; 0 before its first status."""
        return 0 if self.status is None else self.status.height

    @property
    def round(self) -> int:
        return 0 if self.status is None else self.status.round

    def on_status(self, status: Status) -> None:
        self.status = status
        self._votes = {}
        self._proposals = {holding.round for holding in status.rounds if holding.has_proposal}
        self._listed = {holding.round for holding in status.rounds}
        for holding in status.rounds:
            for tally in holding.tallies:
                self._votes[holding.round, tally.step, tally.block_id] = int.from_bytes(tally.voters, "little")

    def on_tick(self) -> None:
        self._asked.clear()

    def may_ask(self, kind: type, cost: int) -> bool:
        """Whether this message is within what the peer may ask for before the next tick; counts it if so."""
        allowance = ALLOWANCES.get(kind)
        if allowance is not None and self._asked[kind] + cost > allowance:
            return False
        self._asked[kind] += cost
        return True

    def may_lack(self, round: int) -> bool:
        """Whether it is known what the peer holds of a round: it listed it, or has not come to it yet."""
        return round in self._listed or round > self.round

    def lacks(self, vote: Vote, index: int) -> bool:
        """Whether the peer may lack this vote of the validator with that index."""
        return not self._votes.get((vote.round, vote.step, vote.block_id), 0) >> index & 1

    def note_vote(self, vote: Vote, index: int) -> None:
        place = (vote.round, vote.step, vote.block_id)
        if len(self._votes) >= PLACES_MAX and place not in self._votes:
            self._votes = {}  # of a peer that sends no status; at worst it is told again what it holds
        self._votes[place] = self._votes.get(place, 0) | 1 << index

    def lacks_proposal(self, round: int) -> bool:
        return round not in self._proposals

    def note_proposal(self, round: int) -> None:
        if len(self._proposals) >= PLACES_MAX:
            self._proposals = set()
        self._proposals.add(round)

    def knows(self, transaction_id: Hash32) -> bool:
        return transaction_id in self._known

    def note_known(self, ids: Iterable[Hash32]) -> None:
        for transaction_id in ids:
            self._known[transaction_id] = None
        while len(self._known) > KNOWN_IDS_MAX:
            self._known.popitem(last=False)

    def forget(self, transaction_id: Hash32) -> None:
        """It did not send this one when asked."""
        self._known.pop(transaction_id, None)
