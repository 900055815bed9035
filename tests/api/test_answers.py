"""Every path answers what its schema says, in both spellings, and says the right things."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from blockchain import __version__
from blockchain.api import (
    render,
    schemas,
    schemas_blocks,
    schemas_history,
    schemas_proofs,
    schemas_seeing,
    schemas_state,
    waiting,
)
from blockchain.api.app import create_app
from blockchain.api.routes import chain, history, transactions
from blockchain.api.server import ApiServer
from blockchain.node.liveness import stall_limit_ms
from blockchain.primitives import codec
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.validators import Validator, ValidatorSet
from tests.api.asking import app_for, ask, check_problem
from tests.api.fake_node import ALICE, BOB, GENESIS_HASH, SPEC, FakeNode

V1 = "/api/v1"
MSGPACK = {"Content-Type": "application/msgpack"}


def _get(node: FakeNode, path: str) -> Any:
    response = ask(node, path)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return response.json()


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
    assert _get(FakeNode(), "/ping/") == {"success": "pong!"}


# ---------------------------------------------------------------------------------------------------- blocks


def test_the_chain_is_the_newest_page_lowest_height_first() -> None:
    page = _get(FakeNode(heights=25), f"{V1}/blockchain/")
    assert [block["height"] for block in page["blocks"]] == list(range(6, 26))
    assert page["next"] == 6
    assert [len(block["transactions"]) for block in page["blocks"]] == [2] * 20


def test_pages_cover_the_chain_once() -> None:
    node = FakeNode(heights=25)
    heights: list[int] = []
    query, pages = "limit=10", 0
    while query:
        page = _get(node, f"{V1}/blockchain/?{query}")
        heights = [block["height"] for block in page["blocks"]] + heights
        query, pages = f"limit=10&before={page['next']}" if page["next"] else "", pages + 1
    assert heights == list(range(1, 26))
    assert pages == 3


@pytest.mark.parametrize(
    ("heights", "before", "expected", "following"), [(0, 9, [], None), (3, 1, [], None), (3, 99, [1, 2, 3], None)]
)
def test_the_ends_of_the_chain(heights: int, before: int, expected: list[int], following: int | None) -> None:
    page = _get(FakeNode(heights), f"{V1}/blockchain/?before={before}")
    assert [block["height"] for block in page["blocks"]] == expected
    assert page["next"] is following


def test_a_page_of_large_blocks_ends_early(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode(heights=5)
    found = node.block(5)
    assert found is not None
    monkeypatch.setattr(chain, "PAGE_BYTES_MAX", len(found.raw))
    page = _get(node, f"{V1}/blockchain/")
    assert [block["height"] for block in page["blocks"]] == [5]
    assert page["next"] == 5


def test_a_page_ends_where_this_node_has_no_block() -> None:
    node = FakeNode(heights=5)
    node.forget(2)
    page = _get(node, f"{V1}/blockchain/")
    assert [block["height"] for block in page["blocks"]] == [3, 4, 5]


def test_a_page_leaves_certificates_out_and_a_block_has_both() -> None:
    node = FakeNode()
    (block,) = _get(node, f"{V1}/blockchain/?limit=1")["blocks"]
    full = _get(node, f"{V1}/blocks/3/")
    assert block.keys() == full.keys() - {"certificate", "parent_certificate"}
    assert full["certificate"]["block_id"] == full["id"] == block["id"]
    assert len(full["certificate"]["precommits"]) == 1
    assert full["parent_certificate"]["precommits"] == []


def test_a_block_by_its_height_and_by_its_id() -> None:
    node = FakeNode()
    by_height = _get(node, f"{V1}/blocks/2/")
    assert by_height["height"] == 2
    assert _get(node, f"{V1}/blocks/{by_height['id']}/") == by_height
    assert _get(node, f"{V1}/blocks/{by_height['id'].upper()}/") == by_height
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
    page = _get(node, f"{V1}/blocks/?from=3&to=15&limit=10")
    assert (_heights(page), page["next"], page["height"]) == (list(range(3, 13)), 13, 25)
    page = _get(node, f"{V1}/blocks/?from=13&to=15&limit=10")
    assert (_heights(page), page["next"]) == ([13, 14, 15], None)
    assert _heights(_get(node, f"{V1}/blocks/")) == list(range(1, 21))


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
    page = _get(FakeNode(heights=25), f"{V1}/blocks/?{query}")
    assert (_heights(page), page["next"]) == (heights, following)


def test_a_range_of_large_blocks_ends_early_and_one_backwards_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode(heights=5)
    found = node.block(5)
    assert found is not None
    monkeypatch.setattr(chain, "PAGE_BYTES_MAX", 2 * len(found.raw))
    page = _get(node, f"{V1}/blocks/?from=3")
    assert (_heights(page), page["next"]) == ([3, 4], 5)
    monkeypatch.setattr(chain, "PAGE_BYTES_MAX", 1)
    assert _heights(_get(node, f"{V1}/blocks/?from=3")) == [3]
    check_problem(ask(node, f"{V1}/blocks/?from=3&to=2"), 422, "invalid_range")


# --------------------------------------------------------------------------------------------------- history


def _places(page: Any) -> list[tuple[int, int]]:
    return [(entry["height"], entry["position"]) for entry in page["entries"]]


def test_an_accounts_history_in_pages_that_new_blocks_do_not_move() -> None:
    node = FakeNode(heights=4)
    path = f"{V1}/accounts/{ALICE.address_text}/transactions/"
    page = _get(node, f"{path}?limit=3")
    assert (_places(page), page["next"]) == ([(4, 1), (4, 0), (3, 1)], "3:1")
    node.add_block()
    seen = _places(page)
    while page["next"]:
        page = _get(node, f"{path}?limit=3&cursor={page['next']}")
        seen += _places(page)
    assert seen == [(height, position) for height in (4, 3, 2, 1) for position in (1, 0)]
    assert _places(_get(node, path))[0] == (5, 1)


def test_an_entry_says_who_gave_and_in_which_block() -> None:
    node = FakeNode()
    given = _get(node, f"{V1}/accounts/{ALICE.address_text}/transactions/")["entries"][0]
    taken = _get(node, f"{V1}/accounts/{BOB.address_text}/transactions/")["entries"][0]
    assert (given.pop("direction"), taken.pop("direction")) == ("out", "in")
    assert given == taken
    assert given["block_id"] == _get(node, f"{V1}/blocks/3/")["id"]
    assert given["transaction"]["sender"] == ALICE.address_text
    assert _get(node, f"{V1}/accounts/{'ab' * 32}/transactions/") == {"entries": [], "next": None}


def test_directions() -> None:
    for made, direction in (
        (ALICE.transfer(ALICE.address, 1, 0), "self"),
        (ALICE.stake(1, 0), "out"),
        (BOB.exchange(ALICE.address, 1, 0), "in"),
        (ALICE.exchange(BOB.address, 1, 0), "out"),
    ):
        assert render.direction(made.transaction, ALICE.address) == direction


def test_a_page_of_the_history_reads_so_many_bytes_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "PAGE_BYTES_MAX", 1)
    page = _get(FakeNode(), f"{V1}/accounts/{ALICE.address_text}/transactions/")
    assert (_places(page), page["next"]) == ([(3, 1), (3, 0)], "3:0")


# ------------------------------------------------------------------------------------------------------ fees


def test_the_fees_of_recent_blocks() -> None:
    node = FakeNode()
    node.make_pending()
    assert _get(node, f"{V1}/fees/") == {
        "minimum": 0,
        "is_pool_full": False,
        "pending": 1,
        "blocks": 3,
        "transactions": 6,
        "included": {"min": 0, "median": 0, "max": 0},
    }
    node.add_block(fees=(7, 3, 5))
    assert _get(node, f"{V1}/fees/")["included"] == {"min": 0, "median": 0, "max": 7}
    node.add_block(fees=(7, 3, 5, 6))
    assert _get(node, f"{V1}/fees/")["included"] == {"min": 0, "median": 3, "max": 7}


def test_the_fees_of_an_empty_chain_and_of_a_full_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode(0)
    node.make_pending()
    assert _get(node, f"{V1}/fees/")["included"] is None
    monkeypatch.setattr(history, "TRANSACTIONS_MAX", 1)
    answer = _get(node, f"{V1}/fees/")
    assert (answer["is_pool_full"], answer["minimum"]) == (True, None)


def test_genesis_says_what_all_share() -> None:
    genesis = _get(FakeNode(), f"{V1}/genesis/")
    assert genesis["hash"] == GENESIS_HASH.hex()
    assert genesis["account_count"] == 1
    assert genesis["accounts"] == [{"address": ALICE.address_text, "balance": 1_000}]
    assert genesis["parameters"]["block_threshold"] == 2
    assert genesis["issuer"] == BOB.address_text


# ---------------------------------------------------------------------------------------------- transactions


def test_the_pool_is_a_list_oldest_first() -> None:
    node = FakeNode()
    made = [node.make_pending() for _ in range(3)]
    response = ask(node, f"{V1}/transaction/transaction_pool/")
    assert [one["id"] for one in response.json()] == [one.id.hex() for one in made]
    assert response.headers["x-total-count"] == "3"
    limited = ask(node, f"{V1}/transaction/transaction_pool/?limit=2")
    assert [one["id"] for one in limited.json()] == [one.id.hex() for one in made[:2]]
    assert limited.headers["x-total-count"] == "3"


def test_a_large_pool_is_listed_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    node = FakeNode()
    made = node.make_pending()
    node.pool = [made] * (transactions.POOL_LISTED_MAX + 1)
    response = ask(node, f"{V1}/transaction/transaction_pool/")
    assert len(response.json()) == transactions.POOL_LISTED_MAX
    assert response.headers["x-total-count"] == str(transactions.POOL_LISTED_MAX + 1)


def test_the_states_of_a_transaction() -> None:
    node = FakeNode()
    pending, refused = node.make_pending(), node.make_refused()
    final_id = _get(node, f"{V1}/blocks/3/")["transactions"][1]["id"]

    answer = _get(node, f"{V1}/transactions/{pending.id.hex()}/")
    assert (answer["state"], answer["height"], answer["refusal"]) == ("pending", None, None)
    assert answer["transaction"]["nonce"] == pending.transaction.nonce

    answer = _get(node, f"{V1}/transactions/{final_id}/")
    assert (answer["state"], answer["height"], answer["position"]) == ("final", 3, 1)

    answer = _get(node, f"{V1}/transactions/{refused.id.hex()}/")
    assert (answer["state"], answer["transaction"]) == ("evicted", None)
    assert answer["stages"] == [
        {"stage": "received", "time_ms": 4_000, "height": None, "round": None, "code": None, "why": "from a client"},
        {
            "stage": "evicted",
            "time_ms": 5_000,
            "height": None,
            "round": None,
            "code": "evicted",
            "why": "the pool was full",
        },
    ]
    assert answer["refusal"] == {"code": "evicted", "why": "the pool was full", "time_ms": 5_000}
    for one in (pending.id.hex(), final_id, refused.id.hex()):
        schemas.TransactionAnswer.model_validate(_get(node, f"{V1}/transactions/{one}/"))


def test_a_request_may_wait_for_the_end_of_a_transaction() -> None:
    node = FakeNode()
    made = node.make_pending()
    node.finalize_while_waiting(made)
    answer = _get(node, f"{V1}/transactions/{made.id.hex()}/?wait=final&timeout=7")
    assert (answer["state"], node.waited) == ("final", [((made.id,), 7)])
    other = node.make_pending()
    assert _get(node, f"{V1}/transactions/{other.id.hex()}/?wait=final")["state"] == "pending"  # the time was over
    assert node.waited[-1] == ((other.id,), waiting.WAIT_SECONDS)
    check_problem(ask(node, f"{V1}/transactions/{'00' * 32}/?wait=final"), 404, "transaction_not_found")


def test_beyond_a_number_nobody_waits_and_nothing_is_handed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAITS_MAX", 0)
    node = FakeNode()
    made = node.make_pending()
    response = ask(node, f"{V1}/transactions/{made.id.hex()}/?wait=final")
    check_problem(response, 503, "busy")
    assert response.headers["retry-after"] == "1"
    new = ALICE.transfer(BOB.address, 1, 100)
    response = ask(node, f"{V1}/transaction/create/?wait=final", "POST", content=new.raw, headers=MSGPACK)
    check_problem(response, 503, "busy")
    assert node.submitted == []


def test_no_client_takes_all_places_of_those_who_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "CLIENT_WAITS_MAX", 2)

    async def crowd() -> None:
        node = FakeNode()
        node.is_slow = True
        path = f"{V1}/transactions/{node.make_pending().id.hex()}/?wait=final"
        app = app_for(node)

        async def get(client: str) -> httpx.Response:
            transport = httpx.ASGITransport(app, client=(client, 4321))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return await http.get(path)

        tasks = []
        for client in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1"):  # the first two are the same
            tasks.append(asyncio.create_task(get(client)))
            await asyncio.wait_for(node.begins_to_wait.wait(), 30)
            node.begins_to_wait.clear()
        refused = check_problem(await get("192.0.2.7"), 503, "busy")
        assert "of this client" in str(refused["detail"])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert app.state.waits.of_clients == {}

    asyncio.run(crowd())


def test_handing_in_and_waiting_is_one_request() -> None:
    node = FakeNode()
    made = [ALICE.transfer(BOB.address, 1, nonce) for nonce in (100, 101, 102)]
    node.refuse[made[1].id] = ("nonce_used", "used")
    node.finalize_while_waiting(made[0])
    path, body = f"{V1}/transaction/create/?wait=final&timeout=2", codec.encode([one.raw for one in made])
    response = ask(node, path, "POST", content=body, headers=MSGPACK)
    assert response.status_code == 202  # the third is pending, which is no error
    answer = schemas.SubmissionAnswer.model_validate_json(response.content)
    assert answer.ids == [made[0].id.hex(), made[2].id.hex()]
    assert answer.outcomes is not None
    assert [(one.id, one.state, one.height) for one in answer.outcomes] == [
        (made[0].id.hex(), "final", 1),
        (made[2].id.hex(), "pending", None),
    ]
    assert node.waited == [((made[0].id, made[2].id), 2)]
    assert ask(node, path, "POST", content=made[0].raw, headers=MSGPACK).status_code == 200
    refused = ask(node, path, "POST", content=made[1].raw, headers=MSGPACK)
    check_problem(refused, 422, "nonce_used")
    assert len(node.waited) == 2


def test_a_client_that_leaves_waits_no_longer() -> None:
    async def leave() -> None:
        node = FakeNode()
        node.is_slow = True
        made = node.make_pending()
        app = create_app(node)
        server = ApiServer(app, "127.0.0.1", 0)
        await server.start()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            path = f"{V1}/transactions/{made.id.hex()}/?wait=final"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await asyncio.wait_for(node.begins_to_wait.wait(), 30)
            assert app.state.waits.count == 1
            writer.close()
            await asyncio.wait_for(node.stops_waiting.wait(), 30)
        finally:
            await server.stop()
        assert app.state.waits.count == 0

    asyncio.run(leave())


def test_a_transaction_that_this_node_does_not_know() -> None:
    check_problem(ask(FakeNode(), f"{V1}/transactions/{'00' * 32}/"), 404, "transaction_not_found")
    check_problem(ask(FakeNode(), f"{V1}/transactions/7/"), 422, "invalid_transaction_id")


# ---------------------------------------------------------------------------------------------------- proofs


def test_a_transactions_proof_says_what_it_proves() -> None:
    node = FakeNode()
    identifier = node.final_id()
    proof = _get(node, f"{V1}/transactions/{identifier.hex()}/proof/")
    assert (proof["id"], proof["position"], proof["block"]["height"]) == (identifier.hex(), 0, 1)
    assert len(proof["path"]) == 1
    assert proof["certificate"]["block_id"] == proof["block"]["id"]


def test_what_is_not_final_has_no_proof() -> None:
    node = FakeNode()
    for made in (node.make_pending(), node.make_refused()):
        check_problem(ask(node, f"{V1}/transactions/{made.id.hex()}/proof/"), 404, "transaction_not_final")
    check_problem(ask(node, f"{V1}/transactions/{'00' * 32}/proof/"), 404, "transaction_not_found")
    check_problem(ask(node, f"{V1}/transactions/7/proof/"), 422, "invalid_transaction_id")


def test_an_accounts_proof_stands_on_the_newest_block() -> None:
    proof = _get(FakeNode(), f"{V1}/accounts/{BOB.address.hex()}/proof/")
    assert (proof["address"], proof["block"]["height"], len(proof["proof"]["queries"])) == (BOB.address_text, 3, 2)
    check_problem(ask(FakeNode(0), f"{V1}/accounts/{BOB.address.hex()}/proof/"), 404, "no_final_block")
    check_problem(ask(FakeNode(), f"{V1}/accounts/pos1/proof/"), 422, "invalid_address")


# ----------------------------------------------------------------------------------------------------- state


def test_status_in_a_few_lines() -> None:
    node = FakeNode()
    node.make_pending()
    status = _get(node, f"{V1}/status/")
    assert (status["version"], status["chain_id"]) == (__version__, "test")
    assert (status["height"], status["is_halted"], status["is_syncing"]) == (3, "", False)
    assert status["validator"] == ALICE.address_text
    assert (status["pool"]["pending"], status["pool"]["threshold"]) == (1, 2)
    assert status["waiting_for"] == "pool holds 1 of 2"


def test_consensus_says_whose_stake_is_missing() -> None:
    consensus = _get(FakeNode(), f"{V1}/consensus/")
    assert (consensus["height"], consensus["round"], consensus["step"]) == (4, 0, "propose")
    assert consensus["missing_prevotes"] == [{"validator": ALICE.address_text, "stake": 1}]
    assert consensus["quorum_stake"] == 1
    assert (consensus["online_stake"], consensus["offline"]) == (0, [{"validator": ALICE.address_text, "stake": 1}])
    assert consensus["locked_block"] is None


@pytest.mark.parametrize("spelling", [ALICE.address_text, ALICE.address_text.upper(), ALICE.address.hex()])
def test_an_account_by_each_spelling_of_its_address(spelling: str) -> None:
    account = _get(FakeNode(), f"{V1}/accounts/{spelling}/")
    assert account["address"] == ALICE.address_text
    assert (account["balance"], account["stake"], account["next_nonce"]) == (994, 1, 6)


def test_an_account_that_holds_nothing() -> None:
    account = _get(FakeNode(), f"{V1}/accounts/{BOB.address_text}/")
    assert (account["balance"], account["nonce"], account["validator_key"]) == (0, 0, None)


@pytest.mark.parametrize("address", ["pos1", "x", ALICE.address_text[:-1] + "q", "ab" * 31])
def test_what_is_no_address(address: str) -> None:
    check_problem(ask(FakeNode(), f"{V1}/accounts/{address}/"), 422, "invalid_address")


def test_the_validators_come_in_pages_in_the_order_of_their_lots() -> None:
    node = FakeNode()
    members = [Validator(Address(digest * 32), PublicKey(digest * 32), 1) for digest in (b"\x09", b"\x03", b"\x05")]
    node.members = ValidatorSet(members)
    first = _get(node, f"{V1}/validators/?limit=2")
    assert (first["count"], first["total_stake"], len(first["validators"])) == (3, 3, 2)
    second = _get(node, f"{V1}/validators/?limit=2&after={first['next']}&height={first['height']}")
    assert second["next"] is None and second["hash"] == first["hash"]
    shown = [one["address"] for one in (*first["validators"], *second["validators"])]
    assert shown == [format_address(one.address) for one in node.members.validators]
    assert _get(node, f"{V1}/validators/?after={shown[2]}")["validators"] == []
    between = format_address(Address(b"\x04" * 32))
    assert [one["address"] for one in _get(node, f"{V1}/validators/?after={between}")["validators"]] == shown[1:]
    assert ask(node, f"{V1}/validators/?limit=1001").status_code == 422
    assert ask(node, f"{V1}/validators/?after=nobody").json()["code"] == "invalid_address"


def test_one_validator_with_the_heights_that_it_missed() -> None:
    told = _get(FakeNode(), f"{V1}/validators/{ALICE.address_text}/")
    assert told["missed_heights"] == [{"height": 1, "reason": "late", "late_ms": 12}]
    response = ask(FakeNode(), f"{V1}/validators/{BOB.address_text}/")
    assert (response.status_code, response.json()["code"]) == (404, "validator_not_found")


def test_a_height_that_is_not_there_yet_has_no_why() -> None:
    assert _get(FakeNode(), f"{V1}/consensus/why/?height=4")["final"] is None
    response = ask(FakeNode(), f"{V1}/consensus/why/?height=5")
    assert (response.status_code, response.json()["code"]) == (404, "height_not_found")


def test_the_validators_of_a_height() -> None:
    node = FakeNode()
    now, then = _get(node, f"{V1}/validators/"), _get(node, f"{V1}/validators/?height=2")
    assert (now["height"], then["height"], now["total_stake"]) == (4, 2, 1)
    member = {"address": format_address(ALICE.address), "key": ALICE.address.hex(), "stake": 1, "share": 1.0}
    record = {"draws": 3, "expected_wins": 3.0, "wins": 3, "p_value": 1.0, "forged": 3, "let_pass": 1}
    record |= {"certificates": 2, "missed": 1, "uptime": 0.5, "earned_forging": 6, "earned_signing": 3, "lost": 4}
    assert now["validators"] == [{**member, "is_online": False, "record": record}]
    assert then["validators"] == [{**member, "is_online": None, "record": None}]
    assert (now["window"], then["window"]) == ({"first": 1, "last": 3, "blocks": 3}, None)
    check_problem(ask(node, f"{V1}/validators/?height=5"), 404, "validators_not_found")


def test_peers_and_why_others_could_not_be_reached() -> None:
    answer = _get(FakeNode(), f"{V1}/peers/")
    assert answer["peers"][0]["address"] == "localhost:8011"
    (dial,) = answer["dials"]
    assert (dial["attempts"], dial["last_error"], dial["is_connected"]) == (4, "connection refused", False)
    assert (dial["last_attempt_ms"], dial["next_attempt_ms"]) == (9_000, 13_000)


def test_peers_come_with_their_scores_and_who_is_banned() -> None:
    answer = _get(FakeNode(), f"{V1}/peers/")
    (peer,) = answer["peers"]
    assert (peer["remote"], peer["agent"], peer["score"]) == ("127.0.0.1", "blockchain/1.0", 5)
    id_ban, address_ban = answer["bans"]
    assert (id_ban["peer"], id_ban["address"]) == ("0f" * 32, "")
    assert (address_ban["peer"], address_ban["address"]) == (None, "203.0.113.7")
    assert (id_ban["reason"], id_ban["seconds_left"], id_ban["times"]) == ("bad_signature", 431, 1)


def test_a_lottery_receipt() -> None:
    receipt = _get(FakeNode(), f"{V1}/lottery/2/0/")
    assert receipt["forger"] == ALICE.address_text
    assert (receipt["interval"], receipt["point"], receipt["total_stake"]) == ([0, 1], 0, 1)
    assert receipt["vrf_proof"] == "b2" * 80
    other = _get(FakeNode(), f"{V1}/lottery/2/1/")
    assert (other["vrf_proof"], other["left_out"]) == (None, [BOB.address_text])
    check_problem(ask(FakeNode(), f"{V1}/lottery/9/0/"), 404, "lottery_not_found")


# ---------------------------------------------------------------------------------------------------- health


def test_a_node_that_halted_is_alive_and_not_ready() -> None:
    node = FakeNode()
    node.is_halted = "two certificates at height 3"
    document = check_problem(ask(node, "/readyz"), 503, "not_ready")
    assert document["checks"] == {
        "not_halted": {"ok": False, "why": "halted: two certificates at height 3"},
        "synced": {"ok": True, "why": ""},
        "not_stalled": {"ok": True, "why": ""},
        "trusted": {"ok": True, "why": ""},
        "signs": {"ok": True, "why": ""},
    }
    assert "two certificates" in str(document["detail"])
    assert ask(node, "/livez").status_code == 200
    document = check_problem(ask(node, "/health"), 503, "not_usable")
    assert "two certificates" in str(document["detail"])


def test_a_node_that_is_syncing_is_not_ready() -> None:
    node = FakeNode()
    node.is_syncing = True
    document = check_problem(ask(node, "/readyz"), 503, "not_ready")
    assert document["detail"] == "syncing: at height 3, a peer at 8"
    health = ask(node, "/health")
    assert health.status_code == 206
    answer = schemas.SyncingAnswer.model_validate_json(health.content)
    assert [name for name, check in answer.checks.items() if not check.ok] == ["synced"]


def test_a_node_that_does_not_trust_its_chain_is_not_ready() -> None:
    node = FakeNode()
    node.untrusted = "block 3 is too old"
    document = check_problem(ask(node, "/readyz"), 503, "not_ready")
    assert document["detail"] == "not trusted: block 3 is too old"
    check_problem(ask(node, "/health"), 503, "not_usable")
    assert ask(node, f"{V1}/status/").json()["untrusted"] == "block 3 is too old"


def test_a_validator_that_signs_nothing_is_not_ready() -> None:
    node = FakeNode()
    node.silent = "another process has its key"
    document = check_problem(ask(node, "/readyz"), 503, "not_ready")
    assert document["detail"] == "signs nothing: another process has its key"
    assert ask(node, f"{V1}/status/").json()["silent"] == "another process has its key"
    node.is_syncing = True
    assert ask(node, "/health").status_code == 206, "first it catches up, as any other"


def test_a_chain_that_is_stopped_is_not_ready_and_its_node_not_usable() -> None:
    node = FakeNode()
    node.stalled_ms = stall_limit_ms(SPEC.parameters) - 1
    assert ask(node, "/readyz").status_code == 200
    node.stalled_ms += 1
    document = check_problem(ask(node, "/readyz"), 503, "not_ready")
    assert document["detail"] == "stopped: nothing final for 20 s, waiting for pool holds 1 of 2"
    check_problem(ask(node, "/health"), 503, "not_usable")
    node.is_syncing = True
    check_problem(ask(node, "/health"), 503, "not_usable")


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
