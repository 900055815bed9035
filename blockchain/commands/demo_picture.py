"""What the demo sees of its nodes, whether they agree, and the table it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from blockchain.client import Client
from blockchain.commands.text import count_text, short_address, short_id, table
from blockchain.demo_chain import demo_names
from blockchain.primitives.address import format_address

BLOCKS: Final = 3  # seven transactions in twos
TRANSACTIONS_A_BLOCK: Final = 2
PENDING: Final = 1


@dataclass(frozen=True, slots=True)
class BlockPicture:
    id: str
    height: int
    transactions: int
    forger: str


@dataclass(frozen=True, slots=True)
class NodePicture:
    """What three requests to one node told: while it changes, they may be of different moments and do not fit.

    `ready` of `threshold` is what a block could take, of what makes one.
    """

    name: str
    height: int
    peers: int
    blocks: tuple[BlockPicture, ...]
    pending: tuple[str, ...]
    ready: int
    threshold: int


def take_picture(name: str, url: str, timeout: float) -> NodePicture:
    """Ask a node. Raises NodeUnreachable."""
    with Client(url, timeout) as node:
        status = node.status()
        page = node.blocks(limit=BLOCKS + 1)
        pending = tuple(one.id for one in node.pool())
    blocks = tuple(BlockPicture(one.id, one.height, len(one.transactions), one.forger) for one in page.blocks)
    return NodePicture(name, status.height, status.peers, blocks, pending, status.pool.ready, status.pool.threshold)


def check_agreement(pictures: Sequence[NodePicture]) -> str:
    """Whether all hold the same three blocks of two and the same one pending transaction; "" or what is not so."""
    for picture in pictures:
        heights = [block.height for block in picture.blocks]
        if picture.height != BLOCKS or heights != list(range(1, BLOCKS + 1)):
            return f"{picture.name} holds {count_text(picture.height, 'block')}, not {BLOCKS}"
        for block in picture.blocks:
            if block.transactions != TRANSACTIONS_A_BLOCK:
                transactions = count_text(block.transactions, "transaction")
                return f"{picture.name}'s block {block.height} has {transactions}, not {TRANSACTIONS_A_BLOCK}"
        if (len(picture.pending), picture.ready) != (PENDING, PENDING):
            return f"{picture.name} has {count_text(len(picture.pending), 'transaction')} pending, not {PENDING}"
    first = pictures[0]
    for other in pictures[1:]:
        if other.blocks != first.blocks:
            return f"{other.name} holds other blocks than {first.name}"
        if other.pending != first.pending:
            return f"{other.name} has another pending transaction than {first.name}"
    return ""


def picture_table(pictures: Sequence[NodePicture]) -> str:
    """A row a node: height, every block's short id, transactions and forger, and what waits in its pool."""
    heights = [block.height for block in pictures[0].blocks]
    names = {format_address(address): name for address, name in demo_names().items()}
    rows = [["node", "height", *(f"block {height}" for height in heights), "pending"]]
    for picture in pictures:
        cells = [_block_text(block, names) for block in picture.blocks]
        waiting = ", ".join(short_id(one) for one in picture.pending)
        pool = f"{waiting}: pool holds {picture.ready} of {picture.threshold}"
        rows.append([picture.name, str(picture.height), *cells, pool])
    return table(rows)


def _block_text(block: BlockPicture, names: dict[str, str]) -> str:
    return f"{short_id(block.id)} {block.transactions} {names.get(block.forger) or short_address(block.forger)}"
