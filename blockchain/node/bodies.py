"""What a node shows of blocks of the height in progress: outlines, and the transactions that their ids stand for.

Whoever is told of a block by ids may ask for what they stand for. So that is kept beside the pool, whatever this
evicts: until the height is final, and of the final block until the next one is proposed, for who is slower
(docs/protocol.md §5.6, §8.4). No more blocks than the engine keeps, and the head.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final

from blockchain.consensus.bft import BftEngine
from blockchain.node.chain import Chain
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.outline import outline_of
from blockchain.primitives.transaction import VerifiedTransaction

OUTLINED_MIN: Final = 100  # transactions, some 16 KB: a smaller block goes whole, and nobody has to ask for any of it


class Bodies:
    """Reads the chain's pool and the engine's blocks; `outlined_min`: a block of fewer transactions goes whole."""

    def __init__(self, chain: Chain, engine: BftEngine, outlined_min: int) -> None:
        self._chain = chain
        self._engine = engine
        self._outlined_min = outlined_min
        self._of_blocks: dict[Hash32, dict[Hash32, VerifiedTransaction]] = {}
        self._outlines: tuple[Hash32, dict[int, bytes]] = (Hash32(b""), {})  # of the newest block, by `news_ms`

    def get(self, transaction_id: Hash32) -> VerifiedTransaction | None:
        return self._chain.pool.get(transaction_id) or self._in_blocks(transaction_id)

    def raws(self, ids: Iterable[Hash32]) -> list[bytes]:
        """The bytes of those that are here."""
        pending, in_blocks = self._chain.pool.get, self._in_blocks
        return [one.raw for each in ids if (one := pending(each) or in_blocks(each)) is not None]

    def _in_blocks(self, transaction_id: Hash32) -> VerifiedTransaction | None:
        blocks = self._of_blocks.values()
        return next((held[transaction_id] for held in blocks if transaction_id in held), None)

    def outline(self, block: VerifiedBlock, news_ms: int, now: int) -> bytes:
        """What a peer is sent of a block at first; it may lack what came here in the last `news_ms`.

        Ids for what has been in the pool for longer, where there is much of it. What is not in this pool others hardly
        have more: it goes along.
        """
        if len(block.transactions) < self._outlined_min:
            return block.raw
        self._hold(block)
        if self._outlines[0] != block.id:
            self._outlines = (block.id, {})
        made = self._outlines[1]
        if news_ms not in made:
            made[news_ms] = outline_of(block, partial(self._was_here, now - news_ms))
        return made[news_ms]

    def _was_here(self, at_ms: int, transaction_id: Hash32) -> bool:
        """Whether it is in the pool, and was already then."""
        received_ms = self._chain.pool.received_ms(transaction_id)
        return received_ms is not None and received_ms <= at_ms

    def let_go(self) -> None:
        """Of what is of no use any more."""
        self._of_blocks = self._still_of_use()

    def _hold(self, block: VerifiedBlock) -> None:
        if block.id not in self._of_blocks:
            held = {verified.id: verified for verified in block.transactions}
            self._of_blocks = {**self._still_of_use(), block.id: held}

    def _still_of_use(self) -> dict[Hash32, dict[Hash32, VerifiedTransaction]]:
        needed = {*self._engine.current.blocks, self._chain.head.id}
        return {block_id: held for block_id, held in self._of_blocks.items() if block_id in needed}
