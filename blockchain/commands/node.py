"""A node as a process: from settings to a running node with its two ports, and its clean end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from functools import partial
from typing import Final, TypeVar

from blockchain.api.app import create_app
from blockchain.api.server import ApiServer
from blockchain.commands.checks import check_at_start
from blockchain.commands.ending import ToldToEnd
from blockchain.commands.node_settings import api_settings, caution_of, vouched_by
from blockchain.commands.validator_keys import open_remote_signers, open_signers
from blockchain.config import NodeConfig
from blockchain.node.messages import FRAME_BYTES_MAX
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import SigningKey, check_library
from blockchain.runtime.admitted import read_admitted
from blockchain.runtime.collector import rest_collector
from blockchain.runtime.keystore import node_key
from blockchain.runtime.logs import configure_logging
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import P2PLimits, PeerEvents
from blockchain.runtime.remote_signer import RemoteSigner
from blockchain.runtime.service import NodeService
from blockchain.runtime.signing import Signing
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.verifiers import default_workers
from blockchain.seams import PeerId

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


def _warn_at_start(config: NodeConfig, spec: ChainSpec) -> None:
    """Of what `doctor` warns of too, as far as it costs nothing to look at."""
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
