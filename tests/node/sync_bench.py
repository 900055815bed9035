"""A node at some height of a chain whose blocks the test holds, and peers that tell what the test lets them tell."""

from __future__ import annotations

from functools import cache
from typing import Any

from blockchain.consensus.bft import BftEngine
from blockchain.node.connected import Connected
from blockchain.node.messages import GetBlocks, Status, VerifiedBlocks, decode_frame
from blockchain.node.peers import Peer
from blockchain.node.sync import Sync
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.vote import Certificate, Step
from blockchain.seams import Effect, PeerId, Send, SetTimer, TimerKey, TimerKind
from tests.node.one_chain import NOW, Node, spec_with

LENGTH = 5
ONE, TWO = PeerId(b"1" * 32), PeerId(b"2" * 32)


class Bench:
    """A node at `height` blocks of a chain of LENGTH, and peers that tell what the test lets them tell."""

    def __init__(
        self,
        blocks: int = 0,
        peers: tuple[PeerId, ...] = (ONE,),
        length: int = LENGTH,
        chain: tuple[Node, list[VerifiedBlock], list[Certificate]] | None = None,
    ) -> None:
        """`chain`: another one of `length` blocks than the usual."""
        self.source, self.blocks, self.certificates = source(length) if chain is None else chain
        self.node = Node(self.source.spec)
        for block, certificate in zip(self.blocks[:blocks], self.certificates, strict=False):
            self.node.perform(self.node.chain.import_block(block, certificate, NOW))
        own = self.node.chain
        engine = BftEngine(own, own.selection.forgers, own.genesis_hash, own.spec.parameters, frozenset())
        self.peers = Connected(own.genesis_hash)
        self.sync = Sync(own, engine, self.peers, self.node.store)
        for peer in peers:
            self.tell(peer, length + 1)
        self.now = NOW

    @property
    def height(self) -> int:
        return self.node.chain.head.height

    def tell(self, peer: PeerId, height: int) -> None:
        """A peer's status, as the core notes it."""
        known = self.peers.setdefault(peer, Peer(peer, "", inbound=True))
        known.on_status(Status(height, 0, Step.PROPOSE, ()))

    def tick(self, times: int = 1) -> list[Effect]:
        """So many seconds."""
        effects: list[Effect] = []
        for _ in range(times):
            self.now += 1_000
            effects += self.sync.on_tick(self.now)
        return effects

    def answer(
        self,
        first: int,
        last: int,
        *,
        peer: PeerId = ONE,
        certificate: Certificate | None = None,
        changed: dict[int, VerifiedBlock] | None = None,
    ) -> list[Effect]:
        """Blocks first to last, some of them others, with the last one's certificate unless another is given."""
        chosen = [(changed or {}).get(height, self.blocks[height - 1]) for height in range(first, last + 1)]
        seal = self.certificates[last - 1] if certificate is None else certificate
        return self.give(VerifiedBlocks(first, tuple(chosen), seal), peer)

    def give(self, message: VerifiedBlocks, peer: PeerId = ONE) -> list[Effect]:
        """An answer, and all that follows from it."""
        effects = self.node.perform(self.sync.on_blocks(peer, message, self.now))
        waits = SetTimer(TimerKey(TimerKind.SYNC), 0)
        while effects.count(waits):
            effects.remove(waits)
            effects += self.node.perform(self.sync.advance(self.now))
        return effects


@cache
def source(length: int) -> tuple[Node, list[VerifiedBlock], list[Certificate]]:
    node = Node(spec_with())
    blocks, certificates = [], []
    for nonce in range(length):
        blocks.append(node.grow(node.pay("a", nonce)))
        certificates.append(node.chain.head.certificate)
    return node, blocks, certificates


def asked(effects: list[Effect]) -> list[tuple[PeerId, int]]:
    """Of whom a range was asked, and from which height on."""
    return [(peer, first) for peer, first, _ in requests(effects)]


def kinds(effects: list[Effect]) -> set[Any]:
    return {type(effect) for effect in effects}


def requests(effects: list[Effect]) -> list[tuple[PeerId, int, int]]:
    """Of whom a range was asked, its first height, and of how many blocks."""
    sends = [effect for effect in effects if isinstance(effect, Send)]
    messages = [(send.peers[0], decode_frame(send.frame).message) for send in sends]
    return [(peer, message.first, message.count) for peer, message in messages if isinstance(message, GetBlocks)]
