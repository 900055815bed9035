"""What is asked of a proposal beside its forger's turn: that it fits its block, and that the block's time has come."""

from __future__ import annotations

from blockchain.errors import InvalidBlock
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.vote import Proposal
from blockchain.seams import ProposalUntimely


def check_fit(proposal: Proposal, block: VerifiedBlock) -> None:
    """A new proposal carries its own round's block; one proposed again a block of a round ≤ its valid round (§5.2).

    Raises InvalidBlock.
    """
    header = block.header
    if proposal.valid_round == -1:
        if (header.round, header.forger) != (proposal.round, proposal.forger):
            raise InvalidBlock("round", "a new proposal carries a block of another round or forger")
    elif not header.round <= proposal.valid_round < proposal.round:
        raise InvalidBlock("round", "proposed again from a round in which it cannot have been valid")


def untimely(
    proposal: Proposal, block: VerifiedBlock, *, parent_time_ms: int, drift_ms: int, now: int
) -> ProposalUntimely | None:
    """What to say of a new block whose time is too far ahead of this node's clock (protocol §4.5); None: it is not.

    The earliest time that it can have never is: else clocks that were set back stop the chain until they catch up.
    """
    ahead = block.header.time_ms - now
    if proposal.valid_round >= 0 or ahead <= drift_ms or block.header.time_ms == parent_time_ms + 1:
        return None
    return ProposalUntimely(proposal.height, proposal.round, proposal.forger, ahead, drift_ms)
