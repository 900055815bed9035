"""Paths and queries of the API, in memory: an answer of the document or a problem with its code, never a 5xx."""

from __future__ import annotations

import asyncio
import json
from random import Random
from urllib.parse import unquote

from starlette.types import Message, Scope

from blockchain.api.app import ApiSettings, create_app
from blockchain.api.problems import PROBLEM_MEDIA_TYPE
from blockchain.primitives.address import format_address
from tests.api.fake_node import ALICE, FakeNode
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.loops import a_loop
from tests.fuzz.target import Target

_NODE = FakeNode()
_APP = create_app(_NODE, ApiSettings(requests_per_second=1_000_000_000))
_LOOP = a_loop()
_PATHS: tuple[str, ...] = tuple(path for path in _APP.openapi()["paths"] if "admin" not in path)
_NAMES = tuple(
    sorted(
        {one["name"] for path in _APP.openapi()["paths"].values() for one in path.get("get", {}).get("parameters", ())}
    )
)
_VALUES = (
    *("0", "1", "2", "3", "-1", "9007199254740991", "9007199254740992", "9" * 30, "1.5", "true", "", "%00", "%ff", "٣"),
    *(
        "nobody",
        format_address(ALICE.address),
        ALICE.address.hex(),
        _NODE.final_id().hex(),
        "pos1",
        "null",
        "a%2Fb",
        "+1",
    ),
    *("pending", "final", "desc", "0x1", "1e3", "%", "%zz", "1_000"),
)
_TURNS_MAX = 2_000


def samples() -> list[bytes]:
    return [path.encode() for path in _PATHS] + [
        f"/api/v1/blocks/?{name}={value}".encode() for name in _NAMES for value in ("1", "x")
    ]


def mutate(raw: bytes, rng: Random) -> bytes:
    if rng.random() < 0.3:
        return mutate_bytes(raw, rng)
    path = rng.choice(_PATHS)
    while "{" in path:
        path = path[: path.index("{")] + rng.choice(_VALUES) + path[path.index("}") + 1 :]
    pairs = [f"{rng.choice(_NAMES)}={rng.choice(_VALUES)}" for _ in range(rng.randrange(4))]
    return (path + ("?" if pairs else "") + "&".join(pairs)).encode()


def run(raw: bytes) -> bool:
    """The target of a request, as the server hands it on: visible ASCII, the path decoded."""
    target = bytes(byte for byte in raw if 0x21 <= byte <= 0x7E)
    status, headers, body = _LOOP.run_until_complete(_answer(target))
    assert status < 500, (status, body)
    assert not any(name.startswith(b"access-control") for name in headers)
    if status >= 400:
        assert headers[b"content-type"] == PROBLEM_MEDIA_TYPE.encode()
        document = json.loads(body)
        assert document["status"] == status and document["code"] and document["detail"]
    elif headers.get(b"content-type", b"").startswith(b"application/json"):
        json.loads(body)
    return status < 400


async def _answer(target: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    path, _, query = target.partition(b"?")
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("192.0.2.7", 1),
        "server": ("127.0.0.1", 8050),
    }
    sent: list[Message] = []

    pieces: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if not pieces:
            await asyncio.Event().wait()  # the client stays
        return pieces.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    await _APP(scope, receive, send)
    start = sent[0]
    return start["status"], dict(start["headers"]), b"".join(one.get("body", b"") for one in sent[1:])


TARGET = Target(samples, run, mutate, bytes_max=2_500)
