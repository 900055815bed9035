"""What a node lets the verification of a message know: the picture that `verify.py` looks at."""

from __future__ import annotations

from blockchain.consensus.bft import PROPOSALS_AHEAD_MAX
from blockchain.node.peers import UNBOUNDED, Peer
from blockchain.node.rooms import Rooms
from blockchain.node.verify import VerifyContext
from blockchain.seams import PeerId


def context_of(rooms: Rooms, peer: PeerId | None) -> VerifyContext:
    """The picture at this moment; `peer` is who sent the message."""
    chain, current = rooms.chain, rooms.engine.current
    sender = None if peer is None else rooms.peers.get(peer) or Peer(peer, "", inbound=True)
    seed, height, validators = chain.seed, chain.height, chain.validators
    return VerifyContext(
        genesis_hash=chain.genesis_hash,
        height=chain.height,
        sets={chain.height: chain.validators, chain.height - 1: chain.parent_validators},
        known=chain.pool.get,
        # Draws of its own: those of the engine, and of other frames, may be made at the same time.
        forger=lambda round: chain.selection.forgers(seed, height, validators).forger(round),
        proposal=current.proposals.get,
        outlined=rooms.outlines.of,
        round_max=current.rules.round + PROPOSALS_AHEAD_MAX,
        awaited=rooms.sync.awaited_from(peer),
        holds=rooms.engine.holds,
        is_news=lambda said: rooms.announcements.is_news(said) or rooms.lookout.wants(said),
        accused_key=chain.evidence.key_of,
        left=sender.left if sender is not None else lambda _: UNBOUNDED,
        owed=sender.owed if sender is not None else lambda _: UNBOUNDED,
    )
