"""Nodes of a chain of a benchmark's own, as processes on free ports, as a user starts them.

`with network(folder, validators=4) as net:` leaves no process behind, whatever happens inside: a node ends when its
standard input does, so it does not outlive a benchmark that is killed either. Nodes log warnings only, and let one
client ask as often as it likes; all else is what a user gets. Accounts are made from numbers, so that a process that
signs for them needs the genesis hash and nothing else.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

from benchmarks.accounting import Chain
from blockchain.client import Client, Status
from blockchain.commands.keyring import PROJECT
from blockchain.commands.processes import EXIT_FLAG, check_ports_free, clean_environment, python_command
from blockchain.errors import NodeUnreachable, PortInUse
from blockchain.genesis import dump_genesis
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, Hash32, SigningKey
from blockchain.runtime.keystore import write_key_file
from blockchain.runtime.sqlite import SqliteStore

VALIDATORS: Final = 4  # the fewest equal ones that tolerate one fault
ACCOUNTS: Final = 10_000
BALANCE: Final = 1_000_000_000
STAKE: Final = 1_000_000
DEFAULTS: Final = Parameters()
HOST: Final = "localhost"
# Below the ports that systems lend to outgoing connections (Linux from 32768, others from 49152).
_PORT_FIRST: Final = 10_000
_PORT_LAST: Final = 32_000
_RATE_MAX: Final = 1_000_000  # requests a second: as good as no limit
_END_SECONDS: Final = 20.0
_REQUEST_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05


@cache
def account_key(number: int) -> SigningKey:
    """The key of an account that genesis funds."""
    return SigningKey(sha256(f"benchmark account {number}".encode()).digest())


@dataclass
class NodeProcess:
    """A node while it runs."""

    name: str
    node_port: int
    api_port: int
    folder: Path
    process: subprocess.Popen[bytes]
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = Client(f"http://{HOST}:{self.api_port}", _REQUEST_SECONDS)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    def status(self) -> Status | None:
        """None while it does not answer. Raises RuntimeError, with its last words, when it has ended."""
        try:
            return self.client.status()
        except NodeUnreachable:
            if self.process.poll() is not None:
                said = (self.folder / "log").read_text("utf-8", "replace")[-2_000:]
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {said}") from None
            return None

    def end(self) -> None:
        """Ask it to end, and wait; kill it where it does not."""
        self.tell_to_end()
        try:
            self.process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.client.close()

    def tell_to_end(self) -> None:
        if self.process.stdin is not None:
            with suppress(OSError):  # it is gone already
                self.process.stdin.close()


@dataclass(frozen=True)
class Network:
    """Running nodes of one chain."""

    spec: ChainSpec
    nodes: Sequence[NodeProcess]

    @property
    def genesis_hash(self) -> Hash32:
        return self.spec.hash

    def pids(self) -> list[int]:
        return [node.process.pid for node in self.nodes]

    def wait(self, what: str, holds: Callable[[list[Status]], bool], seconds: float = 60.0) -> None:
        """Until `holds` of the statuses of all nodes. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while True:
            statuses = [status for node in self.nodes if (status := node.status()) is not None]
            if len(statuses) == len(self.nodes) and holds(statuses):
                return
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{what}: not within {seconds:g} s")
            time.sleep(_POLL_SECONDS)

    def drain(self, seconds: float) -> bool:
        """Until nothing waits in any pool, and all are at one height; whether that came to be in time."""

        def is_empty(statuses: list[Status]) -> bool:
            return not any(one.pool.pending for one in statuses) and len({one.height for one in statuses}) == 1

        try:
            self.wait("empty pools at one height", is_empty, seconds)
        except TimeoutError:
            return False
        return True

    def end(self) -> list[Chain]:
        """End all nodes; what their stores hold."""
        for node in self.nodes:
            node.tell_to_end()
        for node in self.nodes:
            node.end()
        return [read_chain(node.data_dir, self.genesis_hash) for node in self.nodes]


def read_chain(folder: Path, genesis_hash: Hash32) -> Chain:
    """The blocks of a store that no node uses any more."""
    store = SqliteStore.open(folder, genesis_hash)
    try:
        found = (store.block(height) for height in range(1, store.head() + 1))
        return Chain([block.transaction_ids for block in found if block is not None])
    finally:
        store.close()


@contextmanager
def network(
    folder: Path, validators: int = VALIDATORS, parameters: Parameters = DEFAULTS, accounts: int = ACCOUNTS
) -> Iterator[Network]:
    """All validators of a new chain, connected with each other. Raises TimeoutError when they do not come up."""
    keys = [SigningKey(sha256(f"benchmark validator {number}".encode()).digest()) for number in range(validators)]
    spec = _spec(parameters, accounts, keys)
    _write_genesis(folder, spec)
    ports = free_ports(2 * validators)
    with ExitStack() as stack:
        nodes = []
        for number, key in enumerate(keys):
            own = folder / f"node-{number}"
            own.mkdir()
            write_key_file(own / "key.pem", key, None)
            others = [f"{HOST}:{port}" for port in ports[:validators] if port != ports[number]]
            flags = [f"--key_file={own / 'key.pem'}", f"--seeds={','.join(others) or 'none'}"]
            nodes.append(_start(own, ports[number], ports[validators + number], flags))
            stack.callback(nodes[-1].end)
            stack.callback(nodes[-1].tell_to_end)  # all are told before the first is waited for
        net = Network(spec, nodes)
        net.wait("connected", lambda statuses: all(one.peers >= validators - 1 for one in statuses))
        yield net


@contextmanager
def follower(folder: Path, accounts: int = ACCOUNTS) -> Iterator[Network]:
    """One node without a key and without peers: it takes transactions, and nobody makes blocks of them."""
    spec = _spec(Parameters(), accounts, [SigningKey(sha256(b"benchmark validator 0").digest())])
    _write_genesis(folder, spec)
    node_port, api_port = free_ports(2)
    own = folder / "node-0"
    own.mkdir()
    node = _start(own, node_port, api_port, ["--seeds=none"])
    try:
        net = Network(spec, [node])
        net.wait("answers", lambda statuses: bool(statuses))
        yield net
    finally:
        node.end()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, on either family of this machine's own addresses."""
    found: dict[int, None] = {}
    while len(found) < count:
        port = random.randint(_PORT_FIRST, _PORT_LAST)
        with suppress(PortInUse):
            check_ports_free(HOST, [port])
            found[port] = None
    return list(found)


def _spec(parameters: Parameters, accounts: int, keys: Sequence[SigningKey]) -> ChainSpec:
    return ChainSpec(
        chain_id="benchmark",
        time_ms=time.time_ns() // 1_000_000,
        parameters=parameters,
        accounts=tuple(GenesisAccount(Address(account_key(one).public_key), BALANCE) for one in range(accounts)),
        validators=tuple(GenesisValidator(Address(key.public_key), STAKE) for key in keys),
    )


def _write_genesis(folder: Path, spec: ChainSpec) -> None:
    (folder / "genesis.json").write_bytes(dump_genesis(spec))


def _start(folder: Path, node_port: int, api_port: int, flags: list[str]) -> NodeProcess:
    command = python_command(
        "run_node.py",
        f"--ip={HOST}",
        f"--node_port={node_port}",
        f"--api_port={api_port}",
        f"--data_dir={folder / 'data'}",
        f"--genesis={folder.parent / 'genesis.json'}",
        f"--service={folder.name}",
        f"--api_rate={_RATE_MAX}",
        "--look_s=0",
        *flags,
        EXIT_FLAG,
    )
    with (folder / "log").open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=clean_environment(BLOCKCHAIN_LOG_LEVEL="warning"),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=sys.platform != "win32",  # Ctrl-C is for the benchmark, which ends its nodes in order
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same for Windows
        )
    return NodeProcess(folder.name, node_port, api_port, folder, process)
