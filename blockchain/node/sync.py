"""Block sync: how a node that is behind catches up (docs/protocol.md §8.7).

It asks one peer at a time for a range; in a range each block's body proves the one before it, and the last comes with
its own certificate. Every certificate is verified against the set already trusted, and every block applied in full. A
peer that serves what proves nothing is dropped and the range asked of another; a block that more than two thirds
signed and that is wrong all the same stops the node: then the rules differ, or the validators have gone bad.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from blockchain.consensus.bft import BftEngine
from blockchain.consensus.fork import effects_of
from blockchain.errors import ForkFound, InvalidBlock, InvalidCertificate
from blockchain.node.chain import Chain
from blockchain.node.gossip import Gossip
from blockchain.node.messages import BLOCKS_MAX, Blocks, GetBlocks, VerifiedBlocks
from blockchain.node.peers import Peer
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX, VerifiedBlock
from blockchain.primitives.vote import Certificate
from blockchain.seams import Effect, Emit, Halt, Halted, PeerId, Penalize, Store, SyncProgressed

REPLY_BYTES_MAX: Final = 2 * 1024 * 1024  # a range is cut where it would grow larger, after one block at least
ANSWER_TICKS: Final = 5  # status ticks that a peer has to answer
REST_TICKS: Final = 10  # for which a peer that did not help is left alone


class Request(Struct, frozen=True):
    peer: PeerId
    first: int
    tick: int


class Sync:
    """At most one request is under way. Ticks are those of the status timer, about a second each."""

    def __init__(self, chain: Chain, engine: BftEngine, gossip: Gossip, store: Store) -> None:
        self._chain = chain
        self._engine = engine
        self._gossip = gossip
        self._store = store
        self._tick = 0
        self._request: Request | None = None
        self._count = BLOCKS_MAX  # to ask for: fewer after an answer that did not come, since a slow line may be why
        self._resting: dict[PeerId, int] = {}  # until which tick
        self._asked: dict[PeerId, int] = {}  # connected peers, and in which tick they were asked last
        self._failed: set[PeerId] = set()  # connected peers whose last answer was none, or bad
        self._is_stopped = False  # more than two thirds signed what is wrong: others would only tell the same
        self._served: set[PeerId] = set()  # connected peers whose last answer was good

    @property
    def best_height(self) -> int:
        """The height in progress of the furthest peer, of those that can show it where there are any; 0 without peers.

        A peer may say what it likes. One that did not answer as it promised is not believed until it does.
        """
        peers = self._gossip.peers.values()
        believed = [peer.height for peer in peers if peer.id not in self._failed]
        return max(believed or [peer.height for peer in peers], default=0)

    @property
    def is_syncing(self) -> bool:
        """More than one block behind the furthest peer."""
        return self.best_height > self._chain.height + 1

    def awaited_from(self, peer: PeerId | None) -> int:
        """The first height of the range that this peer was asked for and has not answered; 0: none."""
        request = self._request
        return request.first if request is not None and request.peer == peer else 0

    def on_tick(self) -> list[Effect]:
        """Give up on a peer that does not answer; ask when behind at all."""
        self._tick += 1
        self._resting = {peer: until for peer, until in self._resting.items() if until > self._tick}
        request = self._request
        if request is not None and request.tick + ANSWER_TICKS <= self._tick:
            self._count = max(self._count // 4, 1)
            self._let_rest(request.peer)
            self._request = None
        return self._ask(behind_min=1)

    def on_status(self) -> list[Effect]:
        """A peer told its height: ask at once when that is more than the block that is just being decided."""
        return self._ask(behind_min=2)

    def on_disconnected(self, peer: PeerId) -> None:
        if self._request is not None and self._request.peer == peer:
            self._request = None
        self._asked.pop(peer, None)
        self._failed.discard(peer)
        self._served.discard(peer)

    def serve(self, peer: Peer, asked: GetBlocks) -> Effect:
        """Consecutive final blocks from the store, with the certificate of the last."""
        raws: list[bytes] = []
        last = b""
        size = 0
        for height in range(max(asked.first, 1), min(asked.first + asked.count, self._chain.height)):
            block = self._store.block(height)
            if block is None or (raws and size + len(block.raw) > REPLY_BYTES_MAX):
                break
            raws.append(block.raw)
            size += len(block.raw)
            last = block.certificate
        certificate = codec.decode(last, Certificate, bytes_max=BLOCK_BYTES_MAX) if raws else None
        return self._gossip.send(peer, Blocks(asked.first, tuple(raws), certificate))

    def on_blocks(self, peer: PeerId, message: VerifiedBlocks, now: int) -> list[Effect]:
        """Take over what is proved; the caller tells the engine when the head has moved."""
        request = self._request
        if request is None or request.peer != peer or request.first != message.first:
            return []  # an answer that came too late
        self._request = None
        if not message.blocks:
            self._let_rest(peer)
            return self._ask(behind_min=1)
        effects: list[Effect] = []
        for position, block in enumerate(message.blocks):
            if message.first + position < self._chain.height:
                continue  # decided meanwhile
            following = message.blocks[position + 1 : position + 2]
            seal = following[0].block.parent_certificate if following else message.certificate
            try:
                effects.extend(self._take(peer, block, seal, now))
            except InvalidCertificate as error:
                self._let_rest(peer)
                return [*effects, Penalize(peer, "bad_certificate", str(error)), *self._ask(behind_min=1)]
            except ForkFound as fork:
                self._is_stopped = True
                return [*effects, *effects_of(fork)]
            except InvalidBlock as error:
                why = f"block {block.header.height} is signed by more than two thirds of the stake, and wrong: {error}"
                self._is_stopped = True
                return [*effects, Emit(Halted(why)), Halt(why)]
        self._failed.discard(peer)
        self._served.add(peer)
        self._count = min(self._count * 2, BLOCKS_MAX)
        return [*effects, *self._ask(behind_min=1)]

    def _take(self, peer: PeerId, block: VerifiedBlock, seal: Certificate | None, now: int) -> list[Effect]:
        if seal is None:
            raise InvalidCertificate("there is none")
        if block.header.height != self._chain.height:
            raise InvalidCertificate(f"block {block.header.height} where {self._chain.height} was asked for")
        self._engine.verify_seal(block, seal, self._chain.validators)
        effects = self._chain.import_block(block, seal, now)
        return [*effects, Emit(SyncProgressed(block.header.height, self.best_height - 1, peer))]

    def _ask(self, behind_min: int) -> list[Effect]:
        """Ask one peer for what comes next: one that served before, else the one that was not asked for longest.

        Not the one that says it is furthest: a few peers that say so and never answer would take every turn.
        """
        if self._request is not None or self._is_stopped:
            return []
        ahead = [
            peer
            for peer in self._gossip.peers.values()
            if peer.height >= self._chain.height + behind_min and peer.id not in self._resting
        ]
        if not ahead:
            return []
        peer = max(ahead, key=self._rank)
        self._request = Request(peer.id, self._chain.height, self._tick)
        self._asked[peer.id] = self._tick
        return [self._gossip.send(peer, GetBlocks(self._chain.height, self._count))]

    def _rank(self, peer: Peer) -> tuple[bool, int, int, PeerId]:
        return peer.id in self._served, -self._asked.get(peer.id, -1), peer.height, peer.id

    def _let_rest(self, peer: PeerId) -> None:
        self._resting[peer] = self._tick + REST_TICKS
        self._failed.add(peer)
        self._served.discard(peer)
