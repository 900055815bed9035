"""Plain requests skip the framework and get the same answer, to the byte; all others still meet it."""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, Request, Response

from blockchain.api.app import ApiSettings, create_app
from blockchain.api.direct import DirectRoutes
from blockchain.api.routes.chain import chain_routes
from blockchain.api.routes.parameters import AddressPath, KnownParameters
from blockchain.api.routes.paths import answer_json
from blockchain.api.routes.proofs import proof_routes
from blockchain.api.routes.state import state_routes
from blockchain.api.routes.transactions import transaction_routes
from blockchain.primitives.address import format_address
from blockchain.primitives.jsonform import transaction_to_json
from tests.api.asking import ask_app
from tests.api.fake_node import ALICE, FakeNode

V1 = "/api/v1"
SOMEBODY = f"{V1}/accounts/{format_address(ALICE.address)}"
PATHS = (
    "/livez",
    "/health/",
    f"{V1}/status",
    f"{V1}/blocks/2/",
    f"{V1}/blocks/99/",
    f"{V1}/blocks/x/",
    f"{V1}/blockchain/",
    f"{V1}/genesis/",
    f"{SOMEBODY}/",
    f"{SOMEBODY}/proof",
    f"{SOMEBODY}/transactions/",
    f"{V1}/accounts/pos1nobody/",
    f"{V1}/transactions/{'00' * 32}/proof/",
    f"{V1}/transaction/transaction_pool/",
    f"{V1}/transaction/transaction_pool/?limit=1",
    f"{V1}/blockchain/?limit=2&to=3",
    f"{V1}/blocks/?limit=1&before=3",
    f"{SOMEBODY}/transactions/?count=1",
)
BAD_QUERIES = (
    "lmit=1",
    "limit=",
    "limit",
    "limit=x",
    "limit=0",
    "limit=+1",
    "limit=1_0",
    "limit=1&limit=1",
    "limit=99999",
    "limit=1" + "0" * 300,
)


@pytest.mark.parametrize("path", PATHS)
def test_the_framework_gives_the_same_answer(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(FakeNode())
    directly = ask_app(app, path)
    found: list[str] = []
    monkeypatch.setattr(DirectRoutes, "find", lambda _self, _method, asked: found.append(asked))
    by_framework = ask_app(app, path)
    assert found == [path.split("?")[0]]
    assert (directly.status_code, directly.headers, directly.content) == (
        by_framework.status_code,
        by_framework.headers,
        by_framework.content,
    )


def test_a_transaction_is_handed_in_in_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode()
    given = transaction_to_json(ALICE.transfer(ALICE.address, 1, 9).transaction)
    app = create_app(node)
    directly = ask_app(app, f"{V1}/transaction/create/", "POST", json=given)
    monkeypatch.setattr(DirectRoutes, "find", lambda *_: None)
    by_framework = ask_app(app, f"{V1}/transaction/create/", "POST", json=given)
    assert directly.status_code == 202
    assert (directly.headers, directly.content) == (by_framework.headers, by_framework.content)


def routes() -> DirectRoutes:
    made = DirectRoutes()
    for router in (chain_routes(), state_routes(), proof_routes(), transaction_routes()):
        made.add(V1, router.routes)
    return made


@pytest.mark.parametrize(
    ("method", "path", "given"),
    [
        ("GET", f"{V1}/blocks/7/", ["7"]),
        ("GET", f"{V1}/blocks/7", ["7"]),
        ("GET", f"{V1}/transactions/a/proof/", ["a"]),
        ("POST", f"{V1}/transaction/create/", []),
    ],
)
def test_what_is_plain_is_found(method: str, path: str, given: list[str]) -> None:
    found = routes().find(method, path)
    assert found is not None and found[1] == given


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{V1}/lottery/3/0/"),  # numbers, which the framework reads
        ("POST", f"{V1}/status/"),
        ("HEAD", f"{V1}/status/"),
        ("GET", f"{V1}/accounts//"),
        ("GET", f"{V1}/nothing/"),
        ("GET", f"{V1}/blocks/7/more/"),
        ("GET", V1),
        ("GET", ""),
    ],
)
def test_what_is_not_plain_is_the_frameworks(method: str, path: str) -> None:
    assert routes().find(method, path) is None


@pytest.mark.parametrize(
    ("path", "query", "arguments"),
    [
        ("/transaction/create/", b"", {}),
        ("/transaction/create/", b"wait=final&timeout=60", {"wait": "final", "seconds": 60}),
        ("/transaction/create/", b"timeout=%37", {"seconds": 7}),
        ("/transaction/create/", b"timeout=61", None),
        ("/transaction/create/", b"wait=forever", None),
    ],
)
def test_a_query_that_is_good_is_read(path: str, query: bytes, arguments: object) -> None:
    found = routes().find("POST", f"{V1}{path}")
    assert found is not None and found[0].asked_in(query) == arguments


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_what_is_wrong_with_a_query_is_said_by_the_framework(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app, path = create_app(FakeNode()), f"{V1}/transaction/transaction_pool/?{query}"
    answer = ask_app(app, path)
    monkeypatch.setattr(DirectRoutes, "find", lambda *_: None)
    assert answer.status_code == 422 and answer.content == ask_app(app, path).content


async def _refuse() -> None:
    raise AssertionError("the framework asks this, and nobody else")


async def _plain(request: Request, address: AddressPath) -> Response:
    return answer_json([str(request.url), address])


async def _wants_more(address: AddressPath, more: Annotated[int, Depends(_refuse)]) -> Response:
    return answer_json([address, more])


def test_a_route_that_depends_on_anything_else_is_left_to_the_framework() -> None:
    """Above all a token: no path that asks for one may be reached past it."""
    only_names = [Depends(KnownParameters(frozenset()))]
    router = APIRouter()
    router.add_api_route("/plain/{address}", _plain, dependencies=only_names)
    router.add_api_route("/guarded/{address}", _plain, dependencies=[*only_names, Depends(_refuse)])
    router.add_api_route("/unchecked/{address}", _wants_more, dependencies=only_names)
    made = DirectRoutes()
    made.add("", router.routes)
    assert made.find("GET", "/plain/x") is not None
    assert made.find("GET", "/guarded/x") is None
    assert made.find("GET", "/unchecked/x") is None


def test_two_routes_that_could_both_be_meant_are_a_mistake_of_ours() -> None:
    router = APIRouter()
    only_names = [Depends(KnownParameters(frozenset()))]
    router.add_api_route("/a/{address}", _plain, dependencies=only_names)
    router.add_api_route("/a/word", answer_word, dependencies=only_names)
    with pytest.raises(AssertionError, match="'word' may be meant"):
        DirectRoutes().add("", router.routes)


async def answer_word() -> Response:
    return answer_json("word")


def test_settings_hold_for_plain_requests_too() -> None:
    app = create_app(FakeNode(), ApiSettings(requests_per_second=1))
    assert 429 in {ask_app(app, f"{V1}/status/").status_code for _ in range(10)}
    assert ask_app(create_app(FakeNode()), f"{V1}/status/", headers={"host": "stranger.example"}).status_code == 421
