"""Networks whose links can be cut, and what is claimed of them: that they have stopped, and that all agree again."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from blockchain.primitives.address import format_address
from blockchain.runtime.keystore import node_key
from tests.processes.load import BATCH, Load
from tests.processes.network import Network, network
from tests.processes.node_process import NodeProcess
from tests.processes.proxy import Links, links
from tests.processes.waiting import wait_until

BLOCKS: Final = 2
STOPPED_BATCHES: Final = 6  # so many acknowledged, and no block: it has stopped


@contextmanager
def linked_network(folder: Path, validators: int) -> Iterator[tuple[Network, Links]]:
    """A network all of whose nodes reach each other through `Links` only: they advertise no address."""
    with network(folder, validators) as net, _links(net) as wires:
        for index, node in enumerate(net.nodes):
            node.seeds, node.advertise = wires.seeds(index), "none"
        net.start_all()
        net.wait_connected()
        yield net, wires


def _links(net: Network) -> AbstractContextManager[Links]:
    ids = [bytes(node_key(node.data_dir).public_key) for node in net.nodes]
    return links([node.node_port for node in net.nodes], ids)


def heights(nodes: list[NodeProcess]) -> list[int]:
    """Of those of the nodes that answer."""
    return [status.height for node in nodes if (status := node.status()) is not None]


def wait_stopped(nodes: list[NodeProcess], running: Load) -> None:
    """Until clients have handed in more and more, and no block of it became final at any of these nodes."""
    before = heights(nodes)
    count = len(running.acknowledged)

    def look() -> bool:
        nonlocal before, count
        if heights(nodes) != before:  # the last block that was under way
            before, count = heights(nodes), len(running.acknowledged)
        return len(running.acknowledged) >= count + STOPPED_BATCHES * BATCH

    wait_until("clients are answered and no block comes", look)


def wait_one_head(nodes: list[NodeProcess], height: int) -> float:
    """Until all have the same head, at this height or above. The seconds that it took."""
    started = time.monotonic()

    def look() -> bool:
        statuses = [status for node in nodes if (status := node.status()) is not None]
        heads = {status.head for status in statuses}
        return len(statuses) == len(nodes) and len(heads) == 1 and statuses[0].height >= height

    wait_until(f"one head at height {height} or above", look)
    return time.monotonic() - started


def wait_going_on(net: Network, nodes: list[NodeProcess] | None = None) -> float:
    """Until each of the nodes holds blocks that none had before. The seconds that it took."""
    started = time.monotonic()
    chosen = nodes or net.nodes
    goal = max(heights(chosen)) + BLOCKS

    def look() -> bool:
        found = heights(chosen)
        return len(found) == len(chosen) and min(found) >= goal

    wait_until(f"height {goal} everywhere", look)
    return time.monotonic() - started


def wait_said_to_be_stopped(net: Network, left: list[NodeProcess], missing: list[NodeProcess]) -> None:
    """Until those left are not ready because the chain is stopped, and name who is missing and the stake needed."""
    addresses = {format_address(net.spec.validators[net.nodes.index(node)].address) for node in missing}

    def look() -> bool:
        return all(
            _is_said(node, addresses, sum(validator.stake for validator in net.spec.validators)) for node in left
        )

    wait_until("/readyz and /consensus say that the chain is stopped, and why", look)


def _is_said(node: NodeProcess, missing: set[str], total: int) -> bool:
    said = node.client.consensus()
    votes = said.missing_prevotes if said.step == "prevote" else said.missing_precommits
    assert said.quorum_stake == total * 2 // 3 + 1
    return {one.validator for one in votes} == missing and node.failed_checks().keys() == {"not_stalled"}
