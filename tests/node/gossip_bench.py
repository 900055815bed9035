"""A node at height 1 that follows, peers at its height, and what is sent to them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from blockchain.consensus.bft import BftEngine
from blockchain.node.bodies import OUTLINED_MIN, Bodies
from blockchain.node.connected import Connected
from blockchain.node.gossip import Gossip
from blockchain.node.messages import (
    Holdings,
    Message,
    Status,
    decode_frame,
)
from blockchain.node.peers import Peer
from blockchain.node.relay import Relay
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.vote import Proposal, Step, Vote
from blockchain.seams import (
    Broadcast,
    Effect,
    PeerId,
    ProposalReceived,
    Send,
    Started,
    TimerFired,
    TimerKey,
    TimerKind,
    VoteReceived,
)
from tests.node.one_chain import KEYS, NOW, Node, spec_with
from tests.samples import PRECOMMIT, PREVOTE, signed, vote

ONE, TWO, THREE = (PeerId(bytes([number]) * 32) for number in (1, 2, 3))
M = TypeVar("M", bound=Message)


class Bench:
    """A node at height 1 of three validators, that follows without voting, and peers at its height."""

    def __init__(self, *peers: PeerId, node: Node | None = None) -> None:
        self.node = Node(spec_with()) if node is None else node
        chain = self.node.chain
        self.engine = BftEngine(chain, chain.selection.forgers, chain.genesis_hash, chain.spec.parameters, frozenset())
        self.engine.handle(Started(), NOW)
        self.peers = Connected(chain.genesis_hash)
        bodies = Bodies(chain, self.engine, OUTLINED_MIN)
        self.gossip = Gossip(chain, self.engine, self.peers, bodies)
        self.relay = Relay(chain, self.peers, bodies)
        for peer in peers:
            self.tell(peer)

    def tell(self, peer: PeerId, *holdings: Holdings, height: int = 1, round: int = 0) -> Peer:
        known = self.peers.setdefault(peer, Peer(peer, "", inbound=True))
        known.on_status(Status(height, round, Step.PROPOSE, holdings))
        return known

    def vote(self, who: int, step: object, value: Hash32 | None, round: int = 0, height: int = 1) -> Vote:
        assert step in (PREVOTE, PRECOMMIT)
        kind = PREVOTE if step is PREVOTE else PRECOMMIT
        return vote(KEYS[who], height, kind, value, round=round, genesis_hash=self.node.spec.hash)

    def hold(self, *votes: Vote) -> None:
        for each in votes:
            self.engine.handle(VoteReceived(each), NOW)

    def spread(self, *votes: Vote) -> list[Effect]:
        """What leaves of them, now or when the timer fires."""
        now = [effect for each in votes for effect in self.gossip.broadcast(Broadcast(each), NOW)]
        return [*now, *self.gossip.spread_votes()]

    def propose(self) -> tuple[Proposal, VerifiedBlock]:
        """The proposal of round 0, held by the engine."""
        self.node.add(self.node.pay("a", 0))
        block = self.node.build()
        unsigned = Proposal(1, 0, -1, block.id, Address(self.node.forger().public_key))
        proposal = signed(unsigned, self.node.forger(), self.node.spec.hash)
        self.engine.handle(ProposalReceived(proposal, block), NOW)
        return proposal, block

    def to_round(self, round: int) -> None:
        for number in range(self.engine.current.rules.round, round):
            self.engine.handle(TimerFired(TimerKey(TimerKind.PRECOMMIT, 1, number)), NOW)


def sent(effects: Iterable[Effect], kind: type[M]) -> list[tuple[tuple[PeerId, ...], M]]:
    """To whom each message of this kind went."""
    sends = [effect for effect in effects if isinstance(effect, Send)]
    messages = [(send.peers, decode_frame(send.frame).message) for send in sends]
    return [(peers, message) for peers, message in messages if isinstance(message, kind)]
