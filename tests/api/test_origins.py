"""A page of another origin in the browser of whoever runs a node: it reads no answer, and changes nothing.

What a browser sends for such a page without asking first ("simple requests", Fetch §4.8) has one of three media types,
or none, and no header of the page's own. What it asks first it asks with OPTIONS, and goes on only when an answer with
CORS headers lets it. Names of the page's own that lead to this node are the matter of test_hosts.py.
"""

from __future__ import annotations

import json
from itertools import count
from typing import Final

import pytest

from blockchain.api.admin import AdminToken
from blockchain.api.app import ApiSettings, create_app
from blockchain.primitives.jsonform import transaction_to_json
from tests.api.asking import ask, ask_app, check_problem
from tests.api.fake_node import ALICE, BOB, FakeNode

V1: Final = "/api/v1"
ORIGIN: Final = "https://example.org"
FORM: Final = json.dumps(transaction_to_json(ALICE.transfer(BOB.address, 5, 0).transaction)).encode()
TAKES_BODIES: Final = (f"{V1}/transaction/create/", f"{V1}/transaction/dry_run/")
UNASKED: Final = (
    "text/plain",
    "text/plain;charset=UTF-8",
    "text/plain; application/json",
    "text/plain, application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=application/json",
    "",
)


@pytest.mark.parametrize("path", TAKES_BODIES)
@pytest.mark.parametrize("media_type", UNASKED)
def test_what_a_page_may_send_unasked_is_not_read(path: str, media_type: str) -> None:
    node = FakeNode()
    headers = {"Origin": ORIGIN} | ({"Content-Type": media_type} if media_type else {})
    response = ask(node, path, "POST", content=FORM, headers=headers)
    check_problem(response, 415, "unsupported_media_type")
    assert node.submitted == []


def test_the_same_body_under_its_own_media_type_is_taken() -> None:
    node = FakeNode()
    assert ask(node, TAKES_BODIES[0], "POST", content=FORM, headers={"Content-Type": "application/json"}).is_success
    assert len(node.submitted) == 1


@pytest.mark.parametrize(
    "path", [*TAKES_BODIES, f"{V1}/status/", f"{V1}/openapi.json", f"{V1}/docs/", "/livez", "/none"]
)
@pytest.mark.parametrize("origin", [ORIGIN, "null", "http://localhost:3000"])
def test_what_a_browser_asks_first_is_never_granted(path: str, origin: str) -> None:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, authorization",
        "Access-Control-Request-Private-Network": "true",
    }
    response = ask(FakeNode(), path, "OPTIONS", headers=headers)
    assert response.status_code in {404, 405}
    _check_not_invited(dict(response.headers))


@pytest.mark.parametrize("path", [f"{V1}/status/", f"{V1}/openapi.json", f"{V1}/docs/", "/livez", "/readyz", "/none"])
def test_no_answer_may_be_read_by_another_origin(path: str) -> None:
    _check_not_invited(dict(ask(FakeNode(), path, headers={"Origin": ORIGIN}).headers))


def test_the_operators_paths_take_a_token_that_no_page_can_send_unasked() -> None:
    app = create_app(FakeNode(), ApiSettings(admin_token=AdminToken(b"x" * 32)))
    for method in ("GET", "PUT"):
        headers = {"Origin": ORIGIN, "Cookie": f"token={'x' * 32}"}
        response = ask_app(app, f"{V1}/admin/log_level/", method, headers=headers)
        assert response.status_code == 401
        _check_not_invited(dict(response.headers))


def test_the_document_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It took sixteen times as long as a status, for whoever asked: a deaf client's favourite."""
    app = create_app(FakeNode())
    numbers = count(1)
    monkeypatch.setattr(app, "openapi", lambda: {"written": next(numbers)})
    answers = [ask_app(app, f"{V1}/openapi.json") for _ in range(2)]
    assert [answer.json() for answer in answers] == [{"written": 1}] * 2
    assert answers[0].headers["content-type"] == "application/json"


def _check_not_invited(headers: dict[str, str]) -> None:
    assert not [name for name in headers if name.startswith("access-control")]
