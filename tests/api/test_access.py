"""The access log: one event for each request, with the standard attributes."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from blockchain.api.access import AccessLog
from tests.api.asking import ask
from tests.api.fake_node import FakeNode


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/docs/", 200),
        ("GET", "/nothing", 404),
        ("POST", "/ping/", 405),
        ("GET", "/api/v1/blocks/9/", 422),
    ],
)
def test_one_event_for_a_request(method: str, path: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "blockchain.api"):
        ask(FakeNode(), f"{path}?secret=1", method)
    (record,) = caplog.records
    fields = record.__dict__
    assert record.getMessage() == f"{method} {path} {status}"
    assert fields["http.method"] == method
    assert fields["http.url_details.path"] == path
    assert fields["http.status_code"] == status
    assert fields["network.client.ip"] == "192.0.2.7"
    assert isinstance(fields["duration"], int)
    assert fields["duration"] > 0


@pytest.mark.parametrize("path", ["/a%0d%0aforged", "/" + "x" * 5_000])
def test_a_path_can_neither_forge_a_line_nor_fill_the_log(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "blockchain.api"):
        ask(FakeNode(), path)
    (record,) = caplog.records
    assert record.__dict__["http.url_details.path"] == path[:512]
    assert len(record.getMessage().splitlines()) == 1


def test_nor_can_a_method(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "blockchain.api"):
        assert ask(FakeNode(), "/ping/", "X" * 15_000).status_code == 405
    (record,) = caplog.records
    assert record.getMessage() == f"{'X' * 32} /ping/ 405"
    assert record.__dict__["http.method"] == "X" * 32


def test_a_server_that_gives_no_raw_path_and_no_client(caplog: pytest.LogCaptureFixture) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        return

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError("nothing is sent")

    scope = {"type": "http", "method": "GET", "path": "/a\nb"}
    with caplog.at_level(logging.INFO, "blockchain.api"):
        asyncio.run(AccessLog(silent)(scope, receive, send))
    (record,) = caplog.records
    assert record.getMessage() == "GET /a%0Ab 499"
    assert record.__dict__["network.client.ip"] == ""


def test_other_protocols_pass_unlogged(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    async def unused() -> Message:
        raise AssertionError("nothing is received")

    async def send(message: Message) -> None:
        raise AssertionError("nothing is sent")

    with caplog.at_level(logging.INFO, "blockchain.api"):
        asyncio.run(AccessLog(inner)({"type": "lifespan"}, unused, send))
    assert seen == ["lifespan"]
    assert caplog.records == []


def test_quiet_libraries(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        ask(FakeNode(), "/ping/")
    assert {record.name for record in caplog.records} - {httpx.__name__} == {"blockchain.api"}
