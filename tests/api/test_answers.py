"""Every path answers what its schema says, in both spellings, and says the right things."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from blockchain.api import (
    render,
    schemas,
    schemas_blocks,
    schemas_history,
    schemas_proofs,
    schemas_seeing,
    schemas_state,
)
from blockchain.api.rendered import parties_of
from blockchain.api.routes import chain, history
from tests.api.asking import ask, check_problem, get_json
from tests.api.fake_node import ALICE, BOB, GENESIS_HASH, FakeNode

V1 = "/api/v1"


ROUTES: list[tuple[str, Any]] = [
    ("/ping/", schemas.PingAnswer),
    ("/livez/", schemas.LiveAnswer),
    ("/readyz/", schemas.ReadyAnswer),
    ("/health/", schemas.ReadyAnswer),
    (f"{V1}/blockchain/", schemas_blocks.BlocksAnswer),
    (f"{V1}/blocks/2/", schemas_blocks.BlockAnswer),
    (f"{V1}/genesis/", schemas_blocks.GenesisAnswer),
    (f"{V1}/transaction/transaction_pool/", list[schemas.PooledTransaction]),
    (f"{V1}/transactions/{{pending}}/", schemas.TransactionAnswer),
    (f"{V1}/status/", schemas_state.StatusAnswer),
    (f"{V1}/consensus/", schemas_state.ConsensusAnswer),
    (f"{V1}/consensus/why/", schemas_seeing.WhyAnswer),
    (f"{V1}/consensus/why/?height=1", schemas_seeing.WhyAnswer),
    (f"{V1}/consensus/why/?height=2", schemas_seeing.WhyAnswer),
    (f"{V1}/accounts/{ALICE.address_text}/", schemas_state.AccountAnswer),
    (f"{V1}/blocks/?from=2&to=3", schemas_history.RangeAnswer),
    (f"{V1}/accounts/{ALICE.address_text}/transactions/", schemas_history.HistoryAnswer),
    (f"{V1}/fees/", schemas_history.FeesAnswer),
    (f"{V1}/accounts/{ALICE.address_text}/proof/", schemas_proofs.AccountProofAnswer),
    (f"{V1}/transactions/{{final}}/proof/", schemas_proofs.TransactionProofAnswer),
    (f"{V1}/validators/", schemas_seeing.ValidatorsAnswer),
    (f"{V1}/validators/?height=1", schemas_seeing.ValidatorsAnswer),
    (f"{V1}/validators/{ALICE.address_text}/", schemas_seeing.ValidatorAnswer),
    (f"{V1}/peers/", schemas_state.PeersAnswer),
    (f"{V1}/lottery/2/1/", schemas_state.LotteryAnswer),
]


@pytest.mark.parametrize("has_slash", [True, False])
@pytest.mark.parametrize(("path", "schema"), ROUTES)
def test_every_path_answers_its_schema_with_and_without_a_slash(path: str, schema: Any, has_slash: bool) -> None:
    node = FakeNode()
    path = path.format(pending=node.make_pending().id.hex(), final=node.final_id().hex())
    response = ask(node, path if has_slash else path.rstrip("/"))
    assert response.status_code == 200, response.text  # no redirect
    TypeAdapter(schema).validate_json(response.content)


def test_ping() -> None:
    assert get_json(FakeNode(), "/ping/") == {"success": "pong!"}


# ---------------------------------------------------------------------------------------------------- blocks


def test_the_chain_is_the_newest_page_lowest_height_first() -> None:
    page = get_json(FakeNode(heights=25), f"{V1}/blockchain/")
    assert [block["height"] for block in page["blocks"]] == list(range(6, 26))
    assert page["next"] == 6
    assert [len(block["transactions"]) for block in page["blocks"]] == [2] * 20


def test_pages_cover_the_chain_once() -> None:
    node = FakeNode(heights=25)
    heights: list[int] = []
    query, pages = "limit=10", 0
    while query:
        page = get_json(node, f"{V1}/blockchain/?{query}")
        heights = [block["height"] for block in page["blocks"]] + heights
        query, pages = f"limit=10&before={page['next']}" if page["next"] else "", pages + 1
    assert heights == list(range(1, 26))
    assert pages == 3


@pytest.mark.parametrize(
    ("heights", "before", "expected", "following"), [(0, 9, [], None), (3, 1, [], None), (3, 99, [1, 2, 3], None)]
)
def test_the_ends_of_the_chain(heights: int, before: int, expected: list[int], following: int | None) -> None:
    page = get_json(FakeNode(heights), f"{V1}/blockchain/?before={before}")
    assert [block["height"] for block in page["blocks"]] == expected
    assert page["next"] is following


def test_a_page_of_large_blocks_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode(heights=5)
    found = node.block(5)
    assert found is not None
    monkeypatch.setattr(chain, "PAGE_BYTES_MAX", len(found.raw))
    page = get_json(node, f"{V1}/blockchain/")
    assert [block["height"] for block in page["blocks"]] == [5]
    assert page["next"] == 5


def test_a_page_ends_where_this_node_has_no_block() -> None:
    node = FakeNode(heights=5)
    node.forget(2)
    page = get_json(node, f"{V1}/blockchain/")
    assert [block["height"] for block in page["blocks"]] == [3, 4, 5]


def test_a_page_leaves_certificates_out_and_a_block_has_both() -> None:
    node = FakeNode()
    (block,) = get_json(node, f"{V1}/blockchain/?limit=1")["blocks"]
    full = get_json(node, f"{V1}/blocks/3/")
    assert block.keys() == full.keys() - {"certificate", "parent_certificate"}
    assert full["certificate"]["block_id"] == full["id"] == block["id"]
    assert len(full["certificate"]["precommits"]) == 1
    assert full["parent_certificate"]["precommits"] == []


def test_a_block_by_its_height_and_by_its_id() -> None:
    node = FakeNode()
    by_height = get_json(node, f"{V1}/blocks/2/")
    assert by_height["height"] == 2
    assert get_json(node, f"{V1}/blocks/{by_height['id']}/") == by_height
    assert get_json(node, f"{V1}/blocks/{by_height['id'].upper()}/") == by_height
    assert [item["kind"] for item in by_height["evidence"]] == ["votes", "proposals", "lock"]


@pytest.mark.parametrize("reference", ["4", "0", "9" * 16, "ab" * 32, "7" * 64])
def test_a_block_that_is_not_there(reference: str) -> None:
    check_problem(ask(FakeNode(), f"{V1}/blocks/{reference}/"), 404, "block_not_found")


@pytest.mark.parametrize("reference", ["head", "-1", "1.0", "0x10", "9" * 17, "ab" * 31, "٣"])
def test_what_names_no_block(reference: str) -> None:
    check_problem(ask(FakeNode(), f"{V1}/blocks/{reference}/"), 422, "invalid_block_reference")


def _heights(page: Any) -> list[int]:
    return [block["height"] for block in page["blocks"]]


def test_a_range_of_blocks_goes_upwards_in_pages() -> None:
    node = FakeNode(heights=25)
    page = get_json(node, f"{V1}/blocks/?from=3&to=15&limit=10")
    assert (_heights(page), page["next"], page["height"]) == (list(range(3, 13)), 13, 25)
    page = get_json(node, f"{V1}/blocks/?from=13&to=15&limit=10")
    assert (_heights(page), page["next"]) == ([13, 14, 15], None)
    assert _heights(get_json(node, f"{V1}/blocks/")) == list(range(1, 21))


@pytest.mark.parametrize(
    ("query", "heights", "following"),
    [
        ("from=25", [25], None),
        ("from=26", [], None),
        ("from=24&to=99", [24, 25], None),
        ("from=25&to=25", [25], None),
        ("from=24&limit=1", [24], 25),
    ],
)
def test_a_range_ends_at_the_newest_block(query: str, heights: list[int], following: int | None) -> None:
    page = get_json(FakeNode(heights=25), f"{V1}/blocks/?{query}")
    assert (_heights(page), page["next"]) == (heights, following)


def test_a_range_of_large_blocks_ends_early_and_one_backwards_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode(heights=5)
    found = node.block(5)
    assert found is not None
    monkeypatch.setattr(chain, "PAGE_BYTES_MAX", 2 * len(found.raw))
    page = get_json(node, f"{V1}/blocks/?from=3")
    assert (_heights(page), page["next"]) == ([3, 4], 5)
    monkeypatch.setattr(chain, "PAGE_BYTES_MAX", 1)
    assert _heights(get_json(node, f"{V1}/blocks/?from=3")) == [3]
    check_problem(ask(node, f"{V1}/blocks/?from=3&to=2"), 422, "invalid_range")


# --------------------------------------------------------------------------------------------------- history


def _places(page: Any) -> list[tuple[int, int]]:
    return [(entry["height"], entry["position"]) for entry in page["entries"]]


def test_an_accounts_history_in_pages_that_new_blocks_do_not_move() -> None:
    node = FakeNode(heights=4)
    path = f"{V1}/accounts/{ALICE.address_text}/transactions/"
    page = get_json(node, f"{path}?limit=3")
    assert (_places(page), page["next"]) == ([(4, 1), (4, 0), (3, 1)], "3:1")
    node.add_block()
    seen = _places(page)
    while page["next"]:
        page = get_json(node, f"{path}?limit=3&cursor={page['next']}")
        seen += _places(page)
    assert seen == [(height, position) for height in (4, 3, 2, 1) for position in (1, 0)]
    assert _places(get_json(node, path))[0] == (5, 1)


def test_an_entry_says_who_gave_and_in_which_block() -> None:
    node = FakeNode()
    given = get_json(node, f"{V1}/accounts/{ALICE.address_text}/transactions/")["entries"][0]
    taken = get_json(node, f"{V1}/accounts/{BOB.address_text}/transactions/")["entries"][0]
    assert (given.pop("direction"), taken.pop("direction")) == ("out", "in")
    assert given == taken
    assert given["block_id"] == get_json(node, f"{V1}/blocks/3/")["id"]
    assert given["transaction"]["sender"] == ALICE.address_text
    assert get_json(node, f"{V1}/accounts/{'ab' * 32}/transactions/") == {"entries": [], "next": None}


def test_directions() -> None:
    for made, direction in (
        (ALICE.transfer(ALICE.address, 1, 0), "self"),
        (ALICE.stake(1, 0), "out"),
        (BOB.exchange(ALICE.address, 1, 0), "in"),
        (ALICE.exchange(BOB.address, 1, 0), "out"),
    ):
        assert render.direction(parties_of(made.transaction), ALICE.address) == direction


def test_a_page_of_the_history_reads_so_many_bytes_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "PAGE_BYTES_MAX", 1)
    page = get_json(FakeNode(), f"{V1}/accounts/{ALICE.address_text}/transactions/")
    assert (_places(page), page["next"]) == ([(3, 1), (3, 0)], "3:0")


# ------------------------------------------------------------------------------------------------------ fees


def test_the_fees_of_recent_blocks() -> None:
    node = FakeNode()
    node.make_pending()
    assert get_json(node, f"{V1}/fees/") == {
        "minimum": 0,
        "is_pool_full": False,
        "pending": 1,
        "blocks": 3,
        "transactions": 6,
        "included": {"min": 0, "median": 0, "max": 0},
    }
    node.add_block(fees=(7, 3, 5))
    assert get_json(node, f"{V1}/fees/")["included"] == {"min": 0, "median": 0, "max": 7}
    node.add_block(fees=(7, 3, 5, 6))
    assert get_json(node, f"{V1}/fees/")["included"] == {"min": 0, "median": 3, "max": 7}


def test_the_fees_of_an_empty_chain_and_of_a_full_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode(0)
    node.make_pending()
    assert get_json(node, f"{V1}/fees/")["included"] is None
    monkeypatch.setattr(history, "TRANSACTIONS_MAX", 1)
    answer = get_json(node, f"{V1}/fees/")
    assert (answer["is_pool_full"], answer["minimum"]) == (True, None)


def test_genesis_says_what_all_share() -> None:
    genesis = get_json(FakeNode(), f"{V1}/genesis/")
    assert genesis["hash"] == GENESIS_HASH.hex()
    assert genesis["account_count"] == 1
    assert genesis["accounts"] == [{"address": ALICE.address_text, "balance": 1_000}]
    assert genesis["parameters"]["block_threshold"] == 2
    assert genesis["issuer"] == BOB.address_text


# ---------------------------------------------------------------------------------------------------- limits


NO_INTEGERS = ("1_0", "%2B1", "%201", "1%20", "%D9%A1", "1.0", "1e1", "0x1", "-0", "9" * 17, "9" * 1_000)


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/blockchain/?limit=0", "query.limit"),
        ("/blockchain/?limit=101", "query.limit"),
        ("/blockchain/?limit=many", "query.limit"),
        ("/blockchain/?before=0", "query.before"),
        (f"/transactions/{'ab' * 32}/?wait=soon", "query.wait"),
        (f"/transactions/{'ab' * 32}/?timeout=61", "query.timeout"),
        ("/blocks/?from=0", "query.from"),
        ("/blocks/?to=x", "query.to"),
        ("/blocks/?limit=101", "query.limit"),
        (f"/accounts/{'ab' * 32}/transactions/?limit=101", "query.limit"),
        (f"/accounts/{'ab' * 32}/transactions/?cursor=3", "query.cursor"),
        (f"/accounts/{'ab' * 32}/transactions/?cursor=3:-1", "query.cursor"),
        (f"/accounts/{'ab' * 32}/transactions/?cursor=99999999999999999:1", "query.cursor"),
        (f"/blockchain/?before={2**53}", "query.before"),
        ("/transaction/transaction_pool/?limit=1001", "query.limit"),
        ("/validators/?height=-1", "query.height"),
        ("/lottery/0/0/", "path.height"),
        ("/lottery/1/-1/", "path.round"),
        (f"/lottery/1/{2**31}/", "path.round"),
        ("/lottery/one/0/", "path.height"),
        *((f"/lottery/{text}/0/", "path.height") for text in NO_INTEGERS),
        *((f"/lottery/1/{text}/", "path.round") for text in NO_INTEGERS),
        *((f"/blockchain/?limit={text}", "query.limit") for text in ("", *NO_INTEGERS)),
        *((f"/blockchain/?before={text}", "query.before") for text in ("", *NO_INTEGERS)),
        *((f"/validators/?height={text}", "query.height") for text in ("", *NO_INTEGERS)),
    ],
)
def test_parameters_out_of_bounds_are_named(path: str, where: str) -> None:
    document = check_problem(ask(FakeNode(), f"{V1}{path}"), 422, "invalid_parameter")
    assert [error["where"] for error in document["errors"]] == [where]  # type: ignore[attr-defined]
    assert json.dumps(document)


@pytest.mark.parametrize("path", ["/status/?x=1", "/blockchain/?limt=5", "/validators/?height=1&x", "/status/?=1"])
def test_a_query_parameter_that_a_path_does_not_know(path: str) -> None:
    node = FakeNode()
    check_problem(ask(node, f"{V1}{path}"), 422, "unknown_parameter")
    assert node.asked == 0


def test_a_query_parameter_that_stands_twice() -> None:
    check_problem(ask(FakeNode(), f"{V1}/blockchain/?limit=1&limit=2"), 422, "invalid_parameter")


def test_no_answer_invites_other_origins() -> None:
    response = ask(FakeNode(), f"{V1}/status/", headers={"Origin": "https://example.org"})
    assert not [name for name in response.headers if name.startswith("access-control")]
    check_problem(
        ask(FakeNode(), f"{V1}/status/", "OPTIONS", headers={"Origin": "https://e.org"}), 405, "method_not_allowed"
    )
