"""What is "host:port", where a node listens, and what is not."""

from __future__ import annotations

import pytest

from blockchain.errors import ConfigError
from blockchain.primitives.host_port import HostPort, format_host_port, is_host_port, parse_host_port


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("localhost:8010", HostPort("localhost", 8010)),
        ("a.b-c:80", HostPort("a.b-c", 80)),
        ("10.0.0.1:1", HostPort("10.0.0.1", 1)),
        ("node_one.example:65535", HostPort("node_one.example", 65535)),
        ("[::1]:8010", HostPort("::1", 8010)),
        ("[2001:DB8:0::1]:80", HostPort("2001:db8::1", 80)),
    ],
)
def test_addresses(text: str, expected: HostPort) -> None:
    assert is_host_port(text) and parse_host_port(text) == expected
    assert parse_host_port(format_host_port(*expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", "host", "host:", ":80", "host:0", "host:00080", "host:65536", "host:123456", "host:-1", "host:+1"),
        *("host:8o", "host:1.0", "host:٣", "host: 1", "::1:80", "[::1]80", "[host]:80", "[fe80::1%eth0]:80"),
        *("a b:80", "a/b:80", "u@h:80", "-h:80", "h-:80", "h:80\n", "h\n:80", "\x00:1", "h" * 254 + ":80", "ü:80"),
        "h" * 260 + ":80",
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert not is_host_port(text)
    with pytest.raises(ConfigError):
        parse_host_port(text)
