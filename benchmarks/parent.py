"""What does the parent project's own demo take here: its seven transactions, then a thousand more, three nodes?

The demo chain as `demo` starts it: three nodes, two validators, two transactions a block. First the sample, then a
thousand that the exchange mints, each in a request of its own, one after the other. Beside it stands what the parent
project was measured with, on such a machine: it accepts 120 to 160 transactions a second for a few seconds and falls to
4, and after a thousand its three nodes hold 642, 642 and 69. Reported only.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.figures import Figure, figure, figure_beside
from benchmarks.nodes import free_ports, read_chain
from benchmarks.options import Options
from blockchain.client import Client
from blockchain.commands.demo import DemoNode, command_of, demo_nodes
from blockchain.commands.keyring import keys_folder
from blockchain.commands.processes import NodeProcesses, check_ports_free, clean_environment, python_command
from blockchain.commands.sample import sample_transactions
from blockchain.demo_chain import demo_spec, john_key
from blockchain.errors import NodeUnreachable, PortInUse
from blockchain.primitives.crypto import Address
from blockchain.runtime.keystore import read_key_file
from blockchain.wallet import Wallet

NAME: Final = "parent"
TRANSACTIONS: Final = 1_000
QUICK_TRANSACTIONS: Final = 50
SAMPLE: Final = 7
PARENT_ACCEPTS: Final = 140.0  # a second, while it does
PARENT_HOLDS: Final = 69.0  # of a thousand, the node that holds the fewest
_HOST: Final = "localhost"
_PATIENCE_SECONDS: Final = 600.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Run:
    """Seconds from the first POST; rates a second; `held`: of the last thousand, the node that holds the fewest."""

    sample_seconds: float
    accepted_rate: float
    final_seconds: float
    held: int


def measure(options: Options) -> list[Figure]:
    """Raises TimeoutError when the nodes do not get there."""
    count = QUICK_TRANSACTIONS if options.is_quick else TRANSACTIONS
    runs = [run(options.data, count) for _ in range(options.runs)]
    accepted, held = [one.accepted_rate for one in runs], [one.held * TRANSACTIONS / count for one in runs]
    parent = "the parent project"
    return [
        figure("seven, to final on all three", "s", [one.sample_seconds for one in runs], better="less"),
        figure_beside("accepted, one a request", "tx/s", accepted, [PARENT_ACCEPTS] * len(runs), parent, better="more"),
        figure("a thousand, to final on all three", "s", [one.final_seconds for one in runs], better="less"),
        figure("final on all three", "tx/s", [count / one.final_seconds for one in runs], better="more"),
        figure_beside(
            "held by the last node, of a thousand", "tx", held, [PARENT_HOLDS] * len(runs), parent, better="more"
        ),
    ]


def run(data: Path, count: int) -> Run:
    """The three nodes from their start to their end."""
    data.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=data, prefix="parent-") as name:
        folder = Path(name)
        with _demo(folder) as nodes:
            begun = time.monotonic()
            for one in sample_transactions(nodes[0]):
                nodes[0].submit([one])
            _wait_height(nodes, SAMPLE // 2)
            sampled = time.monotonic() - begun
            accepted = _hand_in(nodes[0], count)
            begun = time.monotonic() - accepted
            _wait_height(nodes, (SAMPLE + count) // 2)
            final = time.monotonic() - begun
        chains = [read_chain(folder / name, demo_spec().hash) for name in ("node_one", "node_two", "node_three")]
    held = min(sum(map(len, chain.blocks)) for chain in chains) - (SAMPLE - 1)  # the last of the sample is among them
    return Run(sampled, count / accepted, final, min(held, count))


def _hand_in(node: Client, count: int) -> float:
    """The exchange mints, each with a request of its own; in seconds."""
    key = read_key_file(keys_folder() / "exchange_private_key.pem", None)
    exchange = Wallet(key, demo_spec().hash)
    john = Address(john_key().public_key)
    nonce = node.account(exchange.address_text).next_nonce
    made = [exchange.exchange(john, 1, nonce + number) for number in range(count)]
    begun = time.monotonic()
    for one in made:
        node.submit([one])
    return time.monotonic() - begun


def _wait_height(nodes: list[Client], height: int) -> None:
    """Raises TimeoutError."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while any(node.status().height < height for node in nodes):
        if time.monotonic() >= deadline:
            raise TimeoutError(f"height {height}: not within {_PATIENCE_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)


@contextmanager
def _demo(folder: Path) -> Iterator[list[Client]]:
    """The README's three nodes, connected; they have ended after it."""
    nodes = demo_nodes(*_free_rows(3))
    environment = clean_environment(FIRST_NODE_PORT=str(nodes[0].node_port), BLOCKCHAIN_LOG_LEVEL="warning")
    with NodeProcesses() as processes:
        for node in nodes:
            own = [f"--data_dir={folder / node.name}", f"--service={node.name}"]
            command = [*python_command("run_node.py", *command_of(node)), *own]
            processes.start_into_file(node.name, command, folder / f"{node.name}.log", environment)
        clients = [Client(node.url) for node in nodes]
        try:
            _wait_connected(nodes, clients, processes)
            yield clients
        finally:
            for client in clients:
                client.close()


def _wait_connected(nodes: list[DemoNode], clients: list[Client], processes: NodeProcesses) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    wanted = [len(nodes) - 1, *[1] * (len(nodes) - 1)]
    while True:
        if ended := processes.ended():
            raise RuntimeError(f"nodes ended: {ended}")
        try:
            if all(client.status().peers >= least for client, least in zip(clients, wanted, strict=True)):
                return
        except NodeUnreachable as error:
            if time.monotonic() >= deadline:
                raise TimeoutError(str(error)) from None
        time.sleep(_POLL_SECONDS)


def _free_rows(count: int) -> tuple[int, int]:
    """The first of `count` free ports in a row, twice."""
    rows: list[int] = []
    while len(rows) < 2:
        (first,) = free_ports(1)
        try:
            check_ports_free(_HOST, range(first, first + count))
        except PortInUse:
            continue
        if all(abs(first - other) >= count for other in rows):
            rows.append(first)
    return rows[0], rows[1]
