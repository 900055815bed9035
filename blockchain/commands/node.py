"""A node as a process: from settings to a running node with its two ports, and its clean end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from blockchain.api.admin import read_admin_token
from blockchain.api.app import ApiSettings, create_app
from blockchain.api.hosts import HostRule
from blockchain.api.server import ApiServer
from blockchain.commands.ending import ToldToEnd
from blockchain.commands.passwords import open_key
from blockchain.config import NodeConfig
from blockchain.errors import ConfigError
from blockchain.node.checkpoint import Checkpoint, Vouched
from blockchain.node.lookout import Caution
from blockchain.node.messages import FRAME_BYTES_MAX
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Hash32, PublicKey, SigningKey, check_library
from blockchain.runtime.admitted import read_admitted
from blockchain.runtime.collector import rest_collector
from blockchain.runtime.keystore import check_folder, check_mode, check_secret, node_key
from blockchain.runtime.logs import configure_logging
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import P2PLimits, PeerEvents
from blockchain.runtime.remote_signer import RemoteSigner, SignerPlace
from blockchain.runtime.service import NodeService
from blockchain.runtime.signer import Signer
from blockchain.runtime.signing import Signing
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.verifiers import default_workers
from blockchain.seams import PeerId

RECORD_FILE: Final = "signing_record"

LOOK_S: Final = 10  # two announcements of another process, so that one may be lost
SIGNER_FOUND_S: Final = 10.0  # for a remote signer to be there when the node starts: both may start with the machine
T = TypeVar("T")

_LOG: Final = logging.getLogger("blockchain.process")


async def run_node(config: NodeConfig, spec: ChainSpec) -> int:
    """Run until Ctrl-C or a signal to end; returns the exit code.

    Raises BlockchainError with one clear line for what a person can mend: a port in use, a key that cannot be read,
    a data folder of another chain.
    """
    check_library()
    configure_logging(config.log_level, config.log_format, config.service, f"{config.ip}:{config.node_port}")
    _warn_at_start(config, spec)
    told = ToldToEnd()
    try:
        async with running_node(config, spec, told.interrupting, told.wait) as node:
            rest_collector()
            waits = [asyncio.create_task(node.wait()), asyncio.create_task(told.wait())]
            done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            for task in done:
                task.result()  # raises what a task of the node failed of
            _say_stopping()
    except KeyboardInterrupt:  # while it was opening its store
        _say_stopping()
    return 0


async def _never() -> None:
    await asyncio.get_running_loop().create_future()


@asynccontextmanager
async def running_node(
    config: NodeConfig,
    spec: ChainSpec,
    blocking: Callable[[], AbstractContextManager[None]] = nullcontext,
    told: Callable[[], Coroutine[None, None, None]] = _never,
) -> AsyncIterator[NodeService]:
    """A node with both ports open; on leaving, everything it opened is closed, in the reverse order.

    What may take seconds without ever giving the event loop its turn is done inside `blocking`. While it waits for a
    remote signer, the end of `told` raises KeyboardInterrupt.
    """
    settings = api_settings(config)
    admitted = None if config.admit is None else read_admitted(config.admit)
    with blocking():  # a password is slow on purpose
        signers: list[Signing | RemoteSigner] = [*open_signers(config, spec)]
    async with contextlib.AsyncExitStack() as stack:
        with blocking():  # a store of an earlier version is rewritten
            store = SqliteStore.open(config.data_dir, spec.hash)
        stack.callback(store.close)
        key = node_key(config.data_dir)
        if config.signer:  # the only thing here that waits for others
            signers += await _unless(told, open_remote_signers(config, spec, key, stack))
        said = vouched_by(config), caution_of(config, spec)
        with blocking():  # the whole state is read
            make_p2p = partial(open_p2p, config, spec, key, admitted)
            workers = default_workers() if config.verify_workers is None else config.verify_workers
            node = NodeService(spec, store, signers, make_p2p, PeerId(key.public_key), *said, verify_workers=workers)
        p2p = node.p2p
        await p2p.start()
        stack.push_async_callback(p2p.stop)
        await node.start()
        stack.push_async_callback(node.stop)
        # Last, so that nobody is told of an empty pool before it is read again; and its end is first, so that what is
        # in flight still gets its answer.
        server = ApiServer(create_app(node, settings), config.api_host, config.api_port)
        await server.start()
        stack.push_async_callback(server.stop)
        stack.callback(node.end_waits)
        for address in config.seeds:
            p2p.dial(address)
        _say_started(config, server.port, p2p.port)
        yield node


def api_settings(config: NodeConfig) -> ApiSettings:
    """What the API is told of the settings. Raises ConfigError or KeyFileError for a token that cannot be used."""
    token = None if config.admin_token_file is None else read_admin_token(config.admin_token_file)
    hosts = HostRule.of(config.api_host, config.api_hosts)
    return ApiSettings(hosts=hosts, requests_per_second=config.api_rate, admin_token=token)


def vouched_by(config: NodeConfig) -> Vouched:
    """What the settings say of the chain that is to be trusted."""
    given = config.checkpoint
    checkpoint = None if given is None else Checkpoint(given[0], Hash32(given[1]))
    return Vouched(checkpoint, config.trust_genesis)


def caution_of(config: NodeConfig, spec: ChainSpec) -> Caution:
    """How long a validator listens before it signs, and whether a person says that nobody else does."""
    default_s = 0 if spec.demo else LOOK_S
    look_s = default_s if config.look_s is None else config.look_s
    return Caution(look_ms=look_s * 1_000, sign_anew=config.sign_anew)


def open_p2p(
    config: NodeConfig, spec: ChainSpec, key: SigningKey, admitted: frozenset[bytes] | None, events: PeerEvents
) -> P2P:
    """The peer-to-peer shell as configured; it does not listen yet. `admitted`: the only node ids it talks to."""
    return P2P(
        node_key=key,
        genesis_hash=spec.hash,
        listen_host=config.ip,
        listen_port=config.node_port,
        advertise=config.advertise,
        limits=P2PLimits(message_bytes_max=FRAME_BYTES_MAX),
        events=events,
        log=logging.getLogger("blockchain.p2p"),
        admitted=admitted,
    )


def open_signers(config: NodeConfig, spec: ChainSpec) -> list[Signing]:
    """The signers of the configured keys; none for a node that follows without voting. Nothing is written yet.

    Raises KeyFileError, ConfigError, and SigningRefused for a record that cannot be used.
    """
    if config.signer and (config.key_file or config.next_key_file):
        raise ConfigError("signer stands in place of key_file and next_key_file: give a signer, or key files")
    if config.key_file is None:
        if config.next_key_file is not None:
            raise ConfigError("next_key_file is the key that comes after key_file, and no key_file is given: give both")
        return []
    signers = [_open_signer(config.key_file, config, spec)]
    if config.next_key_file is not None:
        signers.append(_open_signer(config.next_key_file, config, spec))
        if signers[0].public_key == signers[1].public_key:
            raise ConfigError(f"{config.next_key_file} holds the same key as {config.key_file}: name the one after it")
    return signers


def _open_signer(key_file: Path, config: NodeConfig, spec: ChainSpec) -> Signing:
    key = read_validator_key(key_file, config.password_file, spec)
    signer = Signer(key, spec.hash, record_of(key_file, key.public_key, config, spec))
    signer.check()
    return signer


def record_of(key_file: Path, key: PublicKey, config: NodeConfig, spec: ChainSpec) -> Path:
    """Where the record of one of the configured keys is, or will be."""
    record = record_path(key_file, config.data_dir, spec)
    if not spec.demo:
        return record
    of_next = record.with_name(f"{RECORD_FILE}.{key.hex()[:8]}")  # found when it is the first one, too
    return of_next if key_file == config.next_key_file or of_next.exists() else record


async def open_remote_signers(
    config: NodeConfig, spec: ChainSpec, node_key: SigningKey, stack: contextlib.AsyncExitStack
) -> list[RemoteSigner]:
    """Those in other processes, once each has told its key. Raises SignerUnreachable, or ConfigError for one key twice.

    They end with the stack.
    """
    signers = [RemoteSigner(SignerPlace(*place), node_key, spec.hash) for place in config.signer]
    for signer in signers:
        stack.push_async_callback(signer.stop)
        await signer.open(SIGNER_FOUND_S)
    if len({signer.public_key for signer in signers}) < len(signers):
        raise ConfigError("both signers hold the same key: name the one after it")
    return signers


async def _unless(told: Callable[[], Coroutine[None, None, None]], work: Coroutine[None, None, T]) -> T:
    """The result of `work`; raises KeyboardInterrupt, and stops the work, when `told` ends first."""
    tasks = working, ending = asyncio.create_task(work), asyncio.create_task(told())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if ending.done():
            raise KeyboardInterrupt
        return working.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def read_validator_key(key_file: Path, password_file: Path | None, spec: ChainSpec) -> SigningKey:
    """A key that may sign on this chain. Raises KeyFileError."""
    key = open_key(key_file, password_file)
    check_mode(key_file, public_ok=spec.demo)
    if not spec.demo:
        check_secret(key_file, key.public_key)
        check_folder(key_file.parent)
    return key


def record_path(key_file: Path, data_dir: Path, spec: ChainSpec) -> Path:
    """Where the signer keeps what this key has signed on this chain: beside the key, so that both move together.

    On a demo chain in the data folder: its keys are everybody's, and the record goes with the chain when it is reset.
    """
    if spec.demo:
        return data_dir / RECORD_FILE
    return key_file.with_name(f"{key_file.stem}.{spec.chain_id}-{spec.hash.hex()[:8]}.{RECORD_FILE}")


def _warn_at_start(config: NodeConfig, spec: ChainSpec) -> None:
    """Of what `doctor` warns of too, as far as it costs nothing to look at."""
    from blockchain.commands.checks import check_at_start  # which needs this module

    for finding in check_at_start(config, spec):
        if finding.level in ("warn", "fail"):
            facts = {"evt.name": "not_fit", "what": finding.what, "fix": finding.fix}
            _LOG.warning("%s: %s: %s", finding.what, finding.text, finding.fix, extra=facts)


def _say_stopping() -> None:
    _LOG.info("stopping", extra={"evt.name": "stopping"})


def _say_started(config: NodeConfig, api_port: int, node_port: int) -> None:
    host = f"[{config.api_host}]" if ":" in config.api_host else config.api_host
    docs = f"http://{host}:{api_port}/api/v1/docs/"
    facts = {"evt.name": "listening", "api_port": api_port, "node_port": node_port, "docs": docs}
    _LOG.info("peers on port %d; API on %s", node_port, docs, extra=facts)
