"""A server on a real port, and clients that send it bytes."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from blockchain.api.app import ApiSettings, create_app
from blockchain.api.server import ApiServer
from blockchain.node.views import NodeReader
from tests.api.asking import app_for
from tests.api.fake_node import FakeNode

WAIT_SECONDS = 30.0
Talk = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def serving(node: NodeReader | None = None, settings: ApiSettings | None = None) -> AsyncIterator[ApiServer]:
    node = node or FakeNode()
    app = app_for(node) if settings is None else create_app(node, settings)
    server = ApiServer(app, "127.0.0.1", 0)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def talking(server: ApiServer, client: str = "127.0.0.1") -> AsyncIterator[Talk]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(client, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def get(path: str, more: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()


def post(body: bytes, media_type: str = "application/json", more: str = "") -> bytes:
    head = f"POST /api/v1/transaction/create/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n{more}\r\n".encode() + body


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Until the server ends the connection."""
    received = b""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while piece := await reader.read(65_536):
                received += piece
    except ConnectionResetError:
        pass
    return received


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not is_so():
            await asyncio.sleep(0.01)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One answer: status, headers, body."""
    async with asyncio.timeout(WAIT_SECONDS):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, body


def check_problem_bytes(received: bytes, status: int, code: str) -> dict[str, Any]:
    """The bytes of a connection are one answer, a problem document of this status and code."""
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), received[:200]
    assert b"content-type: application/problem+json" in head.lower()
    document: dict[str, Any] = json.loads(body)
    assert (document["status"], document["code"]) == (status, code)
    return document


def has_second_loopback() -> bool:
    """Whether a socket may come from 127.0.0.2, as on Linux and Windows: a second client."""
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.2", 0))
        except OSError:
            return False
    return True
