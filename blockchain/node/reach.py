"""From how far an address can be reached, and whose it is: by its text alone (docs/protocol.md §8.3, §8.6).

A node on one machine, or in one private network, must not be told of by nodes outside, nor tell them: they could not
reach it, and would knock at somebody else's door of the same name. Nobody outside may make a node dial into its own
network.
"""

from __future__ import annotations

import ipaddress
import re
from enum import IntEnum
from functools import lru_cache
from typing import Final

from blockchain.errors import ConfigError
from blockchain.primitives.host_port import parse_host_port

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

REMEMBERED_MAX: Final = 4_096  # 2 MB at most: each peer asks of all others again and again, with 256 of them 2,000/s
_LOCAL_ENDINGS: Final = (".local", ".localdomain", ".lan", ".internal", ".home.arpa")  # RFC 6762, 8375; and in use
_NUMBER: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.ASCII)  # resolvers read 127.1 and 0x7f000001 as addresses


class Reach(IntEnum):
    """Each may reach those after it."""

    MACHINE = 0
    NETWORK = 1  # a private network, as of containers
    WORLD = 2


def reach_of_host(host: str) -> Reach:
    """The reach of an IP address or a name; a name without a dot is one of the own network."""
    ip = ip_of(host)
    if ip is None:
        return _reach_of_name(host.lower().rstrip("."))
    if ip.is_loopback or ip.is_unspecified or ip.is_multicast:
        return Reach.MACHINE  # to dial none of them is of use to others
    return Reach.WORLD if ip.is_global else Reach.NETWORK


@lru_cache(maxsize=REMEMBERED_MAX)
def is_exchanged(address: str, remote: str) -> bool:
    """Whether "host:port" is told to, and taken from, a peer whose connection comes from the IP address `remote`."""
    try:
        host = parse_host_port(address).host
    except ConfigError:
        return False
    nearest = reach_of_host(remote) if ip_of(remote) is not None else Reach.WORLD
    return reach_of_host(host) >= nearest


def ip_of(host: str) -> IPAddress | None:
    """The address that a text is, IPv4 also when written as IPv6; None for a name."""
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return ip if mapped is None else mapped


def source_of(host: str) -> str:
    """Who is there: an IPv4 address, also when written as IPv6, or the /64 that an IPv6 host owns; else the text."""
    ip = ip_of(host)
    if ip is None:
        return host
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))


def host_of(host: str) -> str:
    """The same for all names and notations of one host, as far as that can be told without asking."""
    return host.lower().rstrip(".") if ip_of(host) is None else source_of(host).removesuffix("/64")


def _reach_of_name(name: str) -> Reach:
    labels = name.split(".")
    if labels[-1] == "localhost" or _NUMBER.fullmatch(labels[-1]):
        return Reach.MACHINE
    return Reach.NETWORK if len(labels) == 1 or name.endswith(_LOCAL_ENDINGS) else Reach.WORLD
