"""Proposals that others must see though they have one of the round: its forger has signed two (docs/protocol.md §8.4).

Who holds the one, and hears more than a third vote for another, shows its own. That makes evidence where the other one
is held, and takes nothing while forgers are honest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blockchain.consensus.height import HeightInProgress
from blockchain.primitives.vote import Proposal
from blockchain.seams import Effect

if TYPE_CHECKING:
    from blockchain.node.gossip import Gossip


def show_disputed(gossip: Gossip, current: HeightInProgress, now: int) -> list[Effect]:
    """To each peer at the height once, whatever it has: it says that it has a proposal of the round, and not which."""
    return [
        gossip.send_proposal(peer, proposal, now)
        for proposal in disputed(current)
        for peer in gossip.peers.values()
        if peer.height == current.height and not peer.was_sent_proposal(proposal.round) and peer.may_be_sent_block()
    ]


def disputed(current: HeightInProgress) -> list[Proposal]:
    """Those held at this height of whose round more than a third prevoted another block."""
    book = current.rules.book
    return [one for round, one in current.proposals.items() if book.is_disputed(round, one.block_id)]
