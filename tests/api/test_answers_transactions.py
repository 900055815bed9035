"""What the API tells of transactions, in every state of their lives, and their proofs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from fastapi import Request
from starlette.types import Message

from blockchain.api import schemas, waiting
from blockchain.api.app import create_app
from blockchain.api.routes import transactions
from blockchain.api.server import ApiServer
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from tests.api.asking import app_for, ask, check_problem, get_json
from tests.api.fake_node import ALICE, BOB, FakeNode

V1 = "/api/v1"
MSGPACK = {"Content-Type": "application/msgpack"}


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
    final_id = get_json(node, f"{V1}/blocks/3/")["transactions"][1]["id"]

    answer = get_json(node, f"{V1}/transactions/{pending.id.hex()}/")
    assert (answer["state"], answer["height"], answer["refusal"]) == ("pending", None, None)
    assert answer["transaction"]["nonce"] == pending.transaction.nonce

    answer = get_json(node, f"{V1}/transactions/{final_id}/")
    assert (answer["state"], answer["height"], answer["position"]) == ("final", 3, 1)

    answer = get_json(node, f"{V1}/transactions/{refused.id.hex()}/")
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
        schemas.TransactionAnswer.model_validate(get_json(node, f"{V1}/transactions/{one}/"))


def test_a_request_may_wait_for_the_end_of_a_transaction() -> None:
    node = FakeNode()
    made = node.make_pending()
    node.finalize_while_waiting(made)
    answer = get_json(node, f"{V1}/transactions/{made.id.hex()}/?wait=final&timeout=7")
    assert (answer["state"], node.waited) == ("final", [((made.id,), 7)])
    other = node.make_pending()
    assert get_json(node, f"{V1}/transactions/{other.id.hex()}/?wait=final")["state"] == "pending"  # the time was over
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
        refused = check_problem(await asyncio.wait_for(get("192.0.2.7"), 30), 503, "busy")
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


@pytest.mark.parametrize("who", ["the transaction", "the client"])
def test_whoever_waits_is_told_of_the_end_within_two_turns_of_the_loop(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn of a busy loop takes milliseconds."""

    async def told() -> None:
        node, ended, left = FakeNode(), asyncio.Event(), asyncio.Event()

        async def wait(_: object, __: object) -> None:
            await ended.wait()

        async def receive() -> Message:
            await left.wait()
            return {"type": "http.disconnect"}

        monkeypatch.setattr(node, "wait_ended", wait)
        request = Request({"type": "http"}, receive)
        waiting_for_it = asyncio.create_task(waiting.wait_ended(request, node, [Hash32(bytes(32))], 60))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        (ended if who == "the transaction" else left).set()
        for _ in range(2 if who == "the transaction" else 5):
            await asyncio.sleep(0)
        assert waiting_for_it.done() and waiting_for_it.exception() is None

    asyncio.run(told())


def test_a_client_that_leaves_in_the_turn_in_which_its_transaction_ends_leaves_no_error_behind() -> None:
    ended, left, errors = asyncio.Event(), asyncio.Event(), list[dict[str, Any]]()

    class _Node(FakeNode):
        async def wait_ended(self, transaction_ids: Sequence[Hash32], seconds: float) -> None:
            await ended.wait()

    async def receive() -> Message:
        await left.wait()
        return {"type": "http.disconnect"}

    async def both() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        request = Request({"type": "http"}, receive)
        waiting_for_it = asyncio.create_task(waiting.wait_ended(request, _Node(), [Hash32(bytes(32))], 60))
        for _ in range(3):
            await asyncio.sleep(0)
        left.set()
        ended.set()
        await waiting_for_it
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(both())
    assert errors == []


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
    proof = get_json(node, f"{V1}/transactions/{identifier.hex()}/proof/")
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
    proof = get_json(FakeNode(), f"{V1}/accounts/{BOB.address.hex()}/proof/")
    assert (proof["address"], proof["block"]["height"], len(proof["proof"]["queries"])) == (BOB.address_text, 3, 2)
    check_problem(ask(FakeNode(0), f"{V1}/accounts/{BOB.address.hex()}/proof/"), 404, "no_final_block")
    check_problem(ask(FakeNode(), f"{V1}/accounts/pos1/proof/"), 422, "invalid_address")
