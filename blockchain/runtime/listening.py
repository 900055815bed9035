"""Listening sockets: on all addresses of a host with one port, and closed without losing what was just accepted."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from blockchain.errors import ConfigError, PortInUse

BACKLOG: Final = 128
_Address = tuple[object, ...]  # as getaddrinfo gives them, by family

_BIND_ATTEMPTS_MAX: Final = 16  # to find one free port that IPv4 and IPv6 both have
_BUSY: Final = frozenset({errno.EADDRINUSE, 10048, 10013})  # the last two: Windows, in use and reserved
_NO_SUCH_FAMILY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})


async def listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on all addresses of `host` ("localhost" often has two), with one port; 0 is any free one.

    An address family that the machine lacks, as containers lack IPv6, is left out. Raises PortInUse, and
    ConfigError for a host that is not this machine's.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:  # the second: a name that DNS could not hold
        raise ConfigError(f"cannot listen on {host!r}: {error}") from None
    targets = list(dict.fromkeys((int(family), address) for family, _, _, _, address in found))
    for attempt in range(1, _BIND_ATTEMPTS_MAX + 1):
        try:
            return _listen_on_all(host, targets, port)
        except PortInUse:
            if port or attempt == _BIND_ATTEMPTS_MAX:
                raise
    raise AssertionError("the last attempt returns or raises")


async def stop_accepting(listening: Iterable[socket.socket]) -> None:
    """Take in no further connection; to be awaited before the asyncio servers of these sockets are closed.

    A server that is closed between the accept of a connection and the making of its transport drops the
    connection without closing it (CPython issue 109564), so that step gets its turn here.
    """
    loop = asyncio.get_running_loop()
    for one in listening:
        with contextlib.suppress(NotImplementedError):  # Windows's loop makes the transport where it accepts
            loop.remove_reader(one.fileno())
    await asyncio.sleep(0)


def _listen_on_all(host: str, targets: Sequence[tuple[int, _Address]], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    lacking: OSError | None = None
    try:
        for family, address in targets:
            try:
                bound.append(_listen_on(family, (address[0], port, *address[2:]), is_only=len(targets) == 1))
            except OSError as error:
                if error.errno not in _NO_SUCH_FAMILY:
                    raise
                lacking = error
            else:
                port = port or int(bound[0].getsockname()[1])
    except OSError as error:
        for one in bound:
            one.close()
        if error.errno in _BUSY:
            raise PortInUse(host, port) from None
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    if not bound:
        raise ConfigError(f"cannot listen on {host}:{port}: {lacking.strerror if lacking else 'no address'}")
    return bound


def _listen_on(family: int, address: _Address, *, is_only: bool) -> socket.socket:
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it a small answer that follows
    # another waits 40 ms for the acknowledgement of the first.
    one = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":  # on Windows the option would let two processes share a port
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            takes_ipv4 = is_only and address[0] == "::" and socket.has_dualstack_ipv6()
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if takes_ipv4 else 1)
        one.bind(address)
        one.listen(BACKLOG)
        one.setblocking(False)
    except OSError:
        one.close()
        raise
    return one
