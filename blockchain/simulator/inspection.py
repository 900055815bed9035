"""Verification of frames in a simulated world: by the production code, and each signature once for all nodes.

Verifying is pure, so what it said of a frame at one height it says at every node there. What depends on the node that
asks is asked anew: votes that it holds already, and frames that were of no use to whoever looked first.
"""

from __future__ import annotations

from typing import Final

from blockchain.node.core import Core
from blockchain.node.messages import Nothing, Verified, VerifiedEvidence, VerifiedVotes
from blockchain.node.verify import verify_frame
from blockchain.seams import PeerId

VERIFIED_MAX: Final = 5_000  # frames that are remembered: those of a few heights of some ten nodes


class Inspection:
    """Remembers the frames that were verified."""

    def __init__(self) -> None:
        self._verified: dict[tuple[int, bytes], Verified] = {}

    def verify(self, frame: bytes, core: Core, sender: PeerId) -> Verified:
        """What a node that got this frame from a peer may take it for. Raises PeerFault.

        What one node verified and another would have dropped unseen is dropped there by its core.
        """
        place = (core.chain.height, frame)
        message = self._verified.get(place)
        if message is None:
            return self._look(place, core, sender)
        if isinstance(message, VerifiedVotes):
            return _split(message, core)
        return message

    def _look(self, place: tuple[int, bytes], core: Core, sender: PeerId) -> Verified:
        message = verify_frame(place[1], core.context(sender))
        if isinstance(message, Nothing | VerifiedEvidence) or (isinstance(message, VerifiedVotes) and message.held):
            return message
        if len(self._verified) >= VERIFIED_MAX:
            self._verified.clear()
        self._verified[place] = message
        return message


def _split(message: VerifiedVotes, core: Core) -> VerifiedVotes:
    """Votes that this node holds are no news to it, as in `verify_frame`."""
    held = tuple(vote for vote in message.votes if core.holds(vote))
    if not held:
        return message
    return VerifiedVotes(tuple(vote for vote in message.votes if vote not in held), held)
