"""POST /transaction/create/: what is taken, what is refused and under which code, and what never reaches the node."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from blockchain.api import schemas
from blockchain.api.app import ApiSettings, create_app
from blockchain.api.body import SUBMISSION_TRANSACTIONS_MAX, BodyLimits
from blockchain.primitives import codec
from blockchain.primitives.jsonform import transaction_to_json
from blockchain.primitives.transaction import VerifiedTransaction
from tests.api.asking import Content, ask, ask_app, check_problem
from tests.api.fake_node import ALICE, BOB, FakeNode, with_other_signature

PATH = "/api/v1/transaction/create/"


def _made(count: int = 1) -> list[VerifiedTransaction]:
    return [ALICE.transfer(BOB.address, 1, nonce) for nonce in range(100, 100 + count)]


def _post(node: FakeNode, content: bytes, media_type: str = "application/json", **more: Any) -> httpx.Response:
    return ask(node, PATH, "POST", content=content, headers={"Content-Type": media_type}, **more)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _forms(made: list[VerifiedTransaction]) -> list[tuple[bytes, str]]:
    one = made[0]
    return [
        (_json(transaction_to_json(one.transaction)), "application/json"),
        (_json({"transaction": transaction_to_json(one.transaction)}), "application/json; charset=utf-8"),
        (_json([transaction_to_json(one.transaction)]), "application/json"),
        (one.raw, "application/msgpack"),
        (codec.encode([one.raw]), "Application/MsgPack"),
    ]


@pytest.mark.parametrize("form", range(5))
@pytest.mark.parametrize("path", [PATH, PATH.rstrip("/")])
def test_one_transaction_in_each_form(form: int, path: str) -> None:
    node = FakeNode()
    (made,) = _made()
    content, media_type = _forms([made])[form]
    first = ask(node, path, "POST", content=content, headers={"Content-Type": media_type})
    assert first.status_code == 202, first.text
    assert node.submitted == [[made.raw]]
    schemas.SubmissionAnswer.model_validate_json(first.content)
    assert first.json()["ids"] == [made.id.hex()]
    assert first.json()["message"] == "Received transaction"

    again = ask(node, path, "POST", content=content, headers={"Content-Type": media_type})
    assert (again.status_code, again.content) == (202, first.content)


@pytest.mark.parametrize("count", [2, 15, 16, 300])
def test_many_transactions_keep_their_order(count: int) -> None:
    made = _made(count)
    ids = [one.id.hex() for one in made]
    for content, media_type in (
        (_json([transaction_to_json(one.transaction) for one in made]), "application/json"),
        (codec.encode([one.raw for one in made]), "application/msgpack"),
    ):
        node = FakeNode()
        response = _post(node, content, media_type)
        assert response.status_code == 202
        assert response.json()["ids"] == ids
        assert [result["id"] for result in response.json()["results"]] == ids
        assert node.submitted == [[one.raw for one in made]]


def test_one_that_is_refused_alone() -> None:
    node = FakeNode()
    (made,) = _made()
    node.refuse[made.id] = ("nonce_used", "nonce 100 is used")
    for content, media_type in _forms([made]):
        document = check_problem(_post(node, content, media_type), 422, "nonce_used")
        assert document["detail"] == "nonce 100 is used"


def test_of_many_some_are_refused() -> None:
    node = FakeNode()
    made = _made(3)
    node.refuse[made[1].id] = ("insufficient_balance", "100 is more than 7")
    unreadable = transaction_to_json(made[2].transaction) | {"fee": -1}
    response = _post(node, _json([unreadable, *(transaction_to_json(one.transaction) for one in made)]))
    assert response.status_code == 202
    schemas.SubmissionAnswer.model_validate_json(response.content)
    assert response.json()["ids"] == [made[0].id.hex(), made[2].id.hex()]
    assert response.json()["results"] == [
        {"id": None, "is_accepted": False, "code": "fee_negative", "why": "fee is negative"},
        {"id": made[0].id.hex(), "is_accepted": True, "code": "", "why": ""},
        {
            "id": made[1].id.hex(),
            "is_accepted": False,
            "code": "insufficient_balance",
            "why": "100 is more than 7",
        },
        {"id": made[2].id.hex(), "is_accepted": True, "code": "", "why": ""},
    ]


def test_many_that_are_all_refused() -> None:
    node = FakeNode()
    made = _made(2)
    node.refuse[made[0].id] = ("pool_full", "no room")
    node.refuse[made[1].id] = ("sender_full", "no room")
    document = check_problem(
        _post(node, codec.encode([one.raw for one in made]), "application/msgpack"), 422, "transactions_refused"
    )
    assert [result["code"] for result in document["results"]] == ["pool_full", "sender_full"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("code", ["pool_full", "pool_busy"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_full_pool_is_no_fault_of_the_client(count: int, code: str) -> None:
    node = FakeNode()
    made = _made(count)
    for one in made:
        node.refuse[one.id] = (code, "no room")
    response = _post(node, codec.encode([one.raw for one in made]), "application/msgpack")
    document = check_problem(response, 503, code)
    assert [result["code"] for result in document["results"]] == [code] * count  # type: ignore[attr-defined]
    assert int(response.headers["retry-after"]) > 0


def test_when_none_can_be_read_the_node_is_not_asked() -> None:
    node = FakeNode()
    document = check_problem(_post(node, _json([{}, 5])), 422, "transactions_refused")
    codes = [result["code"] for result in document["results"]]  # type: ignore[attr-defined]
    assert codes == ["field_missing", "not_an_object"]
    assert node.submitted == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ('{"recipient": "RECIPIENT", "amount": 0}', "amount_zero"),
        ('{"recipient": "RECIPIENT", "amount": -1}', "amount_negative"),
        ('{"recipient": "RECIPIENT", "amount": 1.0}', "amount_not_integer"),
        ('{"recipient": "RECIPIENT", "amount": 1e3}', "amount_not_integer"),
        ('{"recipient": "RECIPIENT", "amount": true}', "amount_not_integer"),
        ('{"recipient": "RECIPIENT", "amount": "1"}', "amount_not_integer"),
        ('{"recipient": "RECIPIENT", "amount": null}', "amount_not_integer"),
        ('{"recipient": "RECIPIENT", "amount": [[[1]]]}', "amount_not_integer"),
        ('{"recipient": "RECIPIENT", "amount": 9007199254740992}', "amount_too_large"),
        ('{"recipient": "RECIPIENT", "amount": 1%s}' % ("0" * 400), "amount_too_large"),
        ('{"recipient": "pos1", "amount": 1}', "recipient_invalid"),
        ('{"recipient": "RECIPIENT"}', "field_missing"),
        ('{"recipient": "RECIPIENT", "amount": 1, "memo": "\\ud83d\\ude00"}', "field_unknown"),
    ],
)
def test_values_are_refused_by_name(payload: str, code: str) -> None:
    node = FakeNode()
    document = json.dumps(transaction_to_json(_made()[0].transaction) | {"payload": "PAYLOAD"})
    content = document.replace('"PAYLOAD"', payload).replace("RECIPIENT", BOB.address_text)
    check_problem(_post(node, content.encode()), 422, code)
    assert node.submitted == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"nonsense",
        b"[1] 2",
        b"\xff\xfe",
        b'"\xed\xa0\x80"',
        b"NaN",
        b'{"nonce": NaN}',
        b'{"nonce": Infinity}',
        b'{"nonce": -Infinity}',
        b'{"nonce": 1, "nonce": 1}',
        b'{"payload": {"amount": 1, "amount": 2}}',
        b'{"nonce": 1, "n\\u006fnce": 1}',
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b'{"kind": "\\uD83D"}',
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"1" * 5_000,
        b"\xef\xbb\xbf{}",
    ],
    ids=lambda content: str(content[:20]),
)
def test_what_is_no_strict_json(content: bytes) -> None:
    node = FakeNode()
    check_problem(_post(node, content), 400, "malformed_json")
    assert node.submitted == []


def test_a_name_that_stands_twice_in_one_of_many() -> None:
    node = FakeNode()
    plain = _json([transaction_to_json(one.transaction) for one in _made(3)])
    check_problem(_post(node, plain.replace(b'"nonce": 101', b'"nonce": 100, "nonce": 101')), 400, "malformed_json")
    assert node.submitted == []


@pytest.mark.parametrize("content", [b"1", b'"text"', b"null", b"true", b'{"transaction": []}', b"{}", b"[]"])
def test_json_that_is_no_transaction(content: bytes) -> None:
    response = _post(FakeNode(), content)
    assert response.status_code == 422
    check_problem(response, 422, response.json()["code"])
    assert response.json()["code"] in {"not_an_object", "field_missing", "no_transactions"}


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "no_transactions"),
        (b"\x90", 422, "no_transactions"),
        (b"\xdc\x00\x00", 422, "malformed"),  # an empty array, not in its shortest form
        (b"\xc0", 422, "malformed"),
        (b"\x91\xc4", 400, "malformed"),
        (b"\x92\xc4\x01a\x01", 400, "malformed"),
        (b"\x91\xc4\x01a\x00", 400, "malformed"),
        (b"\xdc\x00\x01\xc4\x01a", 400, "malformed"),
        (b"\xdd\xff\xff\xff\xff\xc4\x01a", 400, "malformed"),
        (b"\x91" * 100_000, 422, "malformed"),
        (b"\x91\xc4\x01a", 422, "malformed"),
    ],
)
def test_messagepack_that_is_no_transaction(content: bytes, status: int, code: str) -> None:
    check_problem(_post(FakeNode(), content, "application/msgpack"), status, code)


def test_a_wrong_signature_is_refused_by_the_node() -> None:
    raw = with_other_signature(_made()[0])
    check_problem(_post(FakeNode(), raw, "application/msgpack"), 422, "invalid_signature")


def test_more_than_a_request_may_hold() -> None:
    node = FakeNode()
    many = SUBMISSION_TRANSACTIONS_MAX + 1
    check_problem(_post(node, _json([{}] * many)), 422, "too_many_transactions")
    check_problem(_post(node, codec.encode([b"a"] * many), "application/msgpack"), 422, "too_many_transactions")
    assert node.submitted == []


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonp"])
def test_other_media_types(media_type: str) -> None:
    check_problem(_post(FakeNode(), b"{}", media_type), 415, "unsupported_media_type")


def test_compressed_bodies_are_not_read() -> None:
    response = ask(
        FakeNode(), PATH, "POST", content=b"x", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )
    check_problem(response, 415, "unsupported_media_type")


# ------------------------------------------------------------------------------------------------------ body

SMALL = ApiSettings(BodyLimits(bytes_max=100, seconds_max=0.01))


@pytest.mark.parametrize("declared", ["101", "9" * 30])
def test_a_body_that_says_it_is_too_large_is_not_read(declared: str) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    headers = {"Content-Type": "application/json", "Content-Length": declared}
    response = ask(FakeNode(), PATH, "POST", content=never(), headers=headers, settings=SMALL)
    check_problem(response, 413, "body_too_large")


def test_a_body_that_grows_too_large_is_read_no_further() -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            assert taken < 10
            yield b"[" * 40

    response = ask(
        FakeNode(),
        PATH,
        "POST",
        content=endless(),
        headers={"Content-Type": "application/json"},
        settings=SMALL,
    )
    check_problem(response, 413, "body_too_large")
    assert taken == 3


def test_a_body_of_the_largest_size_is_read() -> None:
    content = b"[" + b" " * 98 + b"]"
    check_problem(_post(FakeNode(), content, settings=SMALL), 422, "no_transactions")
    check_problem(_post(FakeNode(), content + b" ", settings=SMALL), 413, "body_too_large")


def test_bodies_share_a_bound() -> None:
    """Of which each gives back what it took, however it ended."""
    app = create_app(FakeNode(), ApiSettings(BodyLimits(bytes_max=100, seconds_max=0.01, total_bytes_max=60)))
    headers = {"Content-Type": "application/json"}

    async def dripping() -> AsyncIterator[bytes]:
        yield b"[" * 50
        await asyncio.Event().wait()

    cases: list[tuple[Content, int, str]] = [
        (b"[" * 50, 400, "malformed_json"),
        (b"[" * 61, 503, "busy"),
        (dripping(), 408, "body_too_slow"),
        (b"[" + b" " * 58 + b"]", 422, "no_transactions"),
    ]
    for content, status, code in cases:
        response = ask_app(app, PATH, "POST", content=content, headers=headers)
        check_problem(response, status, code)
        assert app.state.body_memory.bytes == 0
        assert ("retry-after" in response.headers) is (code == "busy")


def test_a_body_that_drips_is_not_waited_for() -> None:
    async def dripping() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    headers = {"Content-Type": "application/json"}
    response = ask(FakeNode(), PATH, "POST", content=dripping(), headers=headers, settings=SMALL)
    check_problem(response, 408, "body_too_slow")
