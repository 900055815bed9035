"""Proofs as JSON objects: what is checked is canonical bytes in hex; what is beside it in clear is for people.

Whoever checks a proof (`blockchain.client.proofs`) reads the bytes alone.
"""

from __future__ import annotations

from blockchain.node.views import AccountProofView, HeaderView, TransactionProofView
from blockchain.primitives import codec
from blockchain.primitives.address import format_address
from blockchain.primitives.jsonform import JsonObject, certificate_to_json, header_to_json, transaction_to_json
from blockchain.primitives.smt_proof import StateProof
from blockchain.primitives.transaction import decode_transaction


def transaction_proof(view: TransactionProofView) -> JsonObject:
    return {
        "id": view.id.hex(),
        "raw": view.raw.hex(),
        "transaction": transaction_to_json(decode_transaction(view.raw)),
        "position": view.position,
        "path": [step.hex() for step in view.path],
        **_header(view.block),
    }


def account_proof(view: AccountProofView) -> JsonObject:
    return {
        "address": format_address(view.address),
        "public_key": view.address.hex(),
        "proof": _state_proof(view.proof),
        **_header(view.block),
    }


def _header(view: HeaderView) -> JsonObject:
    return {
        "header": codec.encode(view.header).hex(),
        "block": {"id": view.id.hex(), **header_to_json(view.header)},
        "certificate": certificate_to_json(view.certificate),
    }


def _state_proof(proof: StateProof) -> JsonObject:
    return {
        "sibling_hashes": [sibling.hex() for sibling in proof.sibling_hashes],
        "queries": [
            {"key": query.key.hex(), "value": query.value.hex(), "bitmap": query.bitmap.hex()}
            for query in proof.queries
        ],
    }
