"""A limit: what FastAPI answers a second when the route does nothing, in a process of its own.

The body is read and thrown away, and the answer is as long as a node's. uvicorn is set up as a node sets it up, without
access log, and takes the fastest parser and event loop that this environment has, as it does by default.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI, Request, Response

from benchmarks.apart import Pipe, apart
from benchmarks.raw_http import HOST
from blockchain.api.server import KEEP_ALIVE_SECONDS
from blockchain.runtime.listening import BACKLOG

PATH = "/empty/"


@dataclass(frozen=True)
class EmptyRoute:
    """Where it answers, to GET and POST."""

    port: int
    path: str = PATH


@contextmanager
def empty_route(answer_bytes: int) -> Iterator[EmptyRoute]:
    """A process that answers with so many bytes, while the block runs."""
    with apart(_serve) as pipe:
        pipe.tell(answer_bytes)
        yield EmptyRoute(pipe.hear(int))


def _serve(pipe: Pipe) -> None:
    server = uvicorn.Server(
        uvicorn.Config(
            _app(pipe.hear(int)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            backlog=BACKLOG,
        )
    )
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it an answer may wait for 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind((HOST, 0))
    listening.listen(BACKLOG)
    pipe.tell(listening.getsockname()[1])
    threading.Thread(target=_end_with, args=(pipe, server), daemon=True).start()
    server.run([listening])


def _end_with(pipe: Pipe, server: uvicorn.Server) -> None:
    pipe.wait_closed()
    server.should_exit = True


def _app(answer_bytes: int) -> FastAPI:
    app = FastAPI(openapi_url=None)
    answer = b"x" * answer_bytes

    async def empty(request: Request) -> Response:
        await request.body()
        return Response(answer, media_type="application/json")

    app.add_api_route(PATH, empty, methods=["GET", "POST"])
    return app
