"""The paths that ask for a token: not there without one configured, and closed to every other token."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from blockchain.api import schemas
from blockchain.api.admin import WRONG_TOKENS_BURST, read_admin_token
from blockchain.api.app import ApiSettings, create_app
from blockchain.errors import ConfigError
from tests.api.asking import ask, ask_app, check_problem
from tests.api.fake_node import FakeNode

PATH = "/api/v1/admin/"
TOKEN = "correct-horse-battery-staple-0123456789"


def _token_file(folder: Path, content: bytes = TOKEN.encode(), mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> ApiSettings:
    return ApiSettings(admin_token=read_admin_token(_token_file(tmp_path)))


def _ask(settings: ApiSettings, authorization: str | None) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return ask(FakeNode(), PATH, settings=settings, headers=headers)


def test_without_a_token_there_is_no_such_path() -> None:
    check_problem(ask(FakeNode(), PATH, headers={"Authorization": f"Bearer {TOKEN}"}), 404, "not_found")
    document = ask(FakeNode(), "/api/v1/openapi.json").json()
    assert not [path for path in document["paths"] if "admin" in path]
    assert "securitySchemes" not in document["components"]


def test_with_one_the_document_says_so(settings: ApiSettings) -> None:
    document = ask(FakeNode(), "/api/v1/openapi.json", settings=settings).json()
    operation = document["paths"][PATH]["get"]
    assert operation["security"] == [{"HTTPBearer": []}]
    assert {"401", "403"} <= operation["responses"].keys()


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer {TOKEN}"])
@pytest.mark.parametrize("path", [PATH, PATH.rstrip("/")])
def test_the_token_opens_it(settings: ApiSettings, authorization: str, path: str) -> None:
    response = ask(FakeNode(), path, settings=settings, headers={"Authorization": authorization})
    assert response.status_code == 200, response.text
    answer = schemas.AdminAnswer.model_validate_json(response.content)
    assert ("GET", PATH) in [(action.method, action.path) for action in answer.actions]


def test_a_path_with_two_methods_names_both(settings: ApiSettings) -> None:
    response = ask(FakeNode(), f"{PATH}log_level/", "OPTIONS", settings=settings)
    check_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, PUT"


@pytest.mark.parametrize("authorization", [None, "", "Bearer", f"Basic {TOKEN}", TOKEN])
def test_no_token(settings: ApiSettings, authorization: str | None) -> None:
    response = _ask(settings, authorization)
    check_problem(response, 401, "token_missing")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("token", ["x", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), "é" * 40])
def test_another_token(settings: ApiSettings, token: str) -> None:
    response = ask(FakeNode(), PATH, settings=settings, headers=[(b"authorization", f"Bearer {token}".encode())])
    check_problem(response, 403, "token_wrong")


def test_guesses_are_limited_for_each_client(settings: ApiSettings) -> None:
    app = create_app(FakeNode(), settings)
    wrong, right = {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(2 * WRONG_TOKENS_BURST):
        assert ask_app(app, PATH, headers=right).status_code == 200
    answers = (ask_app(app, PATH, headers=wrong) for _ in range(10 * WRONG_TOKENS_BURST))
    response = next(answer for answer in answers if answer.status_code != 403)
    check_problem(response, 429, "too_many_requests")
    check_problem(ask_app(app, PATH, headers=right), 429, "too_many_requests")
    assert int(response.headers["retry-after"]) > 0
    assert ask_app(app, PATH, headers=right, client="192.0.2.8").status_code == 200


@pytest.mark.parametrize("content", [TOKEN.encode() + b"\n", TOKEN.encode() + b"\r\nsecond line\n", b"a" * 1_024])
def test_what_a_token_file_may_hold(tmp_path: Path, content: bytes) -> None:
    token = read_admin_token(_token_file(tmp_path, content))
    assert token.is_shown_by(content.splitlines()[0].decode())
    assert TOKEN not in repr(token)


@pytest.mark.parametrize("content", [b"", b"\n", b"a" * 31, b"a" * 1_025, b"a b" * 20, b"\xff" * 40, b"=" * 40])
def test_what_is_no_token(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"^admin_token_file .*: its first line has to be 32 to 1024 .*secrets"):
        read_admin_token(_token_file(tmp_path, content))


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^admin_token_file .*none: No such file"):
        read_admin_token(tmp_path / "none")


@pytest.mark.skipif(os.name == "nt", reason="no modes there")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_token_that_others_may_read(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match=r"^admin_token_file .*chmod 600"):
        read_admin_token(_token_file(tmp_path, mode=mode))


# ---------------------------------------------------------------------------------------------------- the log level

LEVEL_PATH = "/api/v1/admin/log_level/"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}


def _changes(caplog: pytest.LogCaptureFixture) -> list[tuple[object, ...]]:
    told = [vars(record) for record in caplog.records if "evt.name" in vars(record)]
    return [(line["before"], line["after"], line["network.client.ip"]) for line in told]


@pytest.fixture(name="levels")
def levels_fixture() -> Iterator[None]:
    """The level is info, and what it was after the test."""
    names = ("", "uvicorn", "websockets", "httpx", "httpcore", "asyncio")
    before = [(logger, logger.level) for logger in map(logging.getLogger, names)]
    logging.getLogger().setLevel("INFO")
    yield
    for logger, level in before:
        logger.setLevel(level)


@pytest.mark.usefixtures("levels")
def test_the_log_level_is_shown_and_changed(settings: ApiSettings, caplog: pytest.LogCaptureFixture) -> None:
    app = create_app(FakeNode(), settings)
    for level, before in (("error", "info"), ("debug", "error"), ("warning", "debug")):
        answer = ask_app(app, LEVEL_PATH, "PUT", json={"level": level}, headers=AUTHORIZED)
        assert answer.json() == {"level": level}
        assert ask_app(app, LEVEL_PATH, headers=AUTHORIZED).json() == {"level": level}
        assert logging.getLogger("blockchain.node").getEffectiveLevel() == getattr(logging, level.upper())
        assert _changes(caplog) == [(before, level, "192.0.2.7")]
        caplog.clear()
    assert logging.getLogger("websockets").level == logging.WARNING, "frames are not logged at debug either"


@pytest.mark.usefixtures("levels")
@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"level": "loud"}', 422, "log_level_unknown"),
        (b'{"level": ["info"]}', 422, "log_level_unknown"),
        (b'{"level": "info", "for": 5}', 422, "log_level_unknown"),
        (b'"info"', 422, "log_level_unknown"),
        (b'{"level": "info", "level": "debug"}', 400, "malformed_json"),
        (b'{"level": "' + b"x" * 2_000 + b'"}', 413, "body_too_large"),
    ],
)
def test_another_log_level_is_refused_and_changes_nothing(
    content: bytes, status: int, code: str, settings: ApiSettings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(FakeNode(), settings)
    check_problem(ask_app(app, LEVEL_PATH, "PUT", content=content, headers=AUTHORIZED), status, code)
    assert _changes(caplog) == []
    assert ask_app(app, LEVEL_PATH, headers=AUTHORIZED).json() == {"level": "info"}


def test_the_log_level_asks_for_the_token(settings: ApiSettings) -> None:
    check_problem(ask(FakeNode(), LEVEL_PATH, "PUT", settings=settings, json={"level": "debug"}), 401, "token_missing")
    check_problem(ask(FakeNode(), LEVEL_PATH, "PUT", json={"level": "debug"}), 404, "not_found")
