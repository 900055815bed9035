"""What `doctor` looks at: each check says what it found, and what to do where that is not well.

The checks change nothing; a small file that measures the disk is taken away again. What cannot be known from here is
said to be unchecked.
"""

from __future__ import annotations

import os
import platform
import secrets
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from blockchain.client import Client, Status
from blockchain.commands.clock import clock_ahead_ms
from blockchain.commands.node import api_settings, open_signers
from blockchain.commands.processes import check_ports_free
from blockchain.commands.text import size_text, time_text
from blockchain.config import NodeConfig
from blockchain.errors import BlockchainError, PortInUse
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, check_library
from blockchain.runtime.admitted import read_admitted
from blockchain.runtime.folder_lock import is_locked
from blockchain.runtime.keystore import NODE_KEY_FILE, check_mode
from blockchain.runtime.sqlite_file import STORE_FILE
from blockchain.runtime.sqlite_look import read_facts

Level = Literal["ok", "warn", "fail", "skip"]

FREE_BYTES_WARN: Final = 2 * 1024**3
FREE_BYTES_FAIL: Final = 256 * 1024**2  # the WAL alone may grow to 64 MiB between two checkpoints
SYNC_MS_WARN: Final = 30.0  # a vote waits for one; a round for some of them one after the other
OPEN_FILES_MIN: Final = 1_024  # 256 clients, 128 peers, those that are dialled, the store
CLOCK_WARN_MS: Final = 2_000  # a Date header has whole seconds
_SYNCS: Final = 9
_LIBRARIES: Final = ("PyNaCl", "msgspec", "apsw", "websockets", "fastapi", "uvicorn", "pycryptodome")
_REMOTE_FILE_SYSTEMS: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "glusterfs", "ceph"})
_MOUNTS: Final = Path("/proc/mounts")


class Finding(Struct, frozen=True):
    """One line of the report; "skip" is what could not be checked from here."""

    level: Level
    what: str
    text: str


def check_program() -> Iterator[Finding]:
    """The installed libraries answer as the rules want (protocol §1.4), and which they are."""
    found = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    yield Finding("ok", "program", f"Python {platform.python_version()} on {sys.platform}, {found}")
    try:
        check_library()
    except BlockchainError as error:
        yield Finding("fail", "signatures", f"{error}: install the locked versions")
    else:
        yield Finding("ok", "signatures", "the installed library decides all disputed cases as the rules do")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def check_chain(config: NodeConfig, spec: ChainSpec) -> Iterator[Finding]:
    where = "the built-in demo chain" if config.genesis is None else str(config.genesis)
    yield Finding("ok", "genesis", f"{spec.chain_id}, {spec.hash.hex()} ({where})")
    if spec.demo:
        yield Finding("warn", "genesis", "a demo chain: everybody has its keys; `blockchain testnet` makes another")


def check_key(config: NodeConfig, spec: ChainSpec) -> Iterator[Finding]:
    """The validator key opens, is its owner's alone, and fits its signing record and the chain."""
    try:
        signers = open_signers(config, spec)
        api_settings(config)  # reads the operator's token
        if config.admit is not None:
            read_admitted(config.admit)
        if (node_key := config.data_dir / NODE_KEY_FILE).exists():
            check_mode(node_key, public_ok=False)
    except BlockchainError as error:
        yield Finding("fail", "key", str(error))
        return
    if not signers:
        yield Finding("ok", "key", "none: this node follows and does not vote")
        return
    yield Finding("ok", "key", f"{config.key_file} opens, only its owner can read it, and its signing record fits it")
    if Address(signers[0].public_key) not in {one.address for one in spec.validators}:
        yield Finding("warn", "key", "no validator of genesis has this key: it votes once its account has staked")


def check_folder(config: NodeConfig) -> Iterator[Finding]:
    """The data folder can be written to, is on a disk of this machine, and that disk has room and is fast enough."""
    folder = config.data_dir.resolve()
    while not folder.exists():
        folder = folder.parent  # in which it will be made
    if not folder.is_dir():
        yield Finding("fail", "data folder", f"{folder} is a file: name a folder with --data_dir")
        return
    remote = _remote_file_system(folder)
    if remote is None:
        yield Finding("skip", "data folder", f"{folder}: whether it is on a disk of this machine is not known here")
    elif remote:
        yield Finding("fail", "data folder", f"{folder} is on {remote}: a store needs a disk of this machine")
    free = shutil.disk_usage(folder).free
    level: Level = "fail" if free < FREE_BYTES_FAIL else "warn" if free < FREE_BYTES_WARN else "ok"
    todo = "" if level == "ok" else ": make room; a node stops when its disk is full"
    yield Finding(level, "disk", f"{size_text(free)} free at {folder}{todo}")
    try:
        milliseconds = _sync_ms(folder)
    except OSError as error:
        yield Finding("fail", "data folder", f"{folder} cannot be written to: {error.strerror}: may this user?")
        return
    slow = milliseconds > SYNC_MS_WARN
    todo = f": above {SYNC_MS_WARN:.0f} ms every vote is slow; use a faster disk" if slow else ""
    yield Finding("warn" if slow else "ok", "disk", f"a small durable write takes {milliseconds:.1f} ms{todo}")


def _sync_ms(folder: Path) -> float:
    """The median of some durable writes, in milliseconds. Raises OSError."""
    path = folder / f".doctor.{secrets.token_hex(8)}.tmp"
    times = []
    try:
        with path.open("xb") as file:
            for _ in range(_SYNCS):
                began = time.perf_counter()
                file.write(bytes(4_096))
                file.flush()
                os.fsync(file.fileno())
                times.append(time.perf_counter() - began)
    finally:
        path.unlink(missing_ok=True)
    return statistics.median(times) * 1_000


def _remote_file_system(folder: Path) -> str | None:
    """Its type when it is on another machine, "" when it is on this one, None when that is not known."""
    with suppress(OSError):
        mounts = [line.split()[1:3] for line in _MOUNTS.read_text("utf-8", "replace").splitlines()]
        over = [(point, kind) for point, kind in mounts if folder.is_relative_to(point.replace("\\040", " "))]
        _, kind = max(over, key=lambda mount: len(mount[0]), default=("", ""))
        return kind if kind in _REMOTE_FILE_SYSTEMS else ""
    return None


def check_store(config: NodeConfig, spec: ChainSpec, now_ms: int) -> Iterator[Finding]:
    """The store is this chain's, and its newest block is not from the future."""
    if not (config.data_dir / STORE_FILE).exists():
        yield Finding("ok", "store", f"none yet in {config.data_dir}: the first start makes it")
        return
    try:
        found = read_facts(config.data_dir, spec.hash)
    except BlockchainError as error:
        yield Finding("fail", "store", str(error))
        return
    yield Finding("ok", "store", f"height {found.height}, {size_text(found.file_bytes)}; `db check` checks all of it")
    ahead = (found.head_time_ms or 0) - now_ms
    if ahead > spec.parameters.clock_drift_ms:
        assert found.head_time_ms is not None
        yield Finding(
            "fail", "clock", f"it is {time_text(now_ms)}, and the newest block is of {time_text(found.head_time_ms)}: "
            "set this machine's clock, with NTP",
        )  # fmt: skip


def check_ports(config: NodeConfig) -> Iterator[Finding]:
    """Both ports are free, or the node of this very data folder listens on them."""
    is_ours = is_locked(config.data_dir)
    try:
        check_ports_free(config.ip, (config.node_port, config.api_port))
    except PortInUse as error:
        if is_ours:
            yield Finding("ok", "ports", f"{config.node_port} and {config.api_port}: this node is running")
        else:
            yield Finding("fail", "ports", str(error))
    except BlockchainError as error:
        yield Finding("fail", "ports", str(error))
    else:
        if is_ours:
            yield Finding("fail", "ports", f"a node runs on {config.data_dir}, but not on these ports: which is meant?")
        else:
            yield Finding("ok", "ports", f"{config.node_port} and {config.api_port} of {config.ip} are free")


def check_open_files() -> Iterator[Finding]:
    try:
        import resource
    except ImportError:
        yield Finding("skip", "open files", "this system has no such limit to read")
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < OPEN_FILES_MIN:
        yield Finding("warn", "open files", f"at most {limit}: `ulimit -n {OPEN_FILES_MIN}`, or LimitNOFILE of systemd")
    else:
        yield Finding("ok", "open files", f"at most {limit}" if limit != resource.RLIM_INFINITY else "no limit")


def check_other_node(url: str, spec: ChainSpec) -> Iterator[Finding]:
    """A node that runs elsewhere is of the same chain, and its clock says the same."""
    try:
        with Client(url) as node:
            status: Status = node.status()
        ahead = clock_ahead_ms(url)
    except BlockchainError as error:
        yield Finding("warn", "other node", f"{error}: nothing was compared with it")
        return
    if status.genesis_hash != spec.hash.hex():
        yield Finding("fail", "other node", f"{url} is of another chain: {status.chain_id}, {status.genesis_hash}")
    else:
        yield Finding("ok", "other node", f"{url} is of this chain, at height {status.height}")
    if ahead is None:
        yield Finding("skip", "clock", f"{url} does not say what time it is")
    elif abs(ahead) > max(CLOCK_WARN_MS, spec.parameters.clock_drift_ms):
        yield Finding("fail", "clock", f"{_side(ahead)} that of {url}: blocks of one are refused by the other; use NTP")
    elif abs(ahead) > CLOCK_WARN_MS:
        yield Finding("warn", "clock", f"{_side(ahead)} that of {url}: use NTP on both machines")
    else:
        yield Finding("ok", "clock", f"within {CLOCK_WARN_MS / 1000:.0f} s of that of {url}")


def _side(ahead_ms: int) -> str:
    return f"{abs(ahead_ms) / 1000:.0f} s {'ahead of' if ahead_ms > 0 else 'behind'}"
