"""Proofs as JSON objects: what is checked is canonical bytes in hex; what is beside it in clear is for people.

Whoever checks a proof (`blockchain.client.proofs`) reads the bytes alone.
"""

from __future__ import annotations

from blockchain.api.rendered import RenderedBlock
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address
from blockchain.primitives.jsonform import JsonObject, transaction_to_json
from blockchain.primitives.smt_proof import StateProof
from blockchain.primitives.transaction import decode_transaction


def transaction_proof(block: RenderedBlock, position: int) -> JsonObject:
    """Of a transaction of a final block. The first of a block hashes every id of it: 10 ms for the largest."""
    raw = block.block.transactions[position]
    return {
        "id": block.final.transaction_ids[position].hex(),
        "raw": raw.hex(),
        "transaction": transaction_to_json(decode_transaction(raw)),
        "position": position,
        "path": [step.hex() for step in block.path(position)],
        **block.sealed_header(),
    }


def account_proof(address: Address, proof: StateProof, block: RenderedBlock) -> JsonObject:
    """`proof` leads to the state_root of the block's header."""
    return {
        "address": format_address(address),
        "public_key": address.hex(),
        "proof": _state_proof(proof),
        **block.sealed_header(),
    }


def _state_proof(proof: StateProof) -> JsonObject:
    return {
        "sibling_hashes": [sibling.hex() for sibling in proof.sibling_hashes],
        "queries": [
            {"key": query.key.hex(), "value": query.value.hex(), "bitmap": query.bitmap.hex()}
            for query in proof.queries
        ],
    }
