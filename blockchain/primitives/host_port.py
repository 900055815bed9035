"""Where a node listens: "host:port", the host a name, an IPv4 address, or an IPv6 address in brackets."""

from __future__ import annotations

import ipaddress
import re
from typing import Final, NamedTuple

from blockchain.errors import ConfigError

CHARACTERS_MAX: Final = 256  # a name of DNS has 253 at most
PORT_MAX: Final = 65535
_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?", re.ASCII)  # _ is usual in containers
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


class HostPort(NamedTuple):
    host: str  # without brackets
    port: int  # 1 … 65535


def parse_host_port(text: str) -> HostPort:
    """Take "host:port" apart; raises ConfigError when it is not one, or is longer than CHARACTERS_MAX."""
    host, _, port = text.rpartition(":")
    if len(text) > CHARACTERS_MAX or not _PORT.fullmatch(port) or int(port) > PORT_MAX:
        raise ConfigError(f"not an address of the form host:port: {text[:80]!r}")
    if host.startswith("[") and host.endswith("]"):
        return HostPort(_parse_ipv6(host[1:-1], text), int(port))
    if not _NAME.fullmatch(host):
        raise ConfigError(f"not a host name or an address: {text[:80]!r}")
    return HostPort(host, int(port))


def is_host_port(text: str) -> bool:
    """Whether `parse_host_port` takes it."""
    try:
        parse_host_port(text)
    except ConfigError:
        return False
    return True


def format_host_port(host: str, port: int) -> str:
    """ "host:port", with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse_ipv6(host: str, text: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        raise ConfigError(f"not an IPv6 address: {text[:80]!r}") from None
    if address.scope_id is not None:  # a zone means an interface of one machine, and may hold any characters
        raise ConfigError(f"an IPv6 address with a zone means nothing elsewhere: {text[:80]!r}")
    return str(address)
