"""Proofs for those who trust no node: a final transaction, and an account, against a header."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter, Response

from blockchain.api import render_proofs
from blockchain.api.routes.parameters import AddressPath, TransactionIdPath, read_transaction_id
from blockchain.api.routes.paths import NodeOf, RenderedOf, add_path, answer_rendered
from blockchain.api.schemas_proofs import AccountProofAnswer, TransactionProofAnswer
from blockchain.errors import Refusal, StoreError
from blockchain.primitives.address import parse_address


async def prove_transaction(node: NodeOf, rendered: RenderedOf, transaction_id: TransactionIdPath) -> Response:
    """That a transaction is final: its audit path to a header.

    `path` leads from the transaction's id to the `transaction_root` of the header (RFC 6962), `certificate` shows that
    the header is final. The validators who signed it are those of `/validators/?height=`; their hash is in the header.
    """
    identifier = read_transaction_id(transaction_id)
    with node.one_moment():
        view = node.outcome(identifier)
        block = None if view.height is None else node.block(view.height)
    if view.state == "unknown":
        raise Refusal(HTTPStatus.NOT_FOUND, "transaction_not_found", "this node does not know this transaction")
    if view.height is None or view.position is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "transaction_not_final", f"this transaction is {view.state}, not final")
    position = view.position
    if block is None or block.transaction_ids[position : position + 1] != (identifier,):
        raise StoreError(f"transaction {identifier.hex()} is not in block {view.height}, where it is said to be")
    known = rendered.of(block)
    return await answer_rendered(lambda: render_proofs.transaction_proof(known, position), known.bytes_left_to_prove)


async def prove_account(node: NodeOf, rendered: RenderedOf, address: AddressPath) -> Response:
    """What an account has, or that it has nothing, with the proof.

    A proof of the state tree (LIP-0039) for two records, the account's (balance, next nonce) and its stake's, under the
    `state_root` of the newest final header.
    """
    view = node.account_proof(parse_address(address))
    if view is None:
        raise Refusal(HTTPStatus.NOT_FOUND, "no_final_block", "there is no block yet whose header could prove anything")
    known, size = rendered.of(view.block), len(view.block.certificate)
    return await answer_rendered(lambda: render_proofs.account_proof(view.address, view.proof, known), size)


def proof_routes() -> APIRouter:
    router = APIRouter(tags=["proofs"])
    add_path(
        router,
        "/transactions/{transaction_id}/proof/",
        prove_transaction,
        TransactionProofAnswer,
        problems={404: ("transaction_not_final", "transaction_not_found"), 422: "invalid_transaction_id"},
    )
    add_path(
        router,
        "/accounts/{address}/proof/",
        prove_account,
        AccountProofAnswer,
        problems={404: "no_final_block", 422: "invalid_address"},
    )
    return router
