"""Two nodes with different genesis files: each says so, and goes on."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Final

import pytest

from blockchain.commands.node import running_node
from blockchain.config import NodeConfig
from blockchain.primitives.chain import ChainSpec
from blockchain.runtime.service import NodeService
from tests.processes.network import free_ports
from tests.samples import spec_of

HANG_SECONDS: Final = 20.0  # a test that waits longer has failed
ONE, OTHER = spec_of(chain_id="one"), spec_of(chain_id="other")


def config(folder: Path, name: str, node_port: int, seeds: tuple[str, ...] = ()) -> NodeConfig:
    return NodeConfig(ip="127.0.0.1", node_port=node_port, api_port=0, data_dir=folder / name, seeds=seeds)


def named(spec: ChainSpec) -> str:
    return f"chain {spec.hash[:8].hex()}"


async def why_not_reached(node: NodeService) -> str:
    while not node.dials()[0].last_error:
        await asyncio.sleep(0)
    return node.dials()[0].last_error


def test_nodes_of_two_chains_tell_both_why_they_do_not_talk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        port, other_port = free_ports(2)
        seeds = (f"127.0.0.1:{port}",)
        async with (
            asyncio.timeout(HANG_SECONDS),
            running_node(config(tmp_path, "one", port), ONE) as one,
            running_node(config(tmp_path, "other", other_port, seeds), OTHER) as other,
        ):
            why = await why_not_reached(other)
            assert "other_chain" in why and f"{named(OTHER)}, the peer on {named(ONE)}" in why
            while not any("other_chain" in line for line in refused()):
                await asyncio.sleep(0)
            assert f"{named(ONE)}, the peer on {named(OTHER)}" in refused()[0]
            assert not one.peers() and not other.peers()
            assert one.status().is_halted == other.status().is_halted == ""

    def refused() -> list[str]:
        return [line.message for line in caplog.records if line.message.startswith("connection of 127.0.0.1")]

    with caplog.at_level(logging.INFO, "blockchain"):
        asyncio.run(scenario())
