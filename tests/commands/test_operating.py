"""peers and log-level: what an operator asks of a running node, and what it tells it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from blockchain.api.admin import read_admin_token
from blockchain.api.app import ApiSettings
from blockchain.cli import EXIT_FAILED, EXIT_USAGE, main
from blockchain.client import Ban, Dial, Peer, Peers
from blockchain.commands.arguments import url_of
from blockchain.commands.peers import page
from blockchain.config import NodeConfig
from tests.commands.fake_api import running_api
from tests.commands.test_cli import stderr_line

TOKEN = "correct-horse-battery-staple-0123456789"


def test_peers_shows_who_is_connected_and_why_a_dial_failed(capsys: pytest.CaptureFixture[str]) -> None:
    with running_api() as (url, _):
        assert main(["peers", f"--url={url}"]) == 0
        told = capsys.readouterr().out
        assert main(["peers", f"--url={url}", "--json"]) == 0
        peers = json.loads(capsys.readouterr().out)["peers"]
        assert peers and all(peer["id"][:16] in told for peer in peers)
        assert "localhost:8012  waiting" in told and "connection refused" in told


def test_peers_shows_whatever_the_node_tells() -> None:
    dialled = Dial("example.org:8010", 3, "no answer in time", False, None, 1)
    met = Dial("host:1", 1, "already connected", True, 1, None)
    peer = Peer("cd" * 32, "", True, 8, 1, "192.0.2.1", "blockchain/1.0", 34, -250, 8, "no_answer")
    ban = Ban(None, "192.0.2.9", "malformed", "malformed message: trailing bytes", 590, 1)
    assert "already connected" not in page(Peers((), (met,), ()))
    shown = page(Peers((peer,), (dialled,), (ban,)))
    for text in (
        "192.0.2.1",
        "blockchain/1.0",
        "34",
        "example.org:8010",
        "no answer in time",
        "192.0.2.9",
        "590 s",
        "-250 ms (8)",
        "no_answer",
    ):
        assert text in shown


def test_peers_of_a_lonely_node() -> None:
    assert page(Peers((), (), ())) == "No peer is connected.\n\nNo address is dialled."


@pytest.fixture(name="token_file")
def token_file_fixture(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    before = logging.getLogger().level
    yield path
    logging.getLogger().setLevel(before)


def test_the_log_level_is_shown_and_changed(token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_api(settings=ApiSettings(admin_token=read_admin_token(token_file))) as (url, _):
        flags = [f"--url={url}", f"--admin-token-file={token_file}"]
        assert main(["log-level", "error", *flags]) == 0
        assert main(["log-level", *flags]) == 0
        assert capsys.readouterr().out.split() == ["error", "error"]
        assert logging.getLogger().level == logging.ERROR


def test_the_log_level_is_that_of_the_node_of_the_settings(
    token_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "node.toml"
    with running_api(settings=ApiSettings(admin_token=read_admin_token(token_file))) as (url, _):
        host, _, port = url.removeprefix("http://").partition(":")
        settings.write_text(f'ip = "{host}"\nnode_port = 1\napi_port = {port}\nadmin_token_file = "token"\n')
        assert main(["log-level", "warning", f"--config={settings}"]) == 0
        assert capsys.readouterr().out.split() == ["warning"]


@pytest.mark.parametrize(
    ("ip", "url"),
    [
        ("node.example.org", "http://node.example.org:7"),
        ("0.0.0.0", "http://localhost:7"),
        ("::", "http://localhost:7"),
        ("::1", "http://[::1]:7"),
    ],
)
def test_the_url_of_a_node(ip: str, url: str) -> None:
    assert url_of(NodeConfig(ip=ip, api_port=7)) == url


def test_the_log_level_without_the_right_token(token_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running_api(settings=ApiSettings(admin_token=read_admin_token(token_file))) as (url, _):
        assert main(["log-level", "debug", f"--url={url}"]) == EXIT_USAGE
        assert "--admin_token_file is missing" in stderr_line(capsys)
        token_file.write_text("x" * 40)
        assert main(["log-level", "debug", f"--url={url}", f"--admin_token_file={token_file}"]) == EXIT_FAILED
        assert "not the token of this node" in stderr_line(capsys)
    with running_api() as (url, _):
        assert main(["log-level", f"--url={url}", f"--admin_token_file={token_file}"]) == EXIT_FAILED
        assert stderr_line(capsys)
