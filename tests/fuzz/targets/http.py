"""The bytes of a connection to the API, in two pieces: through the real connection and the real application.

Whatever comes, the answers are HTTP, none is a 5xx but the 503 of a limit, each refusal is a problem document, and what
is said in all is bounded.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from blockchain.api.app import ApiSettings, create_app
from blockchain.api.connection import HEAD_BYTES_MAX, ApiConnection
from tests.api.fake_node import FakeNode
from tests.api.talking import get, post
from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.loops import a_loop
from tests.fuzz.target import Target

_LOOP = a_loop()
_APP = create_app(FakeNode(), ApiSettings(requests_per_second=1_000_000_000))
_CONFIG = uvicorn.Config(
    _APP,
    http=ApiConnection,
    ws="none",
    lifespan="off",
    log_config=None,
    access_log=False,
    proxy_headers=False,
    server_header=False,
    h11_max_incomplete_event_size=HEAD_BYTES_MAX,
)
_CONFIG.load()
_LINES = (
    *(b"Content-Length: 5", b"Content-Length: 99999999999", b"Content-Length: -1", b"Content-Length: 5, 5"),
    *(
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Expect: 100-continue",
        b"Connection: close",
    ),
    *(b"Host: example.org", b"Content-Encoding: gzip", b"Content-Type: application/msgpack", b"Upgrade: websocket"),
    *(b"Connection: Upgrade", b"X: " + b"y" * 3_000, b" folded", b": nothing", b"Origin: null", b"If-None-Match: *"),
)
_PIECES = (
    b"5\r\nhello\r\n0\r\n\r\n",
    b"ffffffff\r\n",
    b"0\r\nT: 1\r\n\r\n",
    b"HTTP/1.0\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
)
_SECONDS_MAX = 60.0  # of the clock, on a machine that has other things to do: for what never ends
_OUTPUT_MAX = 4_000_000


class _Transport(asyncio.Transport):
    """Takes what is written; nothing of it waits."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.7", 1), "sockname": ("127.0.0.1", 8050)})
        self.written = bytearray()
        self.is_closed = False

    def write(self, data: Any) -> None:
        if not self.is_closed:
            self.written += data

    def write_eof(self) -> None:
        """The other side hears of it, and goes."""

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    def pause_reading(self) -> None:
        """Nothing more comes anyhow."""

    def resume_reading(self) -> None:
        """Nothing more comes anyhow."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""


def samples() -> list[bytes]:
    return [
        get("/api/v1/status/"),
        get("/livez", "Connection: close\r\n"),
        get("/api/v1/blocks/") + get("/livez"),
        post(b'{"kind": "TRANSFER"}'),
        post(b"\x90", "application/msgpack"),
        b"POST /api/v1/transaction/create/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        b"OPTIONS /api/v1/status/ HTTP/1.1\r\nHost: localhost\r\nOrigin: https://e.org\r\n\r\n",
    ]


def mutate(raw: bytes, rng: Random) -> bytes:
    if rng.random() < 0.4:
        return mutate_bytes(raw, rng)
    lines = raw.split(b"\r\n")
    lines.insert(rng.randint(1, max(1, len(lines) - 1)), rng.choice(_LINES))
    return b"\r\n".join(lines) + (rng.choice(_PIECES) if rng.random() < 0.3 else b"")


def run(raw: bytes) -> bool:
    return _LOOP.run_until_complete(_run(raw))


async def _run(raw: bytes) -> bool:
    state = ServerState()
    transport = _Transport()
    connection = ApiConnection(_CONFIG, state, {}, _LOOP)
    connection.connection_made(transport)
    half = len(raw) // 2
    for piece in (raw[:half], raw[half:]):
        if piece and not transport.is_closed:
            connection.data_received(piece)
    async with asyncio.timeout(_SECONDS_MAX):
        for _ in range(3):  # one that is answered may find the next one behind it
            await asyncio.sleep(0)
        connection.eof_received()
        connection.connection_lost(None)
        while state.tasks:
            await asyncio.wait(set(state.tasks))
    return _check(bytes(transport.written))


def _check(written: bytes) -> bool:
    assert len(written) <= _OUTPUT_MAX
    statuses = [int(part[:3]) for part in written.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]
    assert all(status < 500 or status == 503 for status in statuses), written[:2_000]
    assert b"access-control" not in written.lower()
    return bool(statuses) and statuses[0] < 400


TARGET = Target(samples, run, mutate, bytes_max=4_096)
