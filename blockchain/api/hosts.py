"""Which `Host` a request may name: a page of another origin must not reach this node through a name of its own.

The attack is DNS rebinding: a stranger's page resolves its own name to this machine, and the browser takes the API for
that page's server, so that no rule about origins holds it back. The request still says which name it was sent to. So
a name is answered only when somebody here gave it. An address cannot be rebound, and so passes where it may be ours.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Self

from msgspec import Struct
from starlette.types import ASGIApp, Receive, Scope, Send

from blockchain.api.problems import problem

LOCAL_NAMES: Final = frozenset({"localhost"})
LOCAL_ADDRESSES: Final = frozenset({"127.0.0.1", "::1"})
HOSTS_REMEMBERED_MAX: Final = 256  # clients name the same few again and again
_ONE_HOST: Final = "a request has one Host header, with a name or an address"
_HOST: Final = re.compile(rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9_.-]{1,253}))(?::[0-9]{0,5})?")


class HostRule(Struct, frozen=True):
    """Names in lower case and addresses in their shortest form; `any_address` where the node listens on all."""

    names: frozenset[str] = LOCAL_NAMES
    addresses: frozenset[str] = LOCAL_ADDRESSES
    any_address: bool = False

    @classmethod
    def of(cls, ip: str, more: tuple[str, ...] = ()) -> Self:
        """The rule of a node that listens on `ip`; `more` are further names and addresses (`--api_hosts`)."""
        given = {one: _address(one) for one in (ip, *more)}
        return cls(
            LOCAL_NAMES | {one.lower() for one, address in given.items() if address is None},
            LOCAL_ADDRESSES | {address for address in given.values() if address is not None},
            any_address=_is_wildcard(ip),
        )

    def allows(self, host: str, reached: str) -> bool:
        """`host` without port and brackets; `reached` is the address of this node that the connection came to."""
        address = _address(host)
        if address is None:
            return host.lower() in self.names
        return self.any_address or address in self.addresses or address == _address(reached)


class CheckedHost:
    """An ASGI layer: 400 where `Host` is missing, stands twice or is no host; 421 where it is none of this node's."""

    def __init__(self, app: ASGIApp, rule: HostRule) -> None:
        self._app = app
        self._rule = rule

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = [value for name, value in scope["headers"] if name == b"host"]
        match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
        if match is None:
            await problem(HTTPStatus.BAD_REQUEST, "bad_request", _ONE_HOST)(scope, receive, send)
            return
        host = (match[1] or match[2]).decode("ascii")
        server = scope.get("server")
        if self._rule.allows(host, server[0] if server else ""):
            await self._app(scope, receive, send)
            return
        detail = f"this node does not answer to the name {host[:80]!r}; its operator may add it with --api_hosts"
        response = problem(HTTPStatus.MISDIRECTED_REQUEST, "wrong_host", detail)
        await response(scope, receive, send)


@lru_cache(maxsize=HOSTS_REMEMBERED_MAX)
def _address(host: str) -> str | None:
    """The shortest form of an address; None for a name. Forms that only some resolvers read, as 127.1, are names."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _is_wildcard(ip: str) -> bool:
    address = _address(ip)
    return address is not None and ipaddress.ip_address(address).is_unspecified
