"""A client that sends nothing, half a request, or drips bytes does not hold a connection for ever."""

from __future__ import annotations

import asyncio

import pytest

from blockchain.api import connection
from blockchain.api.app import create_app
from blockchain.api.server import ApiServer
from tests.api.fake_node import FakeNode


def _what_is_answered(*sent: bytes) -> bytes:
    """All that the server sends until it ends the connection, having been sent these pieces one after the other."""

    async def once() -> bytes:
        server = ApiServer(create_app(FakeNode()), "127.0.0.1", 0)
        await server.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        received = b""
        try:
            for piece in sent:
                writer.write(piece)
                await writer.drain()
            async with asyncio.timeout(10):
                while piece := await reader.read(4096):
                    received += piece
        except ConnectionResetError:
            pass
        finally:
            writer.close()
            await server.stop()
        return received

    return asyncio.run(once())


@pytest.mark.parametrize("sent", [[], [b"GET /livez HT"], [b"GET /liv", b"ez HTTP/1.1\r\n", b"Host: localhost\r\n"]])
def test_a_connection_without_a_whole_request_is_ended(sent: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS_MAX", 0.1)

    assert _what_is_answered(*sent) == b""


def test_an_answered_connection_is_ended_even_when_bytes_drip_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS_MAX", 0.5)

    received = _what_is_answered(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /")

    assert received.startswith(b"HTTP/1.1 200 OK")
    assert received.count(b"HTTP/1.1") == 1


def test_a_request_for_an_upgrade_is_answered_without_a_word_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n"

    assert _what_is_answered(head).startswith(b"HTTP/1.1 200 OK")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
