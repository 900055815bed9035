"""What a node shows to those who trust nobody: proofs that can be checked against a header (docs/protocol.md §3.6, §4).

Pure functions from the core, and the store as readers see it, to views. A picture is of one moment: the state that a
proof is about is the one after the head, and the block beside it is the head.
"""

from __future__ import annotations

from blockchain.node.ahead import Finals
from blockchain.node.core import Core
from blockchain.node.views import AccountProofView
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import account_key, stakeholder_key


def account_proof_of(core: Core, finals: Finals, address: Address) -> AccountProofView | None:
    """The account's records, or their absence, at the head; None while the head is genesis, which has no header."""
    stored = finals.block(core.chain.head.height)
    if stored is None:
        return None
    assert stored.id == core.chain.head.id, "the readers' store shows another head than the core"
    proof = core.chain.prove((account_key(address), stakeholder_key(address)))
    return AccountProofView(address, proof, stored)
