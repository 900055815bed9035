"""A node's validator keys and the records of what they have signed: read as the settings say, or held by a signer."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from blockchain.commands.passwords import open_key
from blockchain.config import NodeConfig
from blockchain.errors import ConfigError
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import PublicKey, SigningKey
from blockchain.runtime.keystore import check_folder, check_mode, check_secret
from blockchain.runtime.remote_signer import RemoteSigner, SignerPlace
from blockchain.runtime.signer import Signer
from blockchain.runtime.signing import Signing

RECORD_FILE: Final = "signing_record"
SIGNER_FOUND_S: Final = 10.0  # for a remote signer to be there when the node starts: both may start with the machine


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
