"""What a client has just handed in: sent to peers before they ask for it (docs/protocol.md §8.4 rule 12).

Offer, want and answer are two hops more than the transaction alone, and whoever waits for one transaction waits for
them. A few are sent whole; of many the ids are told, so that what a peer is sent unasked stays below what it has to
take, however much clients hand in.
"""

from __future__ import annotations

from collections.abc import Sequence

from blockchain.node.gossip import Gossip
from blockchain.node.messages import FRESH_MAX, Fresh
from blockchain.node.peers import Peer
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.seams import Effect


def hand_out(gossip: Gossip, transactions: Sequence[VerifiedTransaction]) -> list[Effect]:
    """Tell each peer of these, which are in the pool, where it is not known to hold them."""
    if len(transactions) > FRESH_MAX:
        return gossip.announce(one.id for one in transactions)
    return [effect for peer in gossip.peers.values() for effect in _hand(gossip, peer, transactions)]


def _hand(gossip: Gossip, peer: Peer, transactions: Sequence[VerifiedTransaction]) -> list[Effect]:
    new = [one for one in transactions if not peer.knows(one.id)]
    if not new:
        return []
    ids = [one.id for one in new]
    if not peer.may_be_sent_fresh(len(new)):
        return gossip.offer(peer, ids)
    peer.note_known(ids)
    return [gossip.send(peer, Fresh(tuple(one.raw for one in new)))]
