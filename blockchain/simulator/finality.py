"""What honest nodes make final, looked at when they do: one block a height, one state, and all of the money there.

Theory of operation. The first honest node that makes a height final is taken at its word about the state: what the
block has changed in the store is added up here, record by record, beside the ledger's own sums (protocol §3.1 rule 3),
and its tree must have the root that the block promises. Every later one must have made the same block final with the
same changes and the same root, on top of the height before; who has lost writes may do so once more. So a wrong
state, or money from nowhere, is a complaint at the event that brings it, at whichever node.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct

from blockchain.ledger.records import ACCOUNT_PREFIX, Totals
from blockchain.primitives import codec
from blockchain.primitives.block import decode_block, header_of
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.records import RECORD_BYTES_MAX, STAKEHOLDER_PREFIX, Account, Stakeholder
from blockchain.primitives.transaction import Exchange, decode_transaction
from blockchain.seams import BlockFinalized, FinalBlock
from blockchain.simulator.disk import Disk
from blockchain.simulator.node import Node

TOTALS_KEY: Final = b"s"  # protocol §3.1

Changes = Mapping[bytes, bytes | None]


class First(Struct, frozen=True):
    """What the first honest node at a height has made final."""

    node: int
    block_id: Hash32
    changes: Changes
    root: Hash32  # of the state after it


class Finality:
    """The books of one chain, kept from what its nodes write."""

    def __init__(self, spec: ChainSpec) -> None:
        self._reward = spec.parameters.reward_per_block
        self._firsts: list[First] = []  # of height h at h - 1
        self._newest: dict[int, tuple[Disk, int]] = {}  # by node: its store, and the height that became final there
        self._held: dict[bytes, int] = {}  # what each record holds of the money
        self._sum = 0  # of it
        self._totals = Totals(minted=_minted_by(spec))

    def complaints(self, node: Node, event: BlockFinalized, suspects: frozenset[Address]) -> Iterator[str]:
        """What is wrong with what an honest node has just made final, in words; `suspects` may lose their stake."""
        height = event.height
        batch = node.store.batch_of(height)
        if batch is None or batch.block is None or batch.block.id != event.block_id:
            yield f"node {node.number} says that height {height} is final, and has not written that block"
            return
        yield from self._in_order(node, height)
        if height <= len(self._firsts):
            yield from self._again(node, event, batch.state)
            return
        for new in range(len(self._firsts) + 1, height + 1):  # several where all crashed before they said so
            written = node.store.batch_of(new)
            if written is None or written.block is None:
                yield f"node {node.number} made height {height} final, and nobody height {new}"
                return
            root = _root_of(node, new) or header_of(written.block.raw).state_root
            self._firsts.append(First(node.number, written.block.id, written.state, root))
            again = {} if written.slice is None else written.slice.records  # with block 1, those of genesis
            yield from self._at_first(written.block, root, {**again, **written.state}, suspects)

    def _in_order(self, node: Node, height: int) -> Iterator[str]:
        """On one store, heights follow each other; another store, as after lost writes, begins anew.

        Of a height that was written right before a crash nothing was said: it counts if it is on the store.
        """
        store, newest = self._newest.get(node.number, (node.store, 0))
        self._newest[node.number] = node.store, height
        unsaid = range(newest + 1, height)
        if store is node.store and (height <= newest or any(node.store.block(one) is None for one in unsaid)):
            yield f"node {node.number} made height {height} final after height {newest}"

    def _again(self, node: Node, event: BlockFinalized, changes: Changes) -> Iterator[str]:
        first = self._firsts[event.height - 1]
        others = f"nodes {node.number} and {first.node}"
        if event.block_id != first.block_id:
            yield f"{others} made different blocks final at height {event.height}"
        elif changes != first.changes:
            yield f"{others} wrote different states at height {event.height}"
        elif _root_of(node, event.height) not in (None, first.root):
            yield f"{others} have different states in memory at height {event.height}"

    def _at_first(
        self, block: FinalBlock, root: Hash32, records: Changes, suspects: frozenset[Address]
    ) -> Iterator[str]:
        height = block.height
        if header_of(block.raw).state_root != root:
            yield f"the state after block {height} does not have the root that the block promises"
        before = self._totals
        for key, value in sorted(records.items()):  # one order, however they came to be written
            holder = self._book(key, value)
            if holder is not None and holder.is_out and key[1:] not in suspects:
                yield f"block {height} punishes the honest validator {key[1:].hex()[:8]}"
        yield from self._sums(block, before)

    def _book(self, key: bytes, value: bytes | None) -> Stakeholder | None:
        """Take a changed record into the sum; returns it if it is a stakeholder's."""
        amount, holder = 0, None
        if value is None:
            pass
        elif key == TOTALS_KEY:
            self._totals = codec.decode(value, Totals, bytes_max=RECORD_BYTES_MAX)
        elif key[:1] == ACCOUNT_PREFIX:
            amount = codec.decode(value, Account, bytes_max=RECORD_BYTES_MAX).balance
        elif key[:1] == STAKEHOLDER_PREFIX:
            holder = codec.decode(value, Stakeholder, bytes_max=RECORD_BYTES_MAX)
            amount = holder.bonded + holder.waiting_amount + holder.unbonding_amount
        self._sum += amount - self._held.pop(key, 0)
        if amount:
            self._held[key] = amount
        return holder

    def _sums(self, block: FinalBlock, before: Totals) -> Iterator[str]:
        """All that was minted and not burnt is there; no more was minted than the issuer and the reward may."""
        after = self._totals
        if self._sum != after.minted - after.burnt:
            yield (
                f"after block {block.height} {after.minted} minted and {after.burnt} burnt leave "
                f"{after.minted - after.burnt}, and its records hold {self._sum}"
            )
        if after.minted < before.minted or after.burnt < before.burnt:
            yield f"block {block.height} takes back what was minted or burnt"
        if after.minted > before.minted + self._reward:  # seldom: then it takes a look into the block
            most = before.minted + self._reward + _exchanged(block.raw)
            if after.minted > most:
                yield f"block {block.height} brings what is minted to {after.minted}, where {most} may be"


def _minted_by(spec: ChainSpec) -> int:
    """What genesis gives out."""
    return sum(account.balance for account in spec.accounts) + sum(one.stake for one in spec.validators)


def _root_of(node: Node, height: int) -> Hash32 | None:
    """Of the state in memory; None where that is not the one after this height, as several came at once."""
    core = node.core
    return core.chain.state().root() if core is not None and core.chain.head.height == height else None


def _exchanged(raw: bytes) -> int:
    """What the transactions of a block mint."""
    payloads = (decode_transaction(each).payload for each in decode_block(raw).transactions)
    return sum(payload.amount for payload in payloads if isinstance(payload, Exchange))
