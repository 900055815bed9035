"""Three hundred sockets that drip bytes, on either port, keep no client of the API from being served, nor a peer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from blockchain.commands.node import running_node
from blockchain.config import NodeConfig
from blockchain.demo_chain import demo_spec
from blockchain.runtime.service import NodeService
from tests.api.talking import WAIT_SECONDS, until
from tests.processes.network import free_ports

SLOW_SOCKETS: Final = 300
REQUESTS: Final = 20
HEAD: Final = b"GET /api/v1/status/ HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"x" * 10_000


@asynccontextmanager
async def _a_node(folder: Path, ports: list[int], seed: str = "") -> AsyncIterator[NodeService]:
    config = NodeConfig(
        ip="127.0.0.1",
        node_port=ports[0],
        api_port=ports[1],
        data_dir=folder,
        seeds=(seed,) if seed else (),
        advertise=f"127.0.0.1:{ports[0]}",
    )
    async with running_node(config, demo_spec()) as node:
        yield node


@asynccontextmanager
async def _slow_sockets(port: int, seconds: float) -> AsyncIterator[list[int]]:
    """Each sends a byte, and the next one `seconds` later, until it is cut; gives how many bytes each has sent."""
    sent = [0] * SLOW_SOCKETS

    async def drip(index: int) -> None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                for byte in HEAD:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    sent[index] += 1
                    await asyncio.sleep(seconds)
            finally:
                writer.transport.abort()

    tasks = [asyncio.create_task(drip(index)) for index in range(SLOW_SOCKETS)]
    try:
        await until(lambda: all(sent) or all(task.done() or sent[index] for index, task in enumerate(tasks)))
        yield sent
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _check_served(port: int, pause: float) -> None:
    """Clients that come one after the other, and one that stays, get every answer."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=WAIT_SECONDS) as stays:
        for _ in range(REQUESTS):
            async with httpx.AsyncClient(trust_env=False, timeout=WAIT_SECONDS) as comes:
                assert (await comes.get(f"http://127.0.0.1:{port}/livez")).status_code == 200
            assert (await stays.get("/api/v1/status/")).status_code == 200
            await asyncio.sleep(pause)


PACES: Final = [
    pytest.param(0.05, 0.0, id="fast"),
    pytest.param(1.0, 2.0, id="a byte a second, for longer than every limit", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("seconds", "pause"), PACES)
def test_on_the_port_of_the_api(seconds: float, pause: float, tmp_path: Path) -> None:
    async def once() -> None:
        ports = free_ports(2)
        async with _a_node(tmp_path / "a", ports), _slow_sockets(ports[1], seconds) as sent:
            await _check_served(ports[1], pause)
            assert max(sent) > 1, "they drip"

    asyncio.run(once())


@pytest.mark.parametrize(("seconds", "pause"), PACES)
def test_on_the_port_of_the_peers(seconds: float, pause: float, tmp_path: Path) -> None:
    async def once() -> None:
        ports, other = free_ports(2), free_ports(2)
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(_a_node(tmp_path / "a", ports))
            await stack.enter_async_context(_slow_sockets(ports[0], seconds))
            await _check_served(ports[1], pause)
            await stack.enter_async_context(_a_node(tmp_path / "b", other, f"127.0.0.1:{ports[0]}"))
            await until(lambda: len(node.peers()) == 1)

    asyncio.run(once())
