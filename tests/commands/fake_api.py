"""The real API over a node in memory, on a free port, in a thread of its own, for commands that block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from blockchain.api.app import ApiSettings, create_app
from blockchain.api.server import ApiServer
from tests.api.fake_node import FakeNode

HOST = "127.0.0.1"
START_SECONDS = 30


@contextmanager
def running_api(
    heights: int = 3, pending: int = 0, settings: ApiSettings | None = None
) -> Iterator[tuple[str, FakeNode]]:
    """The URL, and the node behind it, whose knobs a test may turn between two requests."""
    started: Future[tuple[str, FakeNode, asyncio.AbstractEventLoop, asyncio.Event]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(_serve(started, heights, pending, settings)))
    thread.start()
    try:
        url, node, loop, stop = started.result(START_SECONDS)
        try:
            yield url, node
        finally:
            loop.call_soon_threadsafe(stop.set)
    finally:
        thread.join(START_SECONDS)


async def _serve(
    started: Future[tuple[str, FakeNode, asyncio.AbstractEventLoop, asyncio.Event]],
    heights: int,
    pending: int,
    settings: ApiSettings | None,
) -> None:
    try:
        node = FakeNode(heights)
        for _ in range(pending):
            node.make_pending()
        server = ApiServer(create_app(node, settings), HOST, 0)
        await server.start()
    except BaseException as error:
        started.set_exception(error)
        raise
    stop = asyncio.Event()
    started.set_result((f"http://{HOST}:{server.port}", node, asyncio.get_running_loop(), stop))
    await stop.wait()
    await server.stop()
