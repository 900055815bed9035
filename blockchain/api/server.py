"""The HTTP server: uvicorn inside the node's own event loop, without its signal handlers, on a port checked first."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import Final

import uvicorn
from anyio import to_thread
from fastapi import FastAPI

from blockchain.api.connection import ApiConnection
from blockchain.runtime.listening import BACKLOG, listen, stop_accepting

KEEP_ALIVE_SECONDS: Final = 15
# When the node ends, which has five seconds for everything: after the first the requests in flight are told so, and
# those whose client does not read are cut; the second is for the others to hear of it.
GRACE_SECONDS: Final = 1.0
LAST_SECONDS: Final = 0.5
POLL_SECONDS: Final = 0.02
# That read bodies and write answers. Python runs one thread at a time, and the loop that runs the node takes its turn
# among them: beside the framework's 40 it came to its turn after seconds, beside two after tens of milliseconds.
THREADS_MAX: Final = 2


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
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                backlog=BACKLOG,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; from then on `port` is the real one. Raises PortInUse, or ConfigError for an unusable host."""
        to_thread.current_default_thread_limiter().total_tokens = THREADS_MAX  # of this event loop
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


def _connection(one: object) -> ApiConnection:
    assert isinstance(one, ApiConnection)
    return one


class _QuietServer(uvicorn.Server):
    """uvicorn, leaving signals to the node that it runs in, and saying when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's own would log what it cuts off as errors, and leave its waits to time-outs."""
        await stop_accepting(sockets or [])
        for server in self.servers:
            server.close()
        for one in sockets or []:
            one.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()  # those in a request close after it
        await self._finish_requests(GRACE_SECONDS)
        for connection in list(state.connections):
            _connection(connection).abandon_answer()
        for task in list(state.tasks):
            task.cancel()  # which is answered with 503, code `stopping`
        await self._finish_requests(LAST_SECONDS)
        for connection in list(state.connections):
            _connection(connection).transport.abort()
        await self._finish_requests(LAST_SECONDS)
        for server in self.servers:
            await server.wait_closed()

    async def _finish_requests(self, seconds: float) -> None:
        """Wait until every request is answered and every answer written, but no longer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.server_state.tasks or self.server_state.connections:
                    await asyncio.sleep(POLL_SECONDS)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
