"""Actors that vote as no honest validator does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from blockchain.node.messages import Message, Votes
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.vote import Proposal, Vote, VoteStep
from blockchain.simulator.byzantine.actor import (
    Actor,
    Proposing,
    Puppet,
    is_prevote_for_value,
    other_value,
    own_votes,
)

if TYPE_CHECKING:
    from blockchain.simulator.node import Node


class VotesTwice(Actor):
    """Beside each vote it signs another one in the same place, and tells everybody both (protocol §5.8 a)."""

    def has_signed(self, me: Puppet, message: Vote | Proposal) -> None:
        if isinstance(message, Vote):
            me.tell(me.peers, Votes((me.vote(message, other_value(me, message)),)))


class ShowsTwoFaces(Actor):
    """Of its own votes it shows one half of its peers the opposite, and nobody both; of its place it tells likewise."""

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        own = own_votes(me, message)
        if not isinstance(message, Votes) or not own or receiver.number % 2:
            yield message
            return
        turned = tuple(me.vote(vote, other_value(me, vote)) for vote in own if vote.height == me.current.height)
        others = tuple(vote for vote in message.votes if vote not in own)
        if turned or others:
            yield Votes((*others, *turned))


class VotesNil(Actor):
    """Whatever is proposed, it wants none of it."""

    def votes(self, me: Puppet, vote: Vote) -> Vote | None:
        return replace(vote, block_id=None, polka_round=-1)


class ForgetsLock(Actor):
    """Once it has precommitted a value, it knows of no lock: it proposes and prevotes what comes (protocol §5.8 c)."""

    def has_signed(self, me: Puppet, message: Vote | Proposal) -> None:
        if isinstance(message, Vote) and message.step is VoteStep.PRECOMMIT:
            rules = me.current.rules
            rules.locked_value, rules.locked_round = None, -1
            rules.valid_value, rules.valid_round = None, -1


class ClaimsPolka(Actor):
    """Above round 0 it says that it saw a polka for what it votes for, and proposes what never had one again."""

    def votes(self, me: Puppet, vote: Vote) -> Vote | None:
        claimed = me.current.proposals.get(vote.round)
        if is_prevote_for_value(vote):
            return replace(vote, polka_round=vote.round - 1)
        if vote.step is VoteStep.PREVOTE and claimed is not None and claimed.valid_round >= 0:
            return replace(vote, block_id=claimed.block_id, polka_round=claimed.valid_round)
        return vote

    def proposes(self, me: Puppet, proposal: Proposal, block: VerifiedBlock) -> Proposing | None:
        known = me.current.proposals
        for round in range(proposal.round - 1, -1, -1):
            earlier = known.get(round)
            if (
                proposal.valid_round < 0
                and earlier is not None
                and not me.current.rules.book.is_polka(round, earlier.block_id)
            ):
                return replace(proposal, valid_round=round), me.current.blocks[earlier.block_id]
        return proposal, block


class VotesForInvalid(Actor):
    """It prevotes and precommits a block that is wrong, where there is one, and what else its core wants."""

    def votes(self, me: Puppet, vote: Vote) -> Vote | None:
        candidate = me.current.rules.proposals.get(vote.round)
        if vote.block_id is not None or candidate is None or candidate.is_valid:
            return vote
        return replace(vote, block_id=candidate.block_id)
