"""What would become of a transaction: nothing is handed in."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request, Response
from msgspec import Struct
from starlette.concurrency import run_in_threadpool

from blockchain.api import examples, render
from blockchain.api.body import BodyLimits, read_draft
from blockchain.api.routes.paths import BODY_PROBLEMS, NodeOf, add_path, answer_json, body_limits_of
from blockchain.api.schemas_history import DraftTransaction, DryRunAnswer
from blockchain.errors import InvalidSignature, MalformedMessage, Refusal
from blockchain.node.views import DryRunView
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.transaction import Transaction, decode_transaction, transaction_id, verify_transaction


class _Draft(Struct, frozen=True):
    """A transaction, and whether it is signed: "good", "bad" or "absent"."""

    id: Hash32
    transaction: Transaction
    signature: str


async def dry_run(request: Request, node: NodeOf, limits: Annotated[BodyLimits, Depends(body_limits_of)]) -> Response:
    """What a transaction would do, if it were handed in now.

    One transaction, as for `create`; the signature may be left out. `outcome` is `applies` (on the final state and
    what is ready in this node's pool; `changes` says what it would do), `waits` (for an earlier nonce), `refused`, or
    `known` (it is pending or final here). `replaces` is the id of one that waits with its nonce; it is then tried after
    its sender's own earlier ones alone. Nothing changes, and nothing is promised.
    """
    raw = await read_draft(request, limits)
    genesis_hash = node.genesis_hash
    draft = await run_in_threadpool(lambda: _read(raw, genesis_hash))
    if draft.signature == "bad":
        view = DryRunView("refused", node.status().height + 1, InvalidSignature.code, str(InvalidSignature("it")))
    else:
        view = node.dry_run(draft.transaction, draft.id)
    identifier = draft.id if draft.signature == "good" else None
    return await run_in_threadpool(lambda: answer_json(render.dry_run(view, identifier, draft.signature)))


def dry_run_routes() -> APIRouter:
    router = APIRouter(tags=["transactions"])
    add_path(
        router,
        "/transaction/dry_run/",
        dry_run,
        DryRunAnswer,
        method="POST",
        problems={
            **BODY_PROBLEMS,
            415: "unsupported_media_type",
            422: ("malformed", "field_missing", "amount_zero", "not_an_object"),
        },
        request_body=_REQUEST_BODY,
    )
    return router


def _read(raw: bytes, genesis_hash: Hash32) -> _Draft:
    """Raises Refusal (422, `malformed`)."""
    try:
        transaction = decode_transaction(raw)
    except MalformedMessage as error:
        raise Refusal(422, error.code, str(error)) from None
    identifier = transaction_id(genesis_hash, raw)
    if transaction.signature == NO_SIGNATURE:
        return _Draft(identifier, transaction, "absent")
    try:
        verify_transaction(raw, genesis_hash)
    except InvalidSignature:
        return _Draft(identifier, transaction, "bad")
    return _Draft(identifier, transaction, "good")


_REQUEST_BODY: Final[dict[str, object]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": DraftTransaction.model_json_schema(),
            "example": examples.SIGNED_TRANSACTION,
        },
        "application/msgpack": {"schema": {"type": "string", "format": "binary"}},
    },
}
