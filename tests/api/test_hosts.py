"""The Host header: a name that nobody here gave is never answered, however it is written (DNS rebinding)."""

from __future__ import annotations

import pytest

from blockchain.api.app import ApiSettings, create_app
from blockchain.api.hosts import HostRule
from tests.api.asking import ask, ask_app, check_problem
from tests.api.fake_node import FakeNode

PATH = "/api/v1/status/"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8050",
        "localhost:",
        "127.0.0.1",
        "127.0.0.1:1",
        "[::1]",
        "[::1]:8050",
        "[0:0:0:0:0:0:0:1]:8050",
    ],
)
def test_the_names_of_this_machine(host: str) -> None:
    assert ask(FakeNode(), PATH, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.org",
        "example.org:8050",
        "localhost.example.org",
        "notlocalhost",
        "localhost.",
        "127.0.0.1.example.org",
        "127.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "node",
        "192.0.2.7",
        "0.0.0.0",
        "[::]",
        "[2001:db8::1]:8050",
        "_",
        "-",
    ],
)
def test_any_other_name_is_refused_before_anything_is_asked(host: str) -> None:
    node = FakeNode()
    document = check_problem(ask(node, PATH, headers={"Host": host}), 421, "wrong_host")
    assert "--api_hosts" in str(document["detail"])
    assert node.asked == 0


@pytest.mark.parametrize(
    "host", ["", " ", "a b", "localhost:x", "localhost:123456", "localhost/x", "user@localhost", "[::1", "::1", "löcal"]
)
def test_what_is_no_host(host: str) -> None:
    response = ask(FakeNode(), PATH, headers=[(b"host", host.encode("latin-1"))])
    check_problem(response, 400, "bad_request")


def test_a_host_that_stands_twice() -> None:
    twice = [(b"host", b"localhost"), (b"host", b"localhost")]
    check_problem(ask(FakeNode(), PATH, headers=twice), 400, "bad_request")


@pytest.mark.parametrize("path", ["/ping/", "/livez", "/readyz", "/api/v1/docs/", "/api/v1/openapi.json", "/nothing"])
def test_every_path_is_guarded(path: str) -> None:
    check_problem(ask(FakeNode(), path, headers={"Host": "example.org"}), 421, "wrong_host")


@pytest.mark.parametrize(
    ("ip", "more", "host", "is_allowed"),
    [
        ("localhost", (), "10.0.0.1", False),
        ("10.0.0.1", (), "10.0.0.1", True),
        ("10.0.0.1", (), "10.0.0.2", False),
        ("node.example.org", (), "NODE.example.org", True),
        ("2001:db8::1", (), "[2001:db8:0::1]:80", True),
        ("0.0.0.0", (), "203.0.113.9:8050", True),
        ("::", (), "[2001:db8::9]", True),
        ("0.0.0.0", (), "example.org", False),
        ("0.0.0.0", (), "node_one", False),
        ("0.0.0.0", ("node_one", "Node_Two"), "node_one:8050", True),
        ("0.0.0.0", ("node_one", "Node_Two"), "node_two:8051", True),
        ("localhost", ("10.1.1.1",), "10.1.1.1", True),
    ],
)
def test_the_settings_decide(ip: str, more: tuple[str, ...], host: str, is_allowed: bool) -> None:
    app = create_app(FakeNode(), ApiSettings(hosts=HostRule.of(ip, more)))
    response = ask_app(app, "/livez", headers={"Host": host})
    assert response.status_code == (200 if is_allowed else 421)


def test_the_address_that_the_connection_came_to() -> None:
    rule = HostRule.of("localhost")
    assert rule.allows("198.51.100.1", "198.51.100.1")
    assert not rule.allows("198.51.100.1", "198.51.100.2")
    assert not rule.allows("node", "node")  # a name is none
