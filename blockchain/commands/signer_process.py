"""A remote signer as a process: from its settings to a key that is held for others, and its clean end."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blockchain.commands.ending import ToldToEnd
from blockchain.commands.validator_keys import read_validator_key, record_path
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import check_library
from blockchain.primitives.host_port import HostPort, format_host_port
from blockchain.runtime.admitted import read_admitted
from blockchain.runtime.folder_lock import FolderLock
from blockchain.runtime.keystore import node_key
from blockchain.runtime.logs import configure_logging
from blockchain.runtime.signer import Signer
from blockchain.runtime.signer_service import SignerService

_LOG: Final = logging.getLogger("blockchain.process")


@dataclass(frozen=True, slots=True)
class SignerConfig:
    """What a signer is told. `data_dir` has its node key; on a demo chain the signing record too."""

    key_file: Path
    password_file: Path | None
    listen: HostPort
    admit: Path
    data_dir: Path


async def run_signer(config: SignerConfig, spec: ChainSpec) -> int:
    """Run until Ctrl-C or a signal to end; returns the exit code.

    Raises BlockchainError with one clear line for what a person can mend.
    """
    check_library()
    address = format_host_port(*config.listen)
    configure_logging("info", "json", "blockchain-signer", address)
    told = ToldToEnd()
    with contextlib.suppress(KeyboardInterrupt):  # while the password was typed
        async with running_signer(config, spec, told.interrupting):
            await told.wait()
            _LOG.info("stopping", extra={"evt.name": "stopping"})
    return 0


@asynccontextmanager
async def running_signer(
    config: SignerConfig, spec: ChainSpec, blocking: Callable[[], AbstractContextManager[None]] = nullcontext
) -> AsyncIterator[SignerService]:
    """A signer that listens; on leaving, what was being signed is on record, and everything is closed.

    A password is typed, and tried, inside `blocking`: the event loop does not get its turn meanwhile.
    """
    admitted = read_admitted(config.admit)
    with blocking():
        key = read_validator_key(config.key_file, config.password_file, spec)
    signer = Signer(key, spec.hash, record_path(config.key_file, config.data_dir, spec))
    signer.check()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(FolderLock.take(config.data_dir).release)
        own = node_key(config.data_dir)
        service = SignerService(signer, own, spec.hash, config.listen, admitted)
        await service.start()
        stack.push_async_callback(service.stop)
        signer.load()  # what cannot be written shows now
        facts = {
            "evt.name": "signer_started",
            "peer": own.public_key.hex(),
            "key": key.public_key.hex(),
            "admitted": len(admitted),
        }
        place = f"{format_host_port(config.listen.host, service.p2p.port)}@{own.public_key.hex()}"
        _LOG.info("holds key %s; nodes name it as --signer %s", key.public_key.hex(), place, extra=facts)
        yield service
