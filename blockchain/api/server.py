"""The HTTP server: uvicorn inside the node's own event loop, without its signal handlers, on a port checked first."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Final

import uvicorn
from fastapi import FastAPI

from blockchain.api.connection import ApiConnection
from blockchain.runtime.listening import BACKLOG, listen, stop_accepting

CONNECTIONS_MAX: Final = 256  # beyond it uvicorn answers 503 at once; each holds at most one body of 4 MiB
KEEP_ALIVE_SECONDS: Final = 15
# When the node ends, which has five seconds for everything: after the first the requests in flight are told so, and
# those whose client does not read are cut; the second is uvicorn's own end, which nothing is left for.
GRACE_SECONDS: Final = 1.0
SHUTDOWN_SECONDS: Final = 3
_CUT_SECONDS: Final = 0.1  # for what was cut to notice


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
                backlog=BACKLOG,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; from then on `port` is the real one. Raises PortInUse, or ConfigError for an unusable host."""
        sockets = await listen(self.host, self.port)
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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await stop_accepting(sockets or [])
        ending = asyncio.create_task(self._end_what_is_in_flight(), name="api's end")
        await super().shutdown(sockets)
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)

    async def _end_what_is_in_flight(self) -> None:
        """After the grace: cut what is being sent and not read, then cancel what has no answer yet: it gets a 503."""
        await asyncio.sleep(GRACE_SECONDS)
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            if cycle is None or cycle.response_started:
                connection.transport.abort()
        await asyncio.sleep(_CUT_SECONDS)
        for task in list(self.server_state.tasks):
            task.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
