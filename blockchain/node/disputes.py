"""Proposals that others must see though they have one of the round: its forger has signed two (docs/protocol.md §8.4).

Who holds the one, and hears more than a third vote for another, shows its own. That makes evidence where the other one
is held, and takes nothing while forgers are honest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from blockchain.consensus.height import HeightInProgress
from blockchain.node.peers import Peer
from blockchain.primitives.vote import Proposal


def disputed(current: HeightInProgress) -> list[Proposal]:
    """Those held at this height of whose round more than a third prevoted another block."""
    book = current.rules.book
    return [one for round, one in current.proposals.items() if book.is_disputed(round, one.block_id)]


def disputed_for(peers: Iterable[Peer], current: HeightInProgress) -> Iterator[tuple[Peer, Proposal]]:
    """For each peer at the height once, whatever it has: it says that it has a proposal of the round, and not which."""
    at_height = [peer for peer in peers if peer.height == current.height]
    for proposal in disputed(current):
        for peer in at_height:
            if not peer.was_sent_proposal(proposal.round) and peer.may_be_sent_block():
                yield peer, proposal
