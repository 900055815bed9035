"""One handshake with each of the nodes that are to be dialled first: are they there, and of this chain?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from blockchain.node.messages import FRAME_BYTES_MAX
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.event_loop import NodeLoop
from blockchain.runtime.keystore import NODE_KEY_FILE, generate_key, node_key
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import DialFailed, P2PLimits, PeerEvent, PeerUp

PROBE_SECONDS: Final = 6.0
_EVENTS: Final = 64


def probe(addresses: Sequence[str], genesis_hash: bytes, data_dir: Path) -> dict[str, str]:
    """Why each address could not be reached, "" where it could, by address.

    Uses the node's own key if there is one, because a chain may admit no others; so its node must not be running.
    """
    key = node_key(data_dir) if (data_dir / NODE_KEY_FILE).exists() else generate_key()
    with asyncio.Runner(loop_factory=NodeLoop) as runner:
        return runner.run(_probe(addresses, genesis_hash, key))


async def _probe(addresses: Sequence[str], genesis_hash: bytes, key: SigningKey) -> dict[str, str]:
    events: asyncio.Queue[PeerEvent] = asyncio.Queue(_EVENTS)
    log = logging.getLogger("blockchain.doctor")
    p2p = P2P(
        node_key=key,
        genesis_hash=genesis_hash,
        listen_host="localhost",
        listen_port=0,
        advertise=None,
        limits=P2PLimits(message_bytes_max=FRAME_BYTES_MAX, handshake_s=PROBE_SECONDS),
        events=events,
        log=log,
    )
    found: dict[str, str] = {}
    for address in addresses:
        p2p.dial(address)
    try:
        async with asyncio.timeout(PROBE_SECONDS + 1):
            while len(found) < len(set(addresses)):
                match await events.get():
                    case PeerUp(address=address, inbound=False):
                        found[address] = ""
                    case DialFailed(address=address, why=why):
                        found.setdefault(address, why)
                    case _:
                        continue
    except TimeoutError:
        pass
    finally:
        await p2p.stop()
    return {address: found.get(address, "no answer in time") for address in addresses}
