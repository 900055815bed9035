"""The peers that are connected, and the way to them: what leaves for a peer is put to its account first."""

from __future__ import annotations

from blockchain.node.messages import Message, encode_frame
from blockchain.node.peers import Peer
from blockchain.primitives.crypto import Hash32
from blockchain.seams import Effect, PeerId, Send


class Connected(dict[PeerId, Peer]):
    """The peers of a node on the chain of this genesis, in the order in which they came."""

    def __init__(self, genesis_hash: Hash32) -> None:
        super().__init__()
        self._genesis_hash = genesis_hash

    def send(self, peer: Peer, message: Message) -> Send:
        """To one, which need not be connected any more: then it goes nowhere."""
        peer.note_sent(message)
        return Send((peer.id,), encode_frame(self._genesis_hash, message))

    def send_all(self, message: Message, but: PeerId | None = None) -> list[Effect]:
        """To each, but for one; nothing where there is nobody."""
        ids = tuple(peer_id for peer_id in self if peer_id != but)
        for peer_id in ids:
            self[peer_id].note_sent(message)
        return [Send(ids, encode_frame(self._genesis_hash, message))] if ids else []
