"""What `doctor` looks at on this machine: each check says what it found, and what to do where that is not well.

The checks change nothing; a small file that measures the disk is taken away again. What cannot be known from here is
said to be unchecked. Disks are in checks_disk.py, other nodes in checks_peers.py.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from blockchain.commands.checks_disk import check_room
from blockchain.commands.checks_signer import check_signers
from blockchain.commands.finding import Finding, fail, ok, skip, warn
from blockchain.commands.node_settings import api_settings
from blockchain.commands.processes import check_ports_free
from blockchain.commands.text import size_text, time_text
from blockchain.commands.validator_keys import open_signers
from blockchain.config import NodeConfig, is_wildcard
from blockchain.errors import BlockchainError, PortInUse
from blockchain.node.reach import Reach, reach_of_host
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import PublicKey, check_library
from blockchain.runtime.admitted import read_admitted
from blockchain.runtime.folder_lock import is_locked
from blockchain.runtime.keystore import NODE_KEY_FILE, check_mode
from blockchain.runtime.signer import Signer
from blockchain.runtime.sqlite_file import STORE_FILE
from blockchain.runtime.sqlite_look import read_facts

OPEN_FILES_MIN: Final = 1_024  # 256 clients, 128 peers, those that are dialled, the store
_LIBRARIES: Final = ("PyNaCl", "msgspec", "apsw", "websockets", "fastapi", "uvicorn", "pycryptodome")


def check_at_start(config: NodeConfig, spec: ChainSpec) -> Iterator[Finding]:
    """What costs nothing to look at, for `run` to warn of; what makes a node impossible it refuses by itself."""
    yield from check_api(config, spec)
    yield from check_open_files()
    yield check_room(config.data_dir.resolve(), 0)


def check_program() -> Iterator[Finding]:
    """The installed libraries answer as the rules want (protocol §1.4), and which they are."""
    found = ", ".join(f"{name} {_version(name)}" for name in _LIBRARIES)
    yield ok("program", f"Python {platform.python_version()} on {sys.platform}, {found}")
    try:
        check_library()
    except BlockchainError as error:
        yield fail("signatures", str(error), "install the locked versions")
    else:
        yield ok("signatures", "the installed library decides all disputed cases as the rules do")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def check_chain(config: NodeConfig, spec: ChainSpec) -> Iterator[Finding]:
    where = "the built-in demo chain" if config.genesis is None else str(config.genesis)
    yield ok("genesis", f"{spec.chain_id}, {spec.hash.hex()} ({where})")
    if spec.demo:
        yield warn("genesis", "a demo chain, whose keys everybody has", "`blockchain testnet` makes another")


def check_key(config: NodeConfig, spec: ChainSpec) -> tuple[list[Finding], frozenset[PublicKey]]:
    """The validator keys open, are their owner's alone, and fit their signing records and the chain; and which.

    The operator's token, the list of admitted nodes and the node's own key are looked at too.
    """
    try:
        signers = open_signers(config, spec)
        api_settings(config)  # reads the operator's token
        if config.admit is not None:
            read_admitted(config.admit)
        if (node_key := config.data_dir / NODE_KEY_FILE).exists():
            check_mode(node_key, public_ok=False)
    except BlockchainError as error:
        return [fail("key", str(error), "mend that file, or name another")], frozenset()
    if config.signer:
        return check_signers(config, spec)
    if not signers:
        return [ok("key", "none: this node follows and does not vote")], frozenset()
    found = [ok("key", f"{config.key_file} opens, only its owner can read it, and its signing record fits it")]
    keys = frozenset(signer.public_key for signer in signers)
    has_signed = any(isinstance(signer, Signer) and signer.record.height > 0 for signer in signers)
    if not has_signed and keys.isdisjoint(one.key or PublicKey(one.address) for one in spec.validators):
        text = "no validator of genesis has this key, and it has signed nothing yet"
        found.append(warn("key", text, "it votes once its account has staked"))
    return found, keys


def check_store(config: NodeConfig, spec: ChainSpec, now_ms: int) -> Iterator[Finding]:
    """The store is this chain's, and its newest block is not from the future."""
    if not (config.data_dir / STORE_FILE).exists():
        yield ok("store", f"none yet in {config.data_dir}: the first start makes it")
        return
    try:
        found = read_facts(config.data_dir, spec.hash)
    except BlockchainError as error:
        yield fail("store", str(error), "move it aside and restore a backup, or nothing: the node fetches the blocks")
        return
    yield ok("store", f"height {found.height}, {size_text(found.file_bytes)}; `db check` checks all of it")
    if found.halted:
        yield fail("store", f"this node halted: {found.halted}", "it votes no more: find out who signed what")
    ahead = (found.head_time_ms or 0) - now_ms
    if ahead > spec.parameters.clock_drift_ms:
        assert found.head_time_ms is not None
        text = f"it is {time_text(now_ms)}, and the newest block is of {time_text(found.head_time_ms)}"
        yield fail("clock", text, "set this machine's clock, with NTP")


def check_ports(config: NodeConfig) -> Iterator[Finding]:
    """Both ports are free, or the node of this very data folder listens on them."""
    is_ours = is_locked(config.data_dir)
    ports = f"{config.node_port} and {config.api_port}"
    try:
        check_ports_free(config.ip, (config.node_port,))
        check_ports_free(config.api_host, (config.api_port,))
    except PortInUse as error:
        if is_ours:
            yield ok("ports", f"{ports}: this node is running")
        else:
            yield fail("ports", str(error), "end who listens there, or set other ports")
    except BlockchainError as error:
        yield fail("ports", str(error), "set ip and api_ip to addresses of this machine")
    else:
        if is_ours:
            text = f"a node runs on {config.data_dir}, but not on these ports"
            yield fail("ports", text, "check with the settings that it was started with")
        else:
            yield ok("ports", f"{ports} of {config.ip} are free")


def check_api(config: NodeConfig, spec: ChainSpec) -> Iterator[Finding]:
    """Who can ask the API, which has no TLS, and the paths of the operator among it."""
    host = config.api_host
    if not is_wildcard(host) and reach_of_host(host) is Reach.MACHINE:
        yield ok("API", f"only this machine can ask it, at {host}")
        return
    where = "every address of this machine" if is_wildcard(host) else host
    if config.admin_token_file is not None:
        text = f"it answers at {where} without TLS, and /api/v1/admin/ to whoever sends the token"
        yield warn("API", text, "set api_ip to localhost, and reach it from elsewhere through a proxy with TLS")
    elif is_wildcard(host) and not spec.demo:
        text = f"it answers at {where} without TLS"
        yield warn("API", text, "set api_ip to localhost or to an inner address, or close its port in the firewall")
    else:
        yield ok("API", f"it answers at {where}, without TLS")


def check_open_files() -> Iterator[Finding]:
    try:
        import resource
    except ImportError:
        yield skip("open files", "this system has no such limit to read")
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit != resource.RLIM_INFINITY and limit < OPEN_FILES_MIN:
        yield warn("open files", f"at most {limit}", f"`ulimit -n {OPEN_FILES_MIN}`, or LimitNOFILE of systemd")
    else:
        yield ok("open files", f"at most {limit}" if limit != resource.RLIM_INFINITY else "no limit")
