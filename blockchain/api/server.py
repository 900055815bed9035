"""The HTTP server: uvicorn inside the node's own event loop, without its signal handlers, on a port checked first."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Generator
from typing import Final

import uvicorn
from fastapi import FastAPI

from blockchain.api.connection import ApiConnection
from blockchain.errors import ConfigError, PortInUse

CONNECTIONS_MAX: Final = 256  # beyond it uvicorn answers 503 at once; each holds at most one body of 4 MiB
KEEP_ALIVE_SECONDS: Final = 15
SHUTDOWN_SECONDS: Final = 3  # what requests in flight get when the node ends, which has five seconds for everything
_BACKLOG: Final = 128
_BUSY: Final = (errno.EADDRINUSE, 10048, 10013)  # the last two: Windows, in use and reserved
_NO_SUCH_FAMILY: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


class ApiServer:
    """Serves an application on `host` and `port` (0: any free one). `start`, then `stop`; each once."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._server = _QuietServer(
            uvicorn.Config(
                app,
                http=ApiConnection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,  # the client's address is the connection's, not what a header says
                server_header=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                backlog=_BACKLOG,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; from then on `port` is the real one. Raises PortInUse, or ConfigError for an unusable host."""
        sockets = await _listen(self.host, self.port)
        self.port = sockets[0].getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets), name="api")
        self._task.add_done_callback(lambda _: self._server.is_listening.set())
        await self._server.is_listening.wait()
        if self._task.done():  # it never listened
            for one in sockets:
                one.close()
            await self._task  # raises what it died of

    async def stop(self) -> None:
        """Answer what is in flight, close the rest, and free the port."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


class _QuietServer(uvicorn.Server):
    """uvicorn, leaving signals to the node that it runs in, and saying when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _listen(host: str, port: int) -> list[socket.socket]:
    """A listening socket for every address of `host` ("localhost" has one of IPv4 and often one of IPv6)."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:  # the second: a name that DNS could not hold
        raise ConfigError(f"cannot listen on {host!r}: {error}") from None
    sockets: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
            chosen = sockets[0].getsockname()[1] if sockets else port
            _add_socket(sockets, family, (str(address[0]), chosen, *address[2:]))
    except OSError as error:
        for one in sockets:
            one.close()
        if error.errno in _BUSY:
            raise PortInUse(host, port) from None
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    if not sockets:
        raise ConfigError(f"cannot listen on {host}:{port}: no such address on this machine")
    return sockets


def _add_socket(sockets: list[socket.socket], family: int, address: tuple[object, ...]) -> None:
    """Add one, unless this machine lacks the address family, as containers without IPv6 do."""
    try:
        # The protocol is named because asyncio sets TCP_NODELAY only then; without it an answer takes 40 ms more.
        one = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        if error.errno in _NO_SUCH_FAMILY:
            return
        raise
    try:
        if os.name == "posix":  # on Windows the option would let two processes share a port
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        one.listen(_BACKLOG)
        one.setblocking(False)
    except OSError as error:
        one.close()
        if error.errno not in _NO_SUCH_FAMILY:
            raise
        return
    sockets.append(one)
