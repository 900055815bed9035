"""What a person vouches for on the command line: `--checkpoint` and `--trust_genesis`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import pytest

from blockchain.commands.arguments import CommandParser, add_settings, read_settings
from blockchain.commands.node import running_node
from blockchain.commands.node_settings import vouched_by
from blockchain.config import NodeConfig
from blockchain.errors import ConfigError
from blockchain.node.checkpoint import Checkpoint, Vouched
from blockchain.primitives.crypto import Hash32
from tests.commands.stored_chain import SPEC, DiskNode

ID = Hash32(b"\xab" * 32)


def given(*flags: str) -> NodeConfig:
    parser = CommandParser()
    add_settings(parser, "checkpoint", "trust_genesis")
    return read_settings(argparse.Namespace(**vars(parser.parse_args(list(flags)))))


def test_the_flags_are_what_the_node_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert vouched_by(given()) == Vouched()
    assert vouched_by(given("--trust-genesis")) == Vouched(genesis=True)
    assert vouched_by(given(f"--checkpoint=7:{ID.hex()}")) == Vouched(Checkpoint(7, ID))


def test_a_store_of_another_chain_than_the_checkpoints_is_not_started_on(tmp_path: Path) -> None:
    node = DiskNode(tmp_path)
    node.grow(node.pay("a", 0))
    node.store.close()  # type: ignore[attr-defined]
    config = NodeConfig(node_port=0, api_port=0, data_dir=tmp_path, checkpoint=(1, ID))

    async def start() -> None:
        async with running_node(config, SPEC):
            pass

    with pytest.raises(ConfigError, match=f"checkpoint 1:{ID.hex()} is not of the chain in the store") as caught:
        asyncio.run(start())
    assert "\n" not in str(caught.value)
