"""The pool, handing in transactions, and what became of one."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Final, TypedDict

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from blockchain.api import examples, render
from blockchain.api.body import SUBMISSION_TRANSACTIONS_MAX, BodyLimits, Submission, read_submission
from blockchain.api.routes.parameters import Digits, TransactionIdPath, read_transaction_id
from blockchain.api.routes.paths import BODY_PROBLEMS, NodeOf, add_path, answer_json, answer_rendered, body_limits_of
from blockchain.api.schemas import PooledTransaction, SignedTransaction, SubmissionAnswer, TransactionAnswer
from blockchain.api.waiting import WAIT_SECONDS, WaitFor, WaitSeconds, WaitsOf, wait_ended
from blockchain.errors import InvalidTransaction, Refusal
from blockchain.node.views import NodeReader
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.jsonform import JsonObject

POOL_LISTED_MAX: Final = 1_000  # as JSON about half a megabyte
# The node's state and not the client's fault: it may come again, after some blocks, or in the next second.
TRY_LATER_SECONDS: Final = {"pool_full": 5, "pool_busy": 1}
_ONE_SCHEMA: Final = SignedTransaction.model_json_schema()
_LIST_SCHEMA: Final = {"type": "array", "items": _ONE_SCHEMA, "maxItems": SUBMISSION_TRANSACTIONS_MAX}


async def list_pool(
    node: NodeOf,
    limit: Annotated[int, Field(ge=1, le=POOL_LISTED_MAX), Digits, Query(examples=[100])] = POOL_LISTED_MAX,
) -> Response:
    """The transactions that wait for a block, oldest first.

    At most `limit` of them; the header `X-Total-Count` says how many there are.
    """
    pending = node.pending()
    headers = {"X-Total-Count": str(len(pending))}
    listed = pending[:limit]
    size = sum(len(one.raw) for one in listed)
    return await answer_rendered(lambda: render.pool(listed), size, headers)


async def create_transactions(
    request: Request,
    node: NodeOf,
    limits: Annotated[BodyLimits, Depends(body_limits_of)],
    waits: WaitsOf,
    wait: WaitFor = None,
    seconds: WaitSeconds = WAIT_SECONDS,
) -> Response:
    """Hand in signed transactions.

    One, or a list of at most 1,000: as JSON, or as canonical bytes (`application/msgpack`: one transaction, or a
    MessagePack array of bin). 202 when they are durable in this node's pool, with their ids, in the order of the
    request; handing one in twice gives the same answer. Of a list, what is refused has a code and a reason in
    `results`; when all is refused the answer is 422, or 503 where only room is missing. One that is refused alone has
    its own code: those of docs/protocol.md §3.4.

    With `wait=final` the answer comes when all that were accepted have ended, with 200; or else after `timeout`
    seconds, with 202. `outcomes` has their states, in the order of `ids`.
    """
    if wait is None:
        return answer_json(await _create(request, node, limits), HTTPStatus.ACCEPTED)
    with waits.place(request):
        answer = await _create(request, node, limits)
        ids = [Hash32(bytes.fromhex(text)) for text in answer["ids"]]
        await wait_ended(request, node, ids, seconds)
    outcomes = [node.outcome(one) for one in ids]
    is_pending = any(one.state == "pending" for one in outcomes)
    status = HTTPStatus.ACCEPTED if is_pending else HTTPStatus.OK
    return answer_json({**answer, "outcomes": [render.outcome(one) for one in outcomes]}, status)


async def get_transaction(
    request: Request,
    node: NodeOf,
    transaction_id: TransactionIdPath,
    waits: WaitsOf,
    wait: WaitFor = None,
    seconds: WaitSeconds = WAIT_SECONDS,
) -> Response:
    """What became of a transaction, and every stage on its way, each with its time at this node.

    `state` is pending, final, or how it ended otherwise: refused, replaced by another with its nonce, evicted from a
    full pool, or expired. `refusal` and the last of `stages` say why. What ended is told for the newest 100,000, what
    was refused at once for the newest 20,000; a final transaction is always found.

    With `wait=final` the answer comes when it has ended, or after `timeout` seconds with what is known then: pending is
    no error.
    """
    identifier = read_transaction_id(transaction_id)
    if wait is not None:
        with waits.place(request):
            await wait_ended(request, node, [identifier], seconds)
    view = node.transaction(identifier)
    if view is None:
        raise Refusal(404, "transaction_not_found", "this node does not know this transaction")
    return answer_json(render.transaction(view))


class _Received(TypedDict):
    message: str
    ids: list[str]
    results: list[JsonObject]


async def _create(request: Request, node: NodeReader, limits: BodyLimits) -> _Received:
    """Raises Refusal when nothing was accepted."""
    submission = await read_submission(request, limits)
    results = await _submit(node, submission)
    ids = [str(result["id"]) for result in results if result["is_accepted"]]
    if not ids:
        raise _all_refused(results, is_list=submission.is_list)
    return {"message": "Received transaction", "ids": ids, "results": results}


async def _submit(node: NodeReader, submission: Submission) -> list[JsonObject]:
    raws = [item for item in submission.items if isinstance(item, bytes)]
    answers = iter(await node.submit(raws) if raws else [])
    return [
        render.unread_result(item) if isinstance(item, InvalidTransaction) else render.submission_result(next(answers))
        for item in submission.items
    ]


def _all_refused(results: list[JsonObject], *, is_list: bool) -> Refusal:
    """503 where only the node's state is in the way; what stands alone, and no list, has no list of results."""
    code, why = str(results[0]["code"]), str(results[0]["why"])
    later = [TRY_LATER_SECONDS.get(str(result["code"]), 0) for result in results]
    if all(later):
        refusal = Refusal(503, code, why, retry_after=max(later))
    elif len(results) == 1:
        refusal = Refusal(422, code, why)
    else:
        refusal = Refusal(422, "transactions_refused", "every transaction was refused")
    if is_list:
        refusal.members["results"] = results
    return refusal


def transaction_routes() -> APIRouter:
    router = APIRouter(tags=["transactions"])
    add_path(
        router,
        "/transaction/transaction_pool/",
        list_pool,
        list[PooledTransaction],
        problems={422: "invalid_parameter"},
    )
    add_path(
        router,
        "/transaction/create/",
        create_transactions,
        SubmissionAnswer,
        method="POST",
        status=HTTPStatus.ACCEPTED,
        also={200: SubmissionAnswer},
        problems={
            **BODY_PROBLEMS,
            400: ("malformed_json", "malformed", "body_incomplete"),
            415: "unsupported_media_type",
            422: (
                "amount_zero",
                "nonce_used",
                "insufficient_balance",
                "invalid_signature",
                "malformed",
                "no_transactions",
                "too_many_transactions",
                "transactions_refused",
                "invalid_parameter",
            ),
            503: ("pool_full", "pool_busy", "busy"),
        },
        request_body=_REQUEST_BODY,
    )
    add_path(
        router,
        "/transactions/{transaction_id}/",
        get_transaction,
        TransactionAnswer,
        problems={404: "transaction_not_found", 422: ("invalid_transaction_id", "invalid_parameter"), 503: "busy"},
    )
    return router


_REQUEST_BODY: Final[dict[str, object]] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"oneOf": [_ONE_SCHEMA, _LIST_SCHEMA]},
            "example": examples.SIGNED_TRANSACTION,
        },
        "application/msgpack": {"schema": {"type": "string", "format": "binary"}},
    },
}
