"""A node that is told to end while it syncs ends cleanly, and goes on from there when it is started again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from blockchain.genesis import dump_genesis
from blockchain.primitives.chain import GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import Address
from tests.commands import stored_chain
from tests.commands.stored_chain import open_chain
from tests.node.one_chain import KEYS
from tests.processes.network import all_closed, free_ports
from tests.processes.node_process import HOST, NodeProcess
from tests.processes.test_endings import check_ends
from tests.processes.waiting import wait_until
from tests.samples import address, spec_of

HEIGHT = 200
TRANSACTIONS = 20  # of a block
SPEC = spec_of(
    validators=tuple(GenesisValidator(Address(key.public_key), 100) for key in KEYS),
    accounts=(GenesisAccount(address("a"), 1_000_000),),
    parameters={"block_threshold": TRANSACTIONS},
)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals between processes")
def test_a_node_ends_cleanly_while_it_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_chain, "SPEC", SPEC)
    genesis = tmp_path / "genesis.json"
    genesis.write_bytes(dump_genesis(SPEC))
    with open_chain(tmp_path / "source" / "data") as made:
        for height in range(HEIGHT):
            made.grow(*(made.pay("a", height * TRANSACTIONS + place) for place in range(TRANSACTIONS)))
    ports = free_ports(4)
    source = NodeProcess("source", ports[0], ports[1], tmp_path / "source", genesis=genesis)
    seeds = f"{HOST}:{ports[0]}"
    node = NodeProcess(
        "node", ports[2], ports[3], tmp_path / "node", genesis=genesis, seeds=seeds, is_child=False
    )  # fmt: skip
    with all_closed([source, node]):
        source.start()
        wait_until("an answer", source.status)
        node.start()
        wait_until("the first block", lambda: (status := node.status()) is not None and status.height > 0)
        node.process.terminate()
        check_ends(node)
        node.start()
        wait_until("all blocks", lambda: (status := node.status()) is not None and status.height == HEIGHT)
