"""Bad input over a real socket to a real node: each has its status and its code, and nothing of the node changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec

from blockchain.api.app import create_app
from blockchain.api.body import BODY_BYTES_MAX
from blockchain.api.server import ApiServer
from blockchain.commands.keyring import keys_folder
from blockchain.commands.node import running_node
from blockchain.config import NodeConfig
from blockchain.demo_chain import demo_spec
from blockchain.node.mempool import NONCE_GAP_MAX
from blockchain.node.views import NodeReader
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32, SigningKey
from blockchain.primitives.jsonform import transaction_to_json
from blockchain.primitives.scalars import INTEGER_MAX
from blockchain.primitives.transaction import TRANSACTION_BYTES_MAX, VerifiedTransaction
from blockchain.runtime.keystore import read_key_file
from blockchain.wallet import Wallet
from tests.api.asking import check_problem
from tests.api.talking import until

SPEC: Final = demo_spec()
JSON: Final = "application/json"
RAW: Final = "application/msgpack"
PATH: Final = "/api/v1/transaction/create/"
A: Final = Wallet(SigningKey(b"\x31" * 32), SPEC.hash)
B: Final = Wallet(SigningKey(b"\x32" * 32), SPEC.hash)
ISSUER: Final = Wallet(read_key_file(keys_folder() / "exchange_private_key.pem", None), SPEC.hash)
ELSEWHERE: Final = Wallet(SigningKey(b"\x31" * 32), Hash32(b"\x07" * 32))
GOOD: Final = A.transfer(B.address, 5, 0)
FORM: Final = transaction_to_json(GOOD.transaction)
Case = tuple[str, str, bytes, int, str]  # what it is, media type, body, status, code


def _form(**changes: Any) -> bytes:
    return json.dumps(FORM | changes).encode()


def _amount(written: str) -> bytes:
    return _form(payload={"recipient": B.address_text, "amount": "AMOUNT"}).replace(b'"AMOUNT"', written.encode())


def _with_first_byte(change: int) -> bytes:
    return bytes([GOOD.raw[0] + change])


def _other_signature(made: VerifiedTransaction) -> bytes:
    return codec.encode(msgspec.structs.replace(made.transaction, signature=B.transfer(A.address, 5, 0).raw[-64:]))


REFUSED: Final[list[Case]] = [
    ("wrong signature", RAW, _other_signature(GOOD), 422, "invalid_signature"),
    ("wrong signature", JSON, _form(signature="5a" * 64), 422, "invalid_signature"),
    ("wrong chain", RAW, ELSEWHERE.transfer(B.address, 5, 0).raw, 422, "invalid_signature"),
    ("used nonce", RAW, ISSUER.exchange(A.address, 1, 0).raw, 422, "nonce_used"),
    ("nonce too far ahead", RAW, A.transfer(B.address, 5, NONCE_GAP_MAX + 1).raw, 422, "nonce_gap"),
    ("expired", RAW, A.transfer(B.address, 5, 0, expiry=1).raw, 422, "expired"),
    ("overdraft", RAW, A.transfer(B.address, 101, 0).raw, 422, "insufficient_balance"),
    ("fee beyond the balance", RAW, A.transfer(B.address, 100, 0, fee=1).raw, 422, "insufficient_balance"),
    ("of an account with nothing", RAW, B.transfer(A.address, 1, 0).raw, 422, "insufficient_balance"),
    ("mint by a stranger", RAW, A.exchange(A.address, 1, 0).raw, 422, "not_issuer"),
    ("mint beyond the bound", RAW, ISSUER.exchange(A.address, INTEGER_MAX, 2).raw, 422, "supply_exceeded"),
    ("amount zero", JSON, _amount("0"), 422, "amount_zero"),
    ("amount negative", JSON, _amount("-1"), 422, "amount_negative"),
    ("amount a bool", JSON, _amount("true"), 422, "amount_not_integer"),
    ("amount a float", JSON, _amount("1.0"), 422, "amount_not_integer"),
    ("amount a text", JSON, _amount('"1"'), 422, "amount_not_integer"),
    ("amount 2^53", JSON, _amount("9007199254740992"), 422, "amount_too_large"),
    ("amount of 5,000 digits", JSON, _amount("9" * 5_000), 400, "malformed_json"),
    ("amount zero in bytes", RAW, GOOD.raw.replace(b"\x05", b"\x00", 1), 422, "malformed"),
    ("unknown kind", JSON, _form(kind="GIFT"), 422, "kind_unknown"),
    ("unknown kind in bytes", RAW, GOOD.raw.replace(b"TRANSFER", b"TRANSFEr"), 422, "malformed"),
    ("unknown version", JSON, _form(version=2), 422, "version_unknown"),
    ("no address", JSON, _form(sender="pos1nobody"), 422, "sender_invalid"),
    ("unknown field", JSON, _form(memo="hello"), 422, "field_unknown"),
    ("missing field", JSON, json.dumps({"kind": "TRANSFER"}).encode(), 422, "field_missing"),
    ("too long a transaction", RAW, GOOD.raw + bytes(TRANSACTION_BYTES_MAX), 422, "malformed"),
    ("too long a body", RAW, bytes(BODY_BYTES_MAX + 1), 413, "body_too_large"),
    *(("truncated", RAW, GOOD.raw[:length], 422, "malformed") for length in (1, 2, 40, len(GOOD.raw) - 1)),
    ("trailing byte", RAW, GOOD.raw + b"\x00", 422, "malformed"),
    ("not the shortest array", RAW, b"\xdc\x00" + bytes([GOOD.raw[0] & 15]) + GOOD.raw[1:], 422, "malformed"),
    ("not the shortest integer", RAW, GOOD.raw[:1] + b"\xcc\x01" + GOOD.raw[2:], 422, "malformed"),
    ("extra element", RAW, _with_first_byte(1) + GOOD.raw[1:] + b"\x00", 422, "malformed"),
    ("element missing", RAW, _with_first_byte(-1) + GOOD.raw[1:-66], 422, "malformed"),
    ("list cut off", RAW, codec.encode([GOOD.raw])[:-1], 400, "malformed"),
    ("duplicate key", JSON, _form()[:-1] + b', "nonce": 0}', 400, "malformed_json"),
    ("duplicate key inside", JSON, _form().replace(b'"amount"', b'"amount": 5, "amount"'), 400, "malformed_json"),
    ("NaN", JSON, _amount("NaN"), 400, "malformed_json"),
    ("Infinity", JSON, _amount("-Infinity"), 400, "malformed_json"),
    ("lone surrogate", JSON, _form().replace(b'"TRANSFER"', b'"\\ud800"'), 400, "malformed_json"),
    ("half a surrogate in bytes", JSON, _form().replace(b"TRANSFER", b"\xed\xa0\x80"), 400, "malformed_json"),
    ("very many lists", JSON, b"[" + b"[]," * 100_000 + b"[]]", 400, "malformed_json"),
    ("lists in very many lists", JSON, b"[" + (b"[" * 400 + b"]" * 400 + b",") * 100 + b"1]", 400, "malformed_json"),
    ("very many numbers", JSON, b"[" + b"1," * 100_000 + b"1]", 400, "malformed_json"),
    ("deep nesting", JSON, b"[" * 100_000 + b"]" * 100_000, 400, "malformed_json"),
    ("deep nesting in bytes", RAW, b"\x91" * 100_000, 422, "malformed"),
    ("nothing", JSON, b"", 400, "malformed_json"),
    ("an empty list", JSON, b"[]", 422, "no_transactions"),
    ("no JSON at all", JSON, GOOD.raw, 400, "malformed_json"),
    ("another media type", "text/plain", GOOD.raw, 415, "unsupported_media_type"),
]


Test = Callable[[NodeReader, httpx.AsyncClient], Awaitable[None]]


def _on_a_node(folder: Path, test: Test) -> None:
    """One validator of the demo chain, where A has 100: two transactions of the issuer made a block."""
    config = NodeConfig(
        ip="127.0.0.1",
        node_port=0,
        api_port=0,
        data_dir=folder / "data",
        key_file=keys_folder() / "genesis_private_key.pem",
    )

    async def once() -> None:
        async with running_node(config, SPEC) as node:
            server = ApiServer(create_app(node), "127.0.0.1", 0)
            await server.start()
            try:
                url = f"http://127.0.0.1:{server.port}"
                async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
                    funds = [ISSUER.exchange(A.address, amount, nonce).raw for nonce, amount in ((0, 60), (1, 40))]
                    assert (await _post(http, RAW, codec.encode(funds))).status_code == 202
                    await until(lambda: node.status().height == 1)
                    await test(node, http)
            finally:
                await server.stop()

    asyncio.run(once())


async def _post(http: httpx.AsyncClient, media_type: str, body: bytes) -> httpx.Response:
    return await http.post(PATH, content=body, headers={"Content-Type": media_type})


def _picture(node: NodeReader) -> tuple[object, ...]:
    status = node.status()
    accounts = tuple(node.account(wallet.address) for wallet in (A, B, ISSUER))
    return (status.height, status.head, status.pool, accounts, tuple(one.id for one in node.pending()))


async def _check_refused(node: NodeReader, http: httpx.AsyncClient) -> None:
    before = _picture(node)
    for what, media_type, body, status, code in REFUSED:
        response = await _post(http, media_type, body)
        assert response.status_code == status, (what, response.text)
        check_problem(response, status, code)
        assert _picture(node) == before, what


async def _check_two_overdrafts(node: NodeReader, http: httpx.AsyncClient) -> None:
    """Each could be paid alone, both cannot: the second is refused, and what is pending can be paid."""
    both = [A.transfer(B.address, 60, 0), A.transfer(B.address, 60, 1)]
    response = await _post(http, RAW, codec.encode([one.raw for one in both]))
    assert response.status_code == 202
    assert [result["code"] for result in response.json()["results"]] == ["", "insufficient_balance"]
    assert [one.id for one in node.pending()] == [both[0].id]
    assert node.account(A.address).balance == 100


async def _check_gap(node: NodeReader, http: httpx.AsyncClient) -> None:
    """It is kept, and waits: what a block could take is the one before it."""
    ahead = A.transfer(B.address, 5, 2)
    assert (await _post(http, RAW, ahead.raw)).status_code == 202
    told = (await http.get(f"/api/v1/transactions/{ahead.id.hex()}/")).json()
    assert (told["state"], told["transaction"]["nonce"]) == ("pending", 2)
    assert [stage["stage"] for stage in told["stages"]] == ["received", "waiting"]
    assert told["stages"][-1]["why"], "explained"
    status = node.status()
    assert (status.pool.pending, status.pool.ready, status.height) == (2, 1, 1)
    assert node.account(A.address).next_nonce == 1, "the one that is missing"


def test_each_has_its_code_and_changes_nothing(tmp_path: Path) -> None:
    async def test(node: NodeReader, http: httpx.AsyncClient) -> None:
        await _check_refused(node, http)
        await _check_two_overdrafts(node, http)
        await _check_gap(node, http)

    _on_a_node(tmp_path, test)
