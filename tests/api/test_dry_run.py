"""The route of dry runs: what it reads, what it says of the signature, and that nothing is handed in."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from blockchain.api.schemas_history import DryRunAnswer
from blockchain.primitives.jsonform import transaction_to_json
from tests.api.asking import ask, check_problem
from tests.api.fake_node import ALICE, BOB, FakeNode, with_other_signature

PATH = "/api/v1/transaction/dry_run/"
MSGPACK = {"Content-Type": "application/msgpack"}
MADE = ALICE.transfer(BOB.address, 1, 6)
DRAFT = {name: value for name, value in transaction_to_json(MADE.transaction).items() if name != "signature"}


def _run(node: FakeNode, **request: Any) -> DryRunAnswer:
    response = ask(node, PATH, "POST", **request)
    assert response.status_code == 200, response.text
    assert node.submitted == [] and node.pool == []
    return DryRunAnswer.model_validate_json(response.content)


def test_a_signed_one_has_its_id() -> None:
    for request in ({"content": MADE.raw, "headers": MSGPACK}, {"json": transaction_to_json(MADE.transaction)}):
        answer = _run(FakeNode(), **request)
        assert (answer.outcome, answer.signature, answer.id) == ("applies", "good", MADE.id.hex())
        (change,) = answer.changes
        assert (change.address, change.before.balance, change.after.balance) == (ALICE.address_text, 994, 993)


@pytest.mark.parametrize("draft", [DRAFT, {**DRAFT, "signature": None}])
def test_the_signature_may_be_absent(draft: dict[str, object]) -> None:
    answer = _run(FakeNode(), json=draft)
    assert (answer.outcome, answer.signature, answer.id) == ("applies", "absent", None)


def test_with_a_bad_signature_it_is_refused() -> None:
    answer = _run(FakeNode(), content=with_other_signature(MADE), headers=MSGPACK)
    assert (answer.outcome, answer.code, answer.signature, answer.id) == ("refused", "invalid_signature", "bad", None)


def test_the_nodes_reason_is_told() -> None:
    node = FakeNode()
    node.refuse[MADE.id] = ("insufficient_balance", "too poor")
    answer = _run(node, content=MADE.raw, headers=MSGPACK)
    assert (answer.outcome, answer.code, answer.why) == ("refused", "insufficient_balance", "too poor")


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        ({"json": [DRAFT]}, 422, "not_an_object"),
        ({"json": {**DRAFT, "nonce": -1}}, 422, "nonce_negative"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400, "malformed_json"),
        ({"content": MADE.raw + b"\0", "headers": MSGPACK}, 422, "malformed"),
        ({"content": b"", "headers": MSGPACK}, 422, "malformed"),
        ({"content": MADE.raw, "headers": {"Content-Type": "text/plain"}}, 415, "unsupported_media_type"),
    ],
)
def test_what_is_no_transaction(request_: dict[str, Any], status: int, code: str) -> None:
    response: httpx.Response = ask(FakeNode(), PATH, "POST", **request_)
    check_problem(response, status, code)
