"""`testnet --run`, end to end: real nodes, their logs behind their names, a clean end, and a second start."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_demo import ROOT, SECONDS, three_free_ports

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no signal that asks a process to end on Windows")


def run_until_all_listen(says: str, environment: dict[str, str], *arguments: str) -> None:
    """Start it, wait for each of three nodes to say that it listens, ask it to end: it ends with 0."""
    command = [sys.executable, "-m", "blockchain", "testnet", "--run", *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as testnet:
        assert testnet.stdout is not None
        waited_for = {"node-1", "node-2", "node-3"}
        for line in iter(testnet.stdout.readline, ""):
            name, _, rest = line.partition(" | ")
            if re.search(says, rest):
                waited_for.discard(name)
            if not waited_for:
                break
        assert waited_for == set()
        testnet.send_signal(signal.SIGINT)
        testnet.stdout.read()
        assert testnet.wait(SECONDS) == 0


def test_a_testnet_runs_and_runs_again(tmp_path: Path) -> None:
    node_ports = three_free_ports(range(0))
    api_ports = three_free_ports(node_ports)
    output = f"--output={tmp_path / 'net'}"
    ports = [f"--first_node_port={node_ports.start}", f"--first_api_port={api_ports.start}"]
    run_until_all_listen('"evt.name": "listening"', {}, "--validators=3", output, *ports)
    genesis = (tmp_path / "net" / "genesis.json").read_bytes()
    for_people = {"BLOCKCHAIN_LOG_FORMAT": "text", "BLOCKCHAIN_NODE_PORT": "1"}  # the second is each node's own
    run_until_all_listen(r"^[0-9:.]+ INFO .* API on http", for_people, output)
    assert (tmp_path / "net" / "genesis.json").read_bytes() == genesis
