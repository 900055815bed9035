"""Proposals whose blocks came as outlines, and how these are made whole (docs/protocol.md §8.4).

A proposal of many transactions comes with their ids. What this node holds it puts in itself; what is missing it asks
of the first two that told of the block, so that one who withholds it holds nobody up. Whoever told of a block sends it
whole when this node still says, a second or two later, that it has no proposal of the round: so nothing is tried again
here, and a half of a block may be let go for another.

Nothing counts before the block is whole: until then neither the engine nor any peer hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from blockchain.consensus.bft import PROPOSALS_AHEAD_MAX, BftEngine
from blockchain.consensus.evidence import contradicts
from blockchain.node.bodies import Bodies
from blockchain.node.chain import Chain
from blockchain.node.messages import VerifiedOutline, VerifiedProposal
from blockchain.node.peers import Peer
from blockchain.node.relay import Relay
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX, VerifiedBlock
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.outline import filled
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.primitives.vote import ConflictingProposals, Proposal
from blockchain.seams import Effect, OffenceSeen, PeerId, Penalize, ProposalReceived

HALVES_MAX: Final = PROPOSALS_AHEAD_MAX + 2  # one a round: that in progress, those ahead, and one that is past
ASKED_MAX: Final = 2  # peers, for the transactions of one block


class _Half:
    """A block that is not whole yet. What was found stays here, whatever the pool evicts meanwhile."""

    def __init__(self, told: VerifiedOutline, teller: PeerId) -> None:
        self.told = told
        self.teller = teller  # the first
        self.missing = dict.fromkeys(told.ids)
        self.asked: set[PeerId] = set()
        self._found: dict[Hash32, VerifiedTransaction] = {}

    def put(self, verified: VerifiedTransaction) -> None:
        """One that is missing."""
        del self.missing[verified.id]
        self._found[verified.id] = verified

    def look_in(self, get: Callable[[Hash32], VerifiedTransaction | None]) -> None:
        """Put in whatever is there."""
        found = {each: held for each in self.missing if (held := get(each)) is not None}
        self._found.update(found)
        if len(found) == len(self.missing):
            self.missing = {}
        elif found:
            self.missing = {each: None for each in self.missing if each not in found}

    def block(self) -> VerifiedBlock:
        """Where nothing is missing any more."""
        transactions = tuple(self._found[each] for each in self.told.ids)
        block = filled(self.told.outline, [verified.raw for verified in transactions])
        return VerifiedBlock(Hash32(self.told.proposal.block_id), codec.encode(block), block, transactions)


class Outlines:
    """The halves of the height in progress, by round: at most HALVES_MAX, of some 15 MB each."""

    def __init__(self, chain: Chain, engine: BftEngine, relay: Relay, bodies: Bodies) -> None:
        self._chain = chain
        self._engine = engine
        self._relay = relay
        self._bodies = bodies
        self._halves: dict[int, _Half] = {}
        self._whole: list[ProposalReceived] = []

    def of(self, round: int) -> VerifiedOutline | None:
        """What is held of a round. Any thread may call it."""
        half = self._halves.get(round)
        return None if half is None else half.told

    def take_whole(self) -> list[ProposalReceived]:
        """The proposals whose blocks became whole since the last call."""
        whole, self._whole = self._whole, []
        return whole

    def on_told(self, peer: Peer, told: VerifiedProposal | VerifiedOutline) -> list[Effect]:
        """A peer told of a proposal, with its whole block or an outline of it."""
        if told.proposal.height != self._engine.current.height:
            return []  # it ended while this was verified: held against what is here, it would accuse somebody honest
        self._let_go()
        effects = self._accuse(told.proposal)
        if isinstance(told, VerifiedProposal):
            self._whole.append(ProposalReceived(told.proposal, told.block, peer.id))
            return effects
        return [*effects, *self._on_outlined(peer, told)]

    def _accuse(self, proposal: Proposal) -> list[Effect]:
        """A forger that tells of two blocks in one round, of one by its outline alone, has signed both (§5.8 b)."""
        half = self._halves.get(proposal.round)
        if half is None:
            return []
        evidence = ConflictingProposals(half.told.proposal, proposal)
        return [OffenceSeen(evidence)] if contradicts(evidence) else []

    def _on_outlined(self, peer: Peer, told: VerifiedOutline) -> list[Effect]:
        """Make the block whole, or ask for what is missing."""
        proposal, current = told.proposal, self._engine.current
        is_over = proposal.height != current.height or proposal.round in current.proposals
        if is_over or current.is_too_old(proposal.round):
            return []
        block = current.blocks.get(Hash32(proposal.block_id))
        if block is not None:  # it was proposed before
            self._whole.append(ProposalReceived(proposal, block, peer.id))
            return []
        half = self._half_of(told, peer.id)
        if told.bodies:
            half.look_in({verified.id: verified for verified in told.bodies}.get)
        half.look_in(self._chain.pool.get)
        if half.missing:
            half.look_in(self._bodies.get)
        return self._ask(peer, half) if half.missing else self._complete(half)

    def on_bodies(self, came: Iterable[VerifiedTransaction]) -> list[Effect]:
        """Put transactions that a peer sent where they are missing; they are for the pool as well."""
        self._let_go()
        halves = tuple(self._halves.values())
        for verified in came:
            for half in halves:
                if verified.id in half.missing:
                    half.put(verified)
        return [effect for half in halves if not half.missing for effect in self._complete(half)]

    def _half_of(self, told: VerifiedOutline, teller: PeerId) -> _Half:
        """The half of the round; another proposal there takes its place, since it may be the one that others have."""
        round = told.proposal.round
        half = self._halves.get(round)
        if half is None or half.told.proposal != told.proposal:
            half = _Half(told, teller)
            self._halves[round] = half
            while len(self._halves) > HALVES_MAX:
                del self._halves[min(self._halves)]
        elif len(told.raw) > len(half.told.raw):
            half.told = told  # so that nobody can have the same outline looked at again with one transaction more
        return half

    def _ask(self, peer: Peer, half: _Half) -> list[Effect]:
        if len(half.asked) >= ASKED_MAX or peer.id in half.asked:
            return []
        half.asked.add(peer.id)
        return self._relay.fetch(peer, tuple(half.missing))

    def _complete(self, half: _Half) -> list[Effect]:
        """It is whole. One that is too long is none: who told of it had never checked it."""
        self._halves.pop(half.told.proposal.round, None)
        block = half.block()
        if len(block.raw) > BLOCK_BYTES_MAX:
            why = f"the outline of a block of {len(block.raw)} bytes, more than the {BLOCK_BYTES_MAX} allowed"
            return [Penalize(half.teller, "malformed", why)]
        self._whole.append(ProposalReceived(half.told.proposal, block, half.teller))
        return []

    def _let_go(self) -> None:
        """Of what is over: the height, or the round, since its proposal came whole."""
        current = self._engine.current
        over = [
            round
            for round, half in self._halves.items()
            if half.told.proposal.height != current.height or round in current.proposals
        ]
        for round in over:
            del self._halves[round]
