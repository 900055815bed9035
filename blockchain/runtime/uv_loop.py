"""The event loop on uvloop. Whoever imports this finds out whether it is installed: ImportError where it is not.

What differs from asyncio's, and does not matter here: its clock goes in milliseconds and stands still during a turn of
the loop, so a timer may come up to a millisecond early.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from blockchain.runtime.lookups import OwnLookups

if TYPE_CHECKING:  # types are checked where uvloop is not, too
    from asyncio import SelectorEventLoop as Loop
else:
    from uvloop import Loop


class UvLoop(OwnLookups, Loop):
    """uvloop's own `create_connection` would ask the resolver past `getaddrinfo`, so it is given addresses only."""

    async def create_connection(  # type: ignore[override]  # asyncio has more options
        self,
        protocol_factory: Callable[[], asyncio.BaseProtocol],
        host: str | None = None,
        port: int | None = None,
        *,
        sock: socket.socket | None = None,
        local_addr: tuple[str, int] | None = None,
    ) -> tuple[asyncio.BaseTransport, asyncio.BaseProtocol]:
        """To the first address of a name that answers, from an IP address, or over a socket. Raises OSError."""
        if sock is not None:
            return await super().create_connection(protocol_factory, sock=sock)
        failures: list[OSError] = []
        for *_, address in await self.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                return await super().create_connection(
                    protocol_factory, literal(address), address[1], local_addr=local_addr
                )
            except OSError as failure:
                failures.append(failure)
        raise _one_of(failures)


def literal(address: tuple[Any, ...]) -> str:
    """The IP address of what `getaddrinfo` found, with its interface where it is of one link only."""
    host, _, _, scope = address if len(address) == 4 else (*address, 0, 0)
    return f"{host}%{socket.if_indextoname(scope)}" if scope else str(host)


def _one_of(failures: list[OSError]) -> OSError:
    """As asyncio says it."""
    said = list(dict.fromkeys(str(failure) for failure in failures))
    if len(said) == 1:
        return failures[0]
    return OSError(f"Multiple exceptions: {', '.join(said)}" if said else "the name has no address")
