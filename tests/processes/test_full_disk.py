"""The disk fills up under a node: it ends with one clear line, and goes on when there is room again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import pytest

from tests.processes.checks import end_all, wait_all_final
from tests.processes.findings import check_one_chain, stored_chain
from tests.processes.load import load
from tests.processes.network import network

FILL_SECONDS: Final = 60.0
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of a file's size"),
]


@pytest.mark.parametrize("bytes_max", [100_000, 1_000_000])
def test_a_disk_that_fills_up_loses_nothing_that_was_acknowledged(bytes_max: int, tmp_path: Path) -> None:
    with network(tmp_path, 1) as net:
        (node,) = net.nodes
        node.environment["BLOCKCHAIN_LOG_LEVEL"] = "error"  # the log has room
        node.file_bytes_max = bytes_max
        node.start()
        with load(net) as running:
            assert node.wait_end(FILL_SECONDS) == 1
            said = node.last_words()
            assert said.startswith(f"blockchain: {node.data_dir}") and said.count("\n") == 0, said
            before = running.acknowledged
            assert before
            node.file_bytes_max = None
            node.start()
            net.wait_height(1)
        wait_all_final(net)
        end_all(net)
        chain = stored_chain(node, net.spec.hash)
        check_one_chain([chain])
        assert running.acknowledged - set(chain.transaction_ids) == set()
        assert node.last_words() == ""
