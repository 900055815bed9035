"""Actors that forge as no honest validator does, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from blockchain.consensus.lottery import Lottery, next_seed
from blockchain.node.messages import Message, ProposedBlock, Time, Votes
from blockchain.primitives import vrf
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Certificate, Proposal, Vote, certificate_hash
from blockchain.seams import ProveVrf
from blockchain.simulator.byzantine.actor import Actor, Proposing, Puppet

if TYPE_CHECKING:
    from blockchain.simulator.node import Node

FAR_MS: Final = 3_600_000  # an hour: no clock is trusted that is so far off


class ForgesTwice(Actor):
    """Makes two blocks of each turn, and proposes one to each half of its peers (protocol §5.8 b)."""

    def __init__(self) -> None:
        self._other: ProposedBlock | None = None

    def has_signed(self, me: Puppet, message: Vote | Proposal) -> None:
        if isinstance(message, Proposal) and message.valid_round < 0:
            block = me.current.blocks[message.block_id]
            other = me.sealed(replace(block.header, time_ms=block.header.time_ms + 1), block)
            self._other = ProposedBlock(me.propose(message, other), other.raw)

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        other = self._other
        if other is None or not isinstance(message, ProposedBlock) or receiver.number % 2:
            yield message
        else:
            yield other if _place(message) == _place(other) else message


class ForgesNothing(Actor):
    """Its turns pass; it votes as others do."""

    def proposes(self, me: Puppet, proposal: Proposal, block: VerifiedBlock) -> Proposing | None:
        return None


class SendsWrongRoots(Actor):
    """Its blocks promise another state than they lead to."""

    def proposes(self, me: Puppet, proposal: Proposal, block: VerifiedBlock) -> Proposing | None:
        if proposal.valid_round >= 0:
            return proposal, block
        root = block.header.state_root
        return proposal, me.block(replace(block.header, state_root=Hash32(bytes([root[0] ^ 1]) + root[1:])), block)


class WithholdsProof(Actor):
    """Proves, and so forges, only where its output makes it the first forger of the next height too (protocol §7.4)."""

    def proves(self, me: Puppet, asked: ProveVrf, proof: bytes) -> bytes | None:
        chain = me.core.chain
        seed = next_seed(chain.genesis_hash, asked.seed, vrf.output(proof))
        following = Lottery(chain.genesis_hash, seed, asked.height + 1, chain.validators)
        return proof if following.forger(0) == me.core.engine.validator else None


class WarpsTime(Actor):
    """Its blocks are of the future, within what others bear, beyond it, or by an hour; so is the time that it tells."""

    def proposes(self, me: Puppet, proposal: Proposal, block: VerifiedBlock) -> Proposing | None:
        if proposal.valid_round >= 0:
            return proposal, block
        drift_ms = me.world.spec.parameters.clock_drift_ms
        ahead_ms = me.rng.choice((drift_ms // 2, 2 * drift_ms, FAR_MS))
        return proposal, me.sealed(replace(block.header, time_ms=block.header.time_ms + ahead_ms), block)

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        yield replace(message, time_ms=message.time_ms + FAR_MS) if isinstance(message, Time) else message


class LeavesOutPrecommits(Actor):
    """Its blocks certify their parent with the fewest precommits of others that do, and it passes on no vote."""

    def proposes(self, me: Puppet, proposal: Proposal, block: VerifiedBlock) -> Proposing | None:
        held = block.block.parent_certificate
        if proposal.valid_round >= 0 or held.height == 0:
            return proposal, block
        least = _least(me, held)
        draft = replace(block.header, parent_certificate_hash=certificate_hash(least, me.world.spec.hash))
        return proposal, me.sealed(draft, block, parent_certificate=least)

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        if not isinstance(message, Votes):
            yield message
            return
        own = tuple(vote for vote in message.votes if vote.validator == me.core.engine.validator)
        if own:
            yield Votes(own)


def _least(me: Puppet, held: Certificate) -> Certificate:
    """A certificate of as few precommits as can be: its own, and those of the largest stakes."""
    members = me.core.chain.parent_validators
    own = me.core.engine.validator
    ranks = [(member.address != own, -member.stake, index) for index, member in enumerate(members.validators)]
    entries = sorted(held.precommits, key=lambda entry: ranks[entry.index])
    kept = []
    stake = 0
    for entry in entries:
        if members.is_quorum(stake):
            break
        kept.append(entry)
        stake += members.validators[entry.index].stake
    return replace(held, precommits=tuple(sorted(kept, key=lambda entry: entry.index)))


def _place(message: ProposedBlock) -> tuple[int, int, bytes]:
    return message.proposal.height, message.proposal.round, message.proposal.forger
