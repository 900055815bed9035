"""What every actor is, and what it can reach: the node that it plays, and the world around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from random import Random
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from blockchain.consensus.height import HeightInProgress
from blockchain.consensus.lottery import vrf_alpha
from blockchain.consensus.signing import unsigned
from blockchain.node.core import Core
from blockchain.node.lookout import Caution
from blockchain.node.messages import Message, Votes, decode_frame, encode_frame
from blockchain.primitives import codec, vrf
from blockchain.primitives.block import Header, VerifiedBlock, block_id, check_body
from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.vote import Proposal, Signable, Vote, VoteStep, sign_message
from blockchain.seams import PeerId, ProveVrf, Signed, VrfProved
from blockchain.simulator.conduct import ProofAnswer, Sending, SignAnswer

if TYPE_CHECKING:
    from blockchain.simulator.node import Node
    from blockchain.simulator.world import World

HEEDLESS: Final = Caution(is_on=False)  # its core does not stop where it sees what its own key has signed elsewhere
Proposing = tuple[Proposal, VerifiedBlock]


class Puppet:
    """A running node in the hands of its actors: its core's variables, its key, and its connections."""

    def __init__(self, world: World, node: Node) -> None:
        self.world = world
        self.node = node

    @property
    def core(self) -> Core:
        core = self.node.core
        assert core is not None, "a node that is down plays nothing"
        return core

    @property
    def current(self) -> HeightInProgress:
        return self.core.engine.current

    @property
    def rng(self) -> Random:
        return self.world.rng

    @property
    def peers(self) -> list[Node]:
        return [self.world.by_id[peer] for peer in self.core.peers]

    def sign(self, message: Signable, key: PublicKey | None = None) -> Signable:
        """With the key of the height in progress, unless another of the node's is named; whatever it is."""
        held = self.node.keys[key or self.core.engine.key or next(iter(self.node.keys))]
        return sign_message(message, held, self.world.spec.hash)

    def vote(self, like: Vote, value: Hash32 | None, polka_round: int = -1) -> Vote:
        """A signed vote in the place of another one."""
        signed = self.sign(replace(unsigned(like), block_id=value, polka_round=polka_round))
        assert isinstance(signed, Vote)
        return signed

    def propose(self, like: Proposal, block: VerifiedBlock) -> Proposal:
        """A signed proposal in the place of another one, of another block."""
        signed = self.sign(replace(unsigned(like), block_id=block.id))
        assert isinstance(signed, Proposal)
        return signed

    def block(self, header: Header, like: VerifiedBlock, **body: object) -> VerifiedBlock:
        """A block with another header, and another body where it says so; body and header fit each other."""
        changed = replace(like.block, header=header, **body)
        check_body(changed, self.world.spec.hash)
        return VerifiedBlock(block_id(header, self.world.spec.hash), codec.encode(changed), changed, like.transactions)

    def sealed(self, draft: Header, like: VerifiedBlock, **body: object) -> VerifiedBlock:
        """The same, with the state root and the next set that such a block leads to: a block that is valid."""
        certificate = replace(like.block, **body).parent_certificate
        chain = self.core.chain
        state = chain.state()
        for transaction in like.transactions:
            chain.ledger.apply(state, transaction.transaction, draft.height)
        return chain._seal(draft, like.transactions, like.block.evidence, certificate, state)

    def tell(self, receivers: Iterable[Node], message: Message) -> None:
        """Send beside the core."""
        frame = encode_frame(self.world.spec.hash, message)
        for receiver in receivers:
            self.world.send(self.node, receiver, frame)

    def every(self, ms: int, action: Callable[[], None]) -> None:
        """Do something again and again while this life of the node lasts."""
        life = self.node.life

        def act() -> None:
            if self.node.life == life and self.node.core is not None:
                action()
                self.world.at(self.world.time_ms + ms, act)

        self.world.at(self.world.time_ms + ms, act)


class Actor:
    """Every hook leaves things as they are; an actor overrides those that it is about."""

    def begins(self, me: Puppet) -> None:
        """The node has started."""

    def tells(self, me: Puppet, receiver: Node, message: Message) -> Iterator[Message]:
        """What a peer is told instead of a message of the core."""
        yield message

    def proposes(self, me: Puppet, proposal: Proposal, block: VerifiedBlock) -> Proposing | None:
        """What is proposed instead; unsigned. None: nothing."""
        return proposal, block

    def votes(self, me: Puppet, vote: Vote) -> Vote | None:
        """What is voted instead; unsigned. None: nothing."""
        return vote

    def has_signed(self, me: Puppet, message: Vote | Proposal) -> None:
        """This is what the core learns that it has signed."""

    def proves(self, me: Puppet, asked: ProveVrf, proof: bytes) -> bytes | None:
        """The proof that the core gets. None: none."""
        return proof


class Hostile:
    """The conduct of a node with these actors: what one makes of a message is what the next one sees."""

    is_honest = False

    def __init__(self, actors: tuple[Actor, ...]) -> None:
        self._actors = actors

    def begins(self, world: World, node: Node) -> None:
        me = Puppet(world, node)
        for actor in self._actors:
            actor.begins(me)

    def sends(self, world: World, node: Node, peers: tuple[PeerId, ...], frame: bytes) -> Iterator[Sending]:
        me = Puppet(world, node)
        message = decode_frame(frame).message
        for receiver in (world.by_id[peer] for peer in peers):
            for told in self._told(me, receiver, message):
                yield receiver, frame if told is message else encode_frame(world.spec.hash, told), 0

    def signs(self, world: World, node: Node, message: Signable, key: PublicKey) -> SignAnswer | None:
        """Whatever it signs, the core is made to believe that it had asked for it."""
        me = Puppet(world, node)
        if not isinstance(message, Vote | Proposal):
            return Signed(me.sign(message, key))
        wanted = self._proposed(me, message) if isinstance(message, Proposal) else self._voted(me, message)
        if wanted is None:
            return None
        is_late = wanted.height != me.current.height  # other votes ended the height first: its record is over too
        if not is_late and wanted not in me.current.asked:
            me.current.asked.append(wanted)
        signed = me.sign(wanted, key)
        assert isinstance(signed, Vote | Proposal)
        for actor in self._actors:
            actor.has_signed(me, signed)
        return Signed(signed)

    def proves(self, world: World, node: Node, asked: ProveVrf) -> ProofAnswer | None:
        me = Puppet(world, node)
        alpha = vrf_alpha(world.spec.hash, asked.seed, asked.height)
        proof: bytes | None = vrf.prove(node.keys[asked.key].seed, alpha)
        for actor in self._actors:
            proof = None if proof is None else actor.proves(me, asked, proof)
        return None if proof is None else VrfProved(asked.height, asked.round, proof)

    def _told(self, me: Puppet, receiver: Node, message: Message) -> list[Message]:
        told = [message]
        for actor in self._actors:
            told = [twisted for each in told for twisted in actor.tells(me, receiver, each)]
        return told

    def _proposed(self, me: Puppet, proposal: Proposal) -> Proposal | None:
        pair: Proposing | None = (proposal, me.current.blocks[proposal.block_id])
        for actor in self._actors:
            pair = None if pair is None else actor.proposes(me, *pair)
        if pair is None:
            return None
        proposal, block = pair
        me.current.blocks[block.id] = block
        return replace(proposal, block_id=block.id)

    def _voted(self, me: Puppet, vote: Vote) -> Vote | None:
        wanted: Vote | None = vote
        for actor in self._actors:
            wanted = None if wanted is None else actor.votes(me, wanted)
        return wanted


def own_votes(me: Puppet, message: Message) -> tuple[Vote, ...]:
    """Those of a message that are of the node's own validator."""
    own = me.core.engine.validator
    return tuple(vote for vote in message.votes if vote.validator == own) if isinstance(message, Votes) else ()


def other_value(me: Puppet, vote: Vote) -> Hash32 | None:
    """Something else to vote for: nil, or of a vote for nil the round's block, or what never was one."""
    if vote.block_id is not None:
        return None
    proposal = me.current.proposals.get(vote.round)
    return Hash32(bytes(31) + bytes([vote.step])) if proposal is None else proposal.block_id


def is_prevote_for_value(vote: Vote) -> bool:
    return vote.step is VoteStep.PREVOTE and vote.block_id is not None
