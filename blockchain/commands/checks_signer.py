"""What `doctor` finds of a validator key that another process holds: whether it is there, and for this node."""

from __future__ import annotations

import asyncio
from typing import Final

from blockchain.commands.finding import Finding, fail, ok, warn
from blockchain.config import NodeConfig
from blockchain.errors import SignerUnreachable
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import PublicKey, SigningKey
from blockchain.runtime.event_loop import NodeLoop
from blockchain.runtime.folder_lock import is_locked
from blockchain.runtime.keystore import NODE_KEY_FILE, node_key
from blockchain.runtime.remote_signer import RemoteSigner, SignerPlace

FOUND_S: Final = 5.0  # for one signer to answer


def check_signers(config: NodeConfig, spec: ChainSpec) -> tuple[list[Finding], frozenset[PublicKey]]:
    """Each remote signer admits this node and tells its key; and which keys. A node that runs is not disturbed."""
    if is_locked(config.data_dir):
        text = "held elsewhere, for the node that runs here: `blockchain status` says whether it is there"
        return [ok("key", text)], frozenset()
    if not (config.data_dir / NODE_KEY_FILE).exists():
        text = "this node has no id yet that a signer could admit"
        return [warn("key", text, f"`blockchain keys node --data_dir {config.data_dir}` makes one")], frozenset()
    own = node_key(config.data_dir)
    with asyncio.Runner(loop_factory=NodeLoop) as runner:
        return runner.run(_ask(config, spec, own))


async def _ask(config: NodeConfig, spec: ChainSpec, own: SigningKey) -> tuple[list[Finding], frozenset[PublicKey]]:
    found, keys = [], set()
    for place in config.signer:
        signer = RemoteSigner(SignerPlace(*place), own, spec.hash)
        try:
            await signer.open(FOUND_S)
        except SignerUnreachable as error:
            fix = f"start it, let it admit {own.public_key.hex()}, and see that address and id are its own"
            found.append(fail("key", str(error), fix))
        else:
            record = signer.load()
            text = (
                f"the signer at {place[0]} holds key {record.key.hex()}, which has signed up to height {record.height}"
            )
            found.append(ok("key", text))
            keys.add(record.key)
        finally:
            await signer.stop()
    return found, frozenset(keys)
