"""The round in progress as the store kept it: what a node that starts again goes on with (docs/protocol.md §5.6)."""

from __future__ import annotations

from blockchain.consensus.record import RoundRecord, decode_record
from blockchain.errors import MalformedMessage, PeerFault, StoreError
from blockchain.node.verify import VerifyContext, verify_block
from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Hash32
from blockchain.seams import Store


def read_round(store: Store, context: VerifyContext) -> tuple[RoundRecord, dict[Hash32, VerifiedBlock]] | None:
    """The record and the blocks that it refers to; None where there is none of the height that `context` is of.

    Raises StoreError for what cannot be what this node wrote.
    """
    raw = store.round_record()
    if raw is None:
        return None
    try:
        record = decode_record(raw)
        if record.height != context.height:
            return None  # of a height that sync has passed since
        bodies = {block_id: store.round_block(block_id) for block_id in record.block_ids()}
        blocks = {block_id: verify_block(body or b"", context) for block_id, body in bodies.items()}
        if any(block.id != block_id for block_id, block in blocks.items()):
            raise MalformedMessage("a block stands under the id of another")
    except (MalformedMessage, PeerFault) as error:
        raise StoreError(f"the record of the height in progress is damaged: {error}") from None
    return record, blocks
