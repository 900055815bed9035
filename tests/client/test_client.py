"""Both clients against the API itself: the same calls, the same answers, the same errors."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Callable
from typing import Any, Protocol

import httpx
import msgspec
import pytest

from blockchain.api import examples
from blockchain.api.app import create_app
from blockchain.api.server import ApiServer
from blockchain.client import Account, AsyncClient, Client, RequestRefused, TransactionState, calls
from blockchain.errors import InvalidTransaction, NodeUnreachable
from blockchain.primitives.crypto import Address, PublicKey
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.primitives.validators import Validator, ValidatorSet
from tests.api.asking import app_for
from tests.api.asking import ask as ask_api
from tests.api.fake_node import ALICE, BOB, GENESIS_HASH, FakeNode

Ask = Callable[..., Any]


class _InLoop(httpx.BaseTransport):
    """A transport for the sync client that runs the application for each request."""

    def __init__(self, node: FakeNode) -> None:
        self._app = app_for(node)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def once() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            response = await transport.handle_async_request(
                httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
            )
            return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

        return asyncio.run(once())


class Asker(Protocol):
    def __call__(self, node: FakeNode, method: str, *arguments: object) -> Any: ...


def ask_sync(node: FakeNode, method: str, *arguments: object) -> Any:
    with Client("http://localhost/", transport=_InLoop(node)) as client:
        return getattr(client, method)(*arguments)


def ask_async(node: FakeNode, method: str, *arguments: object) -> Any:
    async def once() -> Any:
        async with AsyncClient("http://localhost/", transport=httpx.ASGITransport(app_for(node))) as client:
            return await getattr(client, method)(*arguments)

    return asyncio.run(once())


both = pytest.mark.parametrize("ask", [ask_sync, ask_async])


def _made(count: int) -> list[VerifiedTransaction]:
    return [ALICE.transfer(BOB.address, 1, nonce) for nonce in range(100, 100 + count)]


def test_an_older_node_does_not_tell_from_which_height_a_key_counts() -> None:
    told = {name: value for name, value in examples.ACCOUNT.items() if name != "validator_key_from"}
    assert msgspec.convert(told, Account).validator_key_from is None
    assert msgspec.convert(examples.ACCOUNT, Account).validator_key_from == 0


@both
def test_each_question_has_its_answer(ask: Asker) -> None:
    node = FakeNode()
    pending = node.make_pending()
    assert ask(node, "ping") is True
    assert ask(node, "status").genesis_hash == GENESIS_HASH.hex()
    assert ask(node, "genesis").hash == GENESIS_HASH.hex()
    assert ask(node, "consensus").missing_prevotes[0].validator == ALICE.address_text
    assert ask(node, "account", ALICE.address_text).balance == 994
    assert ask(node, "account", ALICE.address.hex()).address == ALICE.address_text
    assert ask(node, "validators").height == 4
    assert ask(node, "validators", 2).validators[0].stake == 1
    assert ask(node, "peers").dials[0].last_error == "connection refused"
    assert ask(node, "lottery", 2, 1).left_out == (BOB.address_text,)
    assert [one.id for one in ask(node, "pool")] == [pending.id.hex()]
    assert ask(node, "pool", 1)[0].payload == {"recipient": BOB.address_text, "amount": 1}
    assert ask(node, "transaction", pending.id.hex()).state == "pending"


@both
def test_blocks_by_page_by_height_and_by_id(ask: Asker) -> None:
    node = FakeNode(heights=25)
    page = ask(node, "blocks")
    assert [block.height for block in page.blocks] == list(range(6, 26))
    older = ask(node, "blocks", page.next, 100)
    assert [block.height for block in older.blocks] == list(range(1, 6))
    assert older.next is None
    block = ask(node, "block", 2)
    assert ask(node, "block", block.id) == block
    assert block.certificate.block_id == block.id
    assert page.blocks[0].certificate is None


@both
def test_ranges_history_and_fees(ask: Asker) -> None:
    node = FakeNode(heights=25)
    page = ask(node, "block_range", 3)
    assert ([block.height for block in page.blocks], page.next, page.height) == (list(range(3, 23)), 23, 25)
    assert [block.height for block in ask(node, "block_range", 3, 9, 2).blocks] == [3, 4]
    history = ask(node, "history", ALICE.address_text, None, 1)
    assert (history.entries[0].height, history.next) == (25, "25:1")
    assert ask(node, "history", ALICE.address.hex(), history.next).entries[0].position == 0
    with pytest.raises(RequestRefused, match="cursor"):
        ask(node, "history", ALICE.address_text, "x")
    assert ask(node, "fees").included.max == 0


@both
def test_a_dry_run_hands_nothing_in(ask: Asker) -> None:
    node = FakeNode()
    (made,) = _made(1)
    answer = ask(node, "dry_run", made)
    assert (answer.outcome, answer.signature, answer.id) == ("applies", "good", made.id.hex())
    assert answer.changes[0].after.balance == 993
    assert node.submitted == []


@both
def test_proofs_come_as_what_is_checked(ask: Asker) -> None:
    node = FakeNode()
    assert ask(node, "transaction_proof", node.final_id().hex()).position == 0
    assert len(ask(node, "account_proof", ALICE.address_text).proof.queries) == 2
    assert ask(node, "transaction_proof", node.make_pending().id.hex()) is None
    assert ask(FakeNode(0), "account_proof", ALICE.address_text) is None


@both
def test_what_the_node_does_not_have_is_none(ask: Asker) -> None:
    node = FakeNode()
    assert ask(node, "block", 99) is None
    assert ask(node, "block", "00" * 32) is None
    assert ask(node, "transaction", "00" * 32) is None
    assert ask(node, "validators", 99) is None
    assert ask(node, "lottery", 99, 0) is None
    assert ask(node, "why", 99) is None
    assert ask(node, "validator", BOB.address_text) is None


@both
def test_what_a_node_saw(ask: Asker) -> None:
    node = FakeNode()
    assert ask(node, "why").final is None and ask(node, "why", 2).seen.rounds[0].late_ms == 3
    assert ask(node, "validator", ALICE.address_text).missed_heights[0].reason == "late"


@both
def test_a_set_of_more_than_a_page_comes_whole(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "VALIDATORS_PAGE", 2)
    node = FakeNode()
    node.members = ValidatorSet(
        Validator(Address(bytes([at]) * 32), PublicKey(bytes([at]) * 32), 1) for at in range(1, 6)
    )
    for height in (None, 2):
        told = ask(node, "validators", height)
        assert (len(told.validators), told.count, told.next) == (5, 5, None)
        assert told.height == (height or 4)


@both
def test_submitting_gives_the_ids_and_may_be_repeated(ask: Asker) -> None:
    node = FakeNode()
    made = _made(3)
    ids = [one.id.hex() for one in made]
    assert ask(node, "submit", made) == ids
    assert ask(node, "submit", iter(made)) == ids
    assert [one.id for one in node.pool] == [one.id for one in made]


@both
def test_more_than_one_request_holds_goes_in_several(ask: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "SUBMISSION_TRANSACTIONS_MAX", 2)
    node = FakeNode()
    made = _made(5)
    assert ask(node, "submit", made) == [one.id.hex() for one in made]
    assert [len(raws) for raws in node.submitted] == [2, 2, 1]
    assert ask(node, "submit", []) == []


@both
def test_a_refused_transaction_raises_its_code(ask: Asker) -> None:
    node = FakeNode()
    made = _made(3)
    node.refuse[made[1].id] = ("nonce_used", "nonce 101 is used")
    with pytest.raises(InvalidTransaction, match="nonce 101 is used") as caught:
        ask(node, "submit", made)
    assert caught.value.code == "nonce_used"
    with pytest.raises(InvalidTransaction) as caught:
        ask(node, "submit", made[1:2])
    assert caught.value.code == "nonce_used"


@both
def test_each_result_of_a_submission(ask: Asker) -> None:
    node = FakeNode()
    made = _made(2)
    node.refuse[made[0].id] = ("pool_full", "no room")
    first, second = ask(node, "submit_each", made)
    assert (first.id, first.is_accepted, first.code, first.why) == (made[0].id.hex(), False, "pool_full", "no room")
    assert (second.id, second.is_accepted) == (made[1].id.hex(), True)
    node.refuse[made[1].id] = ("pool_full", "no room")
    assert [result.code for result in ask(node, "submit_each", made)] == ["pool_full", "pool_full"]
    assert [result.code for result in ask(node, "submit_each", made[:1])] == ["pool_full"]


@both
def test_a_problem_keeps_its_code(ask: Asker) -> None:
    with pytest.raises(RequestRefused) as caught:
        ask(FakeNode(), "account", "pos1")
    assert (caught.value.status, caught.value.code) == (422, "invalid_address")
    with pytest.raises(RequestRefused) as caught:
        ask(FakeNode(), "blocks", None, 101)
    assert caught.value.code == "invalid_parameter"
    broken = FakeNode()
    broken.breaks_with = RuntimeError("no")
    with pytest.raises(RequestRefused) as caught:
        ask(broken, "status")
    assert (caught.value.status, caught.value.code) == (500, "internal_error")


@both
@pytest.mark.parametrize("reference", ["", "../status", "1/2", "1?x=1", "ab cd", "٣"])
def test_what_is_no_reference_makes_no_path(ask: Asker, reference: str) -> None:
    node = FakeNode()
    for method in ("block", "transaction", "account"):
        with pytest.raises(RequestRefused) as caught:
            ask(node, method, reference)
        assert caught.value.code == "invalid_reference"
    assert node.asked == 0


# ------------------------------------------------------------------------------------------ no node, or a bad one


def _answering(handler: Callable[[httpx.Request], httpx.Response], how: str, method: str, *arguments: object) -> Any:
    transport = httpx.MockTransport(handler)
    if how == "sync":
        with Client("http://node", transport=transport) as client:
            return getattr(client, method)(*arguments)

    async def once() -> Any:
        async with AsyncClient("http://node", transport=transport) as client:
            return await getattr(client, method)(*arguments)

    return asyncio.run(once())


hows = pytest.mark.parametrize("how", ["sync", "async"])


@hows
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (httpx.ConnectError("All connection attempts failed"), "is the node running"),
        (httpx.ReadTimeout("timed out"), "did not answer in time"),
        (httpx.UnsupportedProtocol("unsupported protocol 'localhost://'"), "no URL of a node, such as http://"),
        (httpx.RemoteProtocolError("peer closed connection"), "peer closed connection"),
        (httpx.ReadError(""), "ReadError"),
    ],
)
def test_no_answer_is_one_clear_error(how: str, error: httpx.HTTPError, why: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(NodeUnreachable, match=why) as caught:
        _answering(fail, how, "status")
    assert caught.value.url == "http://node"
    assert "\n" not in str(caught.value)


@hows
@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b"<html>"),
        (200, b"{}"),
        (200, b"\xff"),
        (200, b"[" * 100_000),
        (404, b"Not Found"),
        (502, b"Bad Gateway"),
        (503, b"Service Unavailable"),
        (500, b'"\xed\xa0\x80"'),
    ],
)
def test_an_answer_that_is_no_nodes(how: str, status: int, content: bytes) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=content)

    for method, arguments in (("status", ()), ("transaction", ("00" * 32,)), ("submit", (_made(1),))):
        with pytest.raises(NodeUnreachable):
            _answering(answer, how, method, *arguments)


@hows
def test_an_endless_answer_is_cut_off(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blockchain.client.http.ANSWER_BYTES_MAX", 100)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"x" * 101)

    with pytest.raises(NodeUnreachable, match="more than 100 bytes"):
        _answering(answer, how, "status")


@hows
@pytest.mark.parametrize("told", ["none", "00" * 31, "xx" * 32])
def test_a_chain_that_is_none_is_unreadable(how: str, told: str) -> None:
    """It is what a client signs for."""
    status = ask_api(FakeNode(), "/api/v1/status/").json()

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={**status, "genesis_hash": told})

    with pytest.raises(NodeUnreachable, match="unreadable"):
        _answering(answer, how, "status")


@hows
def test_an_answer_is_not_unpacked(how: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["accept-encoding"] == "identity"
        packed = gzip.compress(gzip.compress(b'{"success": "pong!"}'))
        return httpx.Response(200, headers={"Content-Encoding": "gzip, gzip"}, stream=httpx.ByteStream(packed))

    with pytest.raises(NodeUnreachable, match="compressed"):
        _answering(answer, how, "ping")


@pytest.mark.parametrize("url", ["", "localhost:8050", "http://[", "ftp://node"])
def test_what_is_no_url(url: str) -> None:
    with Client(url) as client, pytest.raises(NodeUnreachable):
        client.status()


@hows
def test_unknown_fields_of_a_newer_node_are_ignored(how: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"success": "pong!", "mood": "good"})

    assert _answering(answer, how, "ping") is True


# ------------------------------------------------------------------------------------------------- a real server


def test_both_clients_over_a_real_port() -> None:
    async def once() -> None:
        node = FakeNode()
        server = ApiServer(create_app(node), "127.0.0.1", 0)
        await server.start()
        url = f"http://127.0.0.1:{server.port}"
        made = _made(2)
        try:
            async with AsyncClient(url) as client:
                assert await client.submit(made) == [one.id.hex() for one in made]
                assert (await client.status()).pool.pending == 2

            def ask() -> TransactionState | None:
                with Client(url) as sync_client:
                    return sync_client.transaction(made[0].id.hex())

            found = await asyncio.to_thread(ask)
            assert found is not None
            assert found.state == "pending"
        finally:
            await server.stop()
        async with AsyncClient(url) as client:
            with pytest.raises(NodeUnreachable, match="is the node running"):
                await client.status()

    asyncio.run(once())


def test_a_type_is_looked_at_by_one_thread_at_a_time() -> None:
    """Two threads that do so together crash: msgspec gives the second what the first has half written."""
    looked = []

    def kind() -> type[int]:
        looked.append(calls._TYPES_LOCK.locked())
        return int

    globals()["_kind_of_lazy"] = kind
    lazy = msgspec.defstruct("Lazy", [("number", "_kind_of_lazy()")], module=__name__)
    for _ in range(2):
        assert calls._decode(calls.Answer("", 200, b'{"number":1}'), lazy) == lazy(1)
    assert looked == [True]
