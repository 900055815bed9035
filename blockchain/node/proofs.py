"""What a node shows to those who trust nobody: proofs that can be checked against a header (docs/protocol.md §3.6, §4).

Pure functions from the core, and the store as readers see it, to views. A picture is of one moment: the state that a
proof is about is the one after the head, and the header beside it is the head's.
"""

from __future__ import annotations

from blockchain.node.ahead import Finals
from blockchain.node.core import Core
from blockchain.node.views import AccountProofView, HeaderView, TransactionProofView
from blockchain.primitives import codec, merkle
from blockchain.primitives.block import BLOCK_BYTES_MAX, decode_block
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import account_key, stakeholder_key
from blockchain.primitives.vote import Certificate
from blockchain.seams import FinalBlock


def transaction_proof(final: FinalBlock, position: int) -> TransactionProofView:
    """The audit path of the transaction at `position` of a final block, with the block's header.

    Hashes every id of the block, ten milliseconds for the largest: not for the loop that runs the node.
    """
    return TransactionProofView(
        id=final.transaction_ids[position],
        raw=decode_block(final.raw).transactions[position],
        position=position,
        path=merkle.inclusion_proof(final.transaction_ids, position),
        block=_header_of(final),
    )


def account_proof_of(core: Core, finals: Finals, address: Address) -> AccountProofView | None:
    """The account's records, or their absence, at the head; None while the head is genesis, which has no header."""
    stored = finals.block(core.chain.head.height)
    if stored is None:
        return None
    assert stored.id == core.chain.head.id, "the readers' store shows another head than the core"
    proof = core.chain.prove((account_key(address), stakeholder_key(address)))
    return AccountProofView(address, proof, _header_of(stored))


def _header_of(stored: FinalBlock) -> HeaderView:
    header = decode_block(stored.raw).header
    return HeaderView(stored.id, header, codec.decode(stored.certificate, Certificate, bytes_max=BLOCK_BYTES_MAX))
