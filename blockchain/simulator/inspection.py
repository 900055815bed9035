"""Verification of frames in a simulated world: by the production code, and each signature once for all nodes.

Verifying is pure, so what it said of a frame or a vote at one node it says at every node at that height. What depends
on the node that asks is asked anew: votes that it holds already, answers that it has not asked for, and frames that
were of no use to the first one.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from blockchain.errors import PeerFault
from blockchain.node.core import Core
from blockchain.node.messages import Nothing, Verified, VerifiedEvidence, VerifiedVotes, cost_of, kind_of
from blockchain.node.peers import Peer
from blockchain.node.verify import verify_frame
from blockchain.primitives.vote import Vote
from blockchain.seams import PeerId

FRAMES_MAX: Final = 5_000  # that are remembered: those of a few heights of some ten nodes
FRAMES_BYTES_MAX: Final = 64_000_000  # so much of them
VOTES_MAX: Final = 20_000  # votes, the same: those of a few heights of a thousand


class Inspection:
    """Remembers the frames and votes that were verified."""

    def __init__(self) -> None:
        self._frames: dict[tuple[int, bytes], Verified] = {}
        self._frames_bytes = 0
        self._votes: dict[Vote, Vote] = {}

    def verify(self, frame: bytes, core: Core, sender: PeerId) -> Verified:
        """What a node that got this frame from a peer may take it for. Raises PeerFault.

        What one node verified and another would have dropped unseen is dropped there by its core.
        """
        place = (core.chain.height, frame)
        message = self._frames.get(place)
        if message is None:
            message = self._look(place, core, sender)
        else:
            _check_asked(message, core, sender)
        if isinstance(message, VerifiedVotes):
            return _split(message, core)
        return message

    def _look(self, place: tuple[int, bytes], core: Core, sender: PeerId) -> Verified:
        message = verify_frame(place[1], replace(core.context(sender), holds=self._votes.__contains__))
        if isinstance(message, Nothing | VerifiedEvidence):
            return message
        if len(self._frames) >= FRAMES_MAX or self._frames_bytes >= FRAMES_BYTES_MAX:
            self._frames.clear()
            self._frames_bytes = 0
        if isinstance(message, VerifiedVotes):
            message = VerifiedVotes((*self._same(message.held), *self._same(message.votes)), ahead=message.ahead)
        self._frames[place] = message
        self._frames_bytes += len(place[1])
        return message

    def _same(self, votes: tuple[Vote, ...]) -> tuple[Vote, ...]:
        """The votes as they were verified first: all nodes keep one and the same."""
        if len(self._votes) >= VOTES_MAX:
            self._votes.clear()
        remember = self._votes.setdefault
        return tuple(remember(vote, vote) for vote in votes)


def _check_asked(message: Verified, core: Core, sender: PeerId) -> None:
    """As in `verify_frame`: it is the sender's fault if this node has not asked for so much, though another had."""
    kind, cost = kind_of(message), cost_of(message)
    peer = core.peers.get(sender) or Peer(sender, "", inbound=True)
    if cost > peer.owed(kind):
        raise PeerFault("unasked", f"{kind.__name__} of {cost} where {peer.owed(kind)} was asked for")


def _split(message: VerifiedVotes, core: Core) -> VerifiedVotes:
    """Votes that this node holds are no news to it, as in `verify_frame`."""
    news: list[Vote] = []
    held: list[Vote] = []
    for vote in message.votes:
        (held if core.engine.holds(vote) else news).append(vote)
    return VerifiedVotes(tuple(news), tuple(held), message.ahead) if held else message
