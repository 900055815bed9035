"""What `crash-test` does: a validator as a process, a client that remembers, kills, and what is compared after each."""

from __future__ import annotations

import random
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blockchain.client import Client, RequestRefused
from blockchain.commands.processes import NodeProcesses, clean_environment, last_line, python_command
from blockchain.commands.validator_keys import record_path
from blockchain.errors import BlockchainError, ConfigError, NodeUnreachable
from blockchain.genesis import dump_genesis
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.runtime.keystore import generate_key, write_key_file
from blockchain.runtime.record_file import RecordFile
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.sqlite_audit import Auditor
from blockchain.runtime.sqlite_look import snapshot
from blockchain.wallet import Wallet

HOST: Final = "localhost"
READY_SECONDS: Final = 60.0  # a start takes one or two
FINAL_SECONDS: Final = 60.0  # for what is pending at the end
RUNNING_SECONDS_MAX: Final = 0.8  # a kill falls into any step of several blocks
STARTING_SECONDS_MAX: Final = 1.5  # and into any step of a start
STARTING: Final = 0.25  # how many of the kills fall into a start
COMPARED: Final = 20  # of the newest blocks, after each kill
BALANCE: Final = 1_000_000_000
_BATCH: Final = 4
_PAUSE_SECONDS: Final = 0.05  # between batches: a few dozen transactions a second
_POLL_SECONDS: Final = 0.05
_REQUEST_SECONDS: Final = 3.0
_JOIN_SECONDS: Final = 20.0
_NAME: Final = "validator"
_TOO_BUSY: Final = 503  # the status
_WAITS: Final = frozenset({"nonce_gap", "pool_full"})  # the chain stands still while the node is down


class CrashTestFailed(Exception):
    """What must not happen did, for people."""


@dataclass
class Figures:
    """What came of it. `starting`: kills before it answered; `start_s`: from a start until it did, on average."""

    kills: int = 0
    starting: int = 0
    blocks: int = 0
    acknowledged: int = 0
    starts: int = 0
    start_sum_s: float = 0.0
    start_max_s: float = 0.0

    @property
    def start_s(self) -> float:
        return self.start_sum_s / max(self.starts, 1)


def make_folder_below(folder: Path) -> Path:
    """A new one that nobody else uses. Raises ConfigError."""
    try:
        return Path(tempfile.mkdtemp(prefix="blockchain-crash-test-", dir=folder.resolve(strict=True)))
    except OSError as error:
        raise ConfigError(f"no folder can be made in {folder}: {error.strerror}: name another one") from None


def play(folder: Path, kills: int, say: Callable[[str], None]) -> Figures:
    """Make the chain, kill its validator so often, and check everything. Raises CrashTestFailed."""
    keys = generate_key(), generate_key()
    validator, money = (Address(key.public_key) for key in keys)
    spec = ChainSpec(
        chain_id="crash-test",
        time_ms=time.time_ns() // 1_000_000,
        parameters=Parameters(),
        accounts=(GenesisAccount(money, BALANCE),),
        validators=(GenesisValidator(validator, BALANCE),),
    )
    (folder / "genesis.json").write_bytes(dump_genesis(spec))
    write_key_file(folder / "key.pem", keys[0], None)
    with ExitStack() as stack:
        victim = Victim(folder, spec, RecordFile(_record(folder, spec), keys[0].public_key, spec.hash))
        stack.enter_context(victim.processes)
        stack.callback(victim.close)
        sender = Sender(victim.url, Wallet(keys[1], spec.hash))
        stack.callback(sender.stop)
        sender.start()
        for number in range(1, kills + 1):
            line = victim.live_and_be_killed()
            say(f"kill {number:>{len(str(kills))}}: {line}, {len(sender.acknowledged)} acknowledged")
        victim.start_again()
        sender.stop()
        victim.end_when_all_is_final()
    if sender.refused:
        raise CrashTestFailed(f"a transaction was refused: {sender.refused[0]}")
    _check_all(folder, spec, victim, sender.acknowledged)
    victim.figures.acknowledged = len(sender.acknowledged)
    return victim.figures


def _record(folder: Path, spec: ChainSpec) -> Path:
    return record_path(folder / "key.pem", folder / "data", spec)


def _check_all(folder: Path, spec: ChainSpec, victim: Victim, acknowledged: list[str]) -> None:
    """As `db check`; and everything that was ever seen or acknowledged is in the chain."""
    try:
        with snapshot(folder / "data", spec.hash) as shot:
            victim.figures.blocks = Auditor(shot, spec, lambda _done, _all: None).run().blocks
        with closing(SqliteStore.open(folder / "data", spec.hash)) as store:
            lost = [one for one in acknowledged if store.locate(bytes.fromhex(one)) is None]
            replaced = [height for height, block_id in victim.seen.items() if _id_at(store, height) != block_id]
    except BlockchainError as error:
        raise CrashTestFailed(f"the store: {error}") from None
    if lost:
        raise CrashTestFailed(f"{len(lost)} of {len(acknowledged)} acknowledged transactions are lost, first {lost[0]}")
    if replaced:
        raise CrashTestFailed(f"block {replaced[0]} was final, and is another one now")


def _id_at(store: SqliteStore, height: int) -> str:
    block = store.block(height)
    return "" if block is None else block.id.hex()


# ------------------------------------------------------------------------------------------------- the validator


class Victim:
    """The validator's process, and what was seen of it. Every method raises CrashTestFailed."""

    def __init__(self, folder: Path, spec: ChainSpec, record: RecordFile) -> None:
        node_port, api_port = _free_ports(2)
        self.url = f"http://{HOST}:{api_port}"
        self.processes = NodeProcesses()
        self.figures = Figures()
        self.seen: dict[int, str] = {}  # ids of final blocks, by height
        self._folder = folder
        self._record = record  # remembers what it read, and refuses a file that went back
        self._chance = random.Random()  # moments, not secrets
        self._client = Client(self.url, _REQUEST_SECONDS)
        flags = [f"--ip={HOST}", f"--node_port={node_port}", f"--api_port={api_port}", "--seeds=none", "--look_s=0"]
        own = [f"--data_dir={folder / 'data'}", f"--key_file={folder / 'key.pem'}", "--log_level=warning"]
        genesis = f"--genesis={folder / 'genesis.json'}"
        self._command = python_command("run_node.py", *flags, *own, genesis)

    def live_and_be_killed(self) -> str:
        """One life; when in it the kill came, in words."""
        if self.figures.kills and self._chance.random() < STARTING:
            self._start()
            seconds = self._chance.uniform(0, STARTING_SECONDS_MAX)
            time.sleep(seconds)
            self.figures.starting += 1
            when = f"{seconds:.2f} s after it was started"
        else:
            self.start_again()
            seconds = self._chance.uniform(0, RUNNING_SECONDS_MAX)
            time.sleep(seconds)
            self._look()
            when = f"{seconds:.2f} s after it answered, at height {max(self.seen, default=0)}"
        self._check_runs()
        self.processes.kill(_NAME)
        self.figures.kills += 1
        try:
            self._record.refresh()
        except BlockchainError as error:
            raise CrashTestFailed(f"after kill {self.figures.kills}: {error}") from None
        return when

    def start_again(self) -> None:
        """Start it, wait until it answers, and compare its newest blocks with those that were seen."""
        began = time.monotonic()
        self._start()
        while not self._look():
            self._check_runs()
            if time.monotonic() - began > READY_SECONDS:
                raise CrashTestFailed(f"it does not answer {READY_SECONDS:g} s after its start")
            time.sleep(_POLL_SECONDS)
        seconds = time.monotonic() - began
        self.figures.starts += 1
        self.figures.start_sum_s += seconds
        self.figures.start_max_s = max(seconds, self.figures.start_max_s)

    def end_when_all_is_final(self) -> None:
        """Wait until no transaction is pending, and let it end."""
        deadline = time.monotonic() + FINAL_SECONDS
        while self._has_pending():
            if time.monotonic() > deadline:
                raise CrashTestFailed(f"transactions are pending {FINAL_SECONDS:g} s after the last start")
            time.sleep(_POLL_SECONDS)
        code = self.processes.stop()[_NAME]
        if code:
            raise CrashTestFailed(f"it did not end cleanly: exit code {code}: {last_line(self._log)}")

    def close(self) -> None:
        """Let go of the connection to it."""
        self._client.close()

    def _has_pending(self) -> bool:
        try:
            return self._client.status().pool.pending > 0
        except NodeUnreachable:
            self._check_runs()
            return True

    @property
    def _log(self) -> Path:
        return self._folder / "log"

    def _start(self) -> None:
        self.processes.start_into_file(_NAME, self._command, self._log, clean_environment())

    def _check_runs(self) -> None:
        for code in self.processes.ended().values():
            raise CrashTestFailed(f"it ended with {code}: {last_line(self._log)}")

    def _look(self) -> bool:
        """Whether it answers; then its newest blocks are those that were seen, and become so."""
        try:
            blocks = self._client.blocks(limit=COMPARED).blocks
        except NodeUnreachable:
            return False
        height = max((block.height for block in blocks), default=0)
        if height < max(self.seen, default=0):
            raise CrashTestFailed(f"it is at height {height}, and was at {max(self.seen)} before it was killed")
        for block in blocks:
            if self.seen.setdefault(block.height, block.id) != block.id:
                raise CrashTestFailed(f"block {block.height} was final, and is another one now")
        return True


def _free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


# ------------------------------------------------------------------------------------------------- the client


class Sender(threading.Thread):
    """Sends batch after batch. One that gets no answer is sent again: a node that has it already says so."""

    def __init__(self, url: str, wallet: Wallet) -> None:
        super().__init__(name="sender", daemon=True)
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self._url = url
        self._wallet = wallet
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()
        if self.is_alive():
            self.join(_JOIN_SECONDS)

    def run(self) -> None:
        nonce = 0
        with Client(self._url, _REQUEST_SECONDS) as node:
            while not self._stopped.is_set():
                batch = [self._wallet.transfer(self._wallet.address, 1, nonce + each) for each in range(_BATCH)]
                if self._hand_in(node, batch):
                    nonce += _BATCH
                self._stopped.wait(_PAUSE_SECONDS)

    def _hand_in(self, node: Client, batch: list[VerifiedTransaction]) -> bool:
        """Whether all of it is acknowledged."""
        try:
            results = node.submit_each(batch)
        except NodeUnreachable:  # it is down, or was killed before it answered
            return False
        except RequestRefused as error:
            if error.status != _TOO_BUSY:
                self.refused.append(f"{error.code}: {error.why}")
            return False
        self.refused.extend(f"{one.code}: {one.why}" for one in results if one.code and one.code not in _WAITS)
        if not all(one.is_accepted for one in results):
            return False
        self.acknowledged.extend(one.id for one in results if one.id is not None)
        return True
