"""A chain of a test's own: its genesis and keys, and its nodes as real processes on free ports.

`with network(folder, 4) as net:` leaves no process behind, whatever happens inside; when it fails, the ends of the
logs are shown.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blockchain.client import Status
from blockchain.commands.processes import check_ports_free
from blockchain.errors import PortInUse
from blockchain.genesis import dump_genesis
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address
from blockchain.runtime.keystore import generate_key, write_key_file
from blockchain.wallet import Wallet
from tests.processes.node_process import HOST, NodeProcess
from tests.processes.waiting import wait_until

STAKE: Final = 1_000
BALANCE: Final = 1_000_000_000
# Below the ports that systems lend to outgoing connections (Linux from 32768, others from 49152): a port lent to
# somebody while its node is down would be missing when the node starts again.
_PORT_FIRST: Final = 10_000
_PORT_LAST: Final = 32_000
_TAIL_LINES: Final = 12
_LINE_SHOWN: Final = 400

QUICK: Final = Parameters(
    block_threshold=1,
    block_max_wait_ms=200,
    propose_timeout_ms=600,
    propose_delta_ms=300,
    prevote_timeout_ms=300,
    prevote_delta_ms=300,
    precommit_timeout_ms=300,
    precommit_delta_ms=300,
    timeout_max_ms=5_000,
    commit_wait_ms=50,
)


@dataclass(frozen=True)
class Network:
    """Nodes of one chain, the validators first, and an account with money for each that was there from the start."""

    folder: Path
    spec: ChainSpec
    nodes: list[NodeProcess]
    wallets: list[Wallet]

    @property
    def genesis(self) -> Path:
        return self.folder / "genesis.json"

    def start_all(self) -> None:
        for node in self.nodes:
            if not node.is_running:
                node.start()

    def add_follower(self) -> NodeProcess:
        """One more node, without a key, that knows those that there are; not started."""
        node_port, api_port = free_ports(2)
        seeds = ",".join(f"{HOST}:{node.node_port}" for node in self.nodes)
        name = f"follower-{len(self.nodes)}"
        follower = NodeProcess(name, node_port, api_port, self.folder / name, None, self.genesis, seeds)
        self.nodes.append(follower)
        return follower

    def wait_for(self, what: str, nodes: list[NodeProcess], holds: Callable[[Status], bool]) -> None:
        """Until every one of the nodes answers with a status of which `holds` is true."""
        waiting = list(nodes)

        def look() -> bool:
            waiting[:] = [node for node in waiting if (status := node.status()) is None or not holds(status)]
            return not waiting

        wait_until(f"{', '.join(node.name for node in nodes)}: {what}", look)

    def wait_connected(self) -> None:
        others = len(self.nodes) - 1
        self.wait_for(f"{others} peers", self.nodes, lambda status: status.peers >= others)

    def wait_height(self, height: int, nodes: list[NodeProcess] | None = None) -> None:
        self.wait_for(f"height {height}", nodes or self.nodes, lambda status: status.height >= height)

    def height(self) -> int:
        """The greatest that a running node says."""
        statuses = [node.status() for node in self.nodes if node.is_running]
        return max((status.height for status in statuses if status is not None), default=0)


@contextmanager
def network(folder: Path, validators: int, parameters: Parameters = QUICK, followers: int = 0) -> Iterator[Network]:
    """Make keys and genesis, and the nodes; nothing is started yet. On leaving, every process has ended."""
    keys = [generate_key() for _ in range(validators)]
    money = [generate_key() for _ in range(validators + followers)]
    spec = ChainSpec(
        chain_id="processes",
        time_ms=time.time_ns() // 1_000_000,
        parameters=parameters,
        accounts=tuple(GenesisAccount(Address(key.public_key), BALANCE) for key in money),
        validators=tuple(GenesisValidator(Address(key.public_key), STAKE) for key in keys),
    )
    (folder / "genesis.json").write_bytes(dump_genesis(spec))
    ports = free_ports(2 * validators)
    node_ports, api_ports = ports[:validators], ports[validators:]
    nodes = []
    for index, key in enumerate(keys):
        name = f"node-{index}"
        own = folder / name
        own.mkdir()
        write_key_file(own / "key.pem", key, None)
        seeds = ",".join(f"{HOST}:{port}" for port in node_ports if port != node_ports[index]) or "none"
        ports_here = node_ports[index], api_ports[index]
        nodes.append(NodeProcess(name, *ports_here, own, own / "key.pem", folder / "genesis.json", seeds))
    with all_closed(nodes):
        net = Network(folder, spec, nodes, [Wallet(key, spec.hash) for key in money])
        for _ in range(followers):
            net.add_follower()
        yield net


@contextmanager
def all_closed(nodes: list[NodeProcess]) -> Iterator[None]:
    """Ends the processes of the nodes that are in the list at the end, and shows their logs when something failed."""
    try:
        yield
    except BaseException:
        for node in nodes:
            print(f"---- {node.name}\n{tail(node)}", file=sys.stderr)
        raise
    finally:
        for node in nodes:
            node.close()


def tail(node: NodeProcess) -> str:
    """The last lines of its newest log, and what it said on its standard error."""
    if not node.starts:
        return "never started"
    lines = node.log().read_text("utf-8", "replace").splitlines()
    told = [line for line in lines if '"GET ' not in line]  # what the tests themselves ask comes too often
    return "\n".join([*(line[:_LINE_SHOWN] for line in told[-_TAIL_LINES:]), node.last_words()])


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, on either family of this machine's own addresses."""
    found: dict[int, None] = {}
    while len(found) < count:
        port = random.randint(_PORT_FIRST, _PORT_LAST)
        try:
            check_ports_free(HOST, [port])
        except PortInUse:
            continue
        found[port] = None
    return list(found)
