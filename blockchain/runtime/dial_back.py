"""One dial for a peer that asks whether others reach it (docs/protocol.md §8.9).

Who is there proves its node id, and is left again. The core has looked at the address as it is written; here also what
a name stands for may not be nearer than the peer that gave it: it could name a machine of this node's own network.
"""

from __future__ import annotations

import asyncio
from typing import Final

from websockets.exceptions import WebSocketException

from blockchain.errors import ConfigError, HandshakeFailed
from blockchain.primitives.host_port import HostPort, parse_host_port
from blockchain.runtime.nearness import targets_behind
from blockchain.runtime.peer_events import P2PLimits
from blockchain.runtime.session import Sessions
from blockchain.seams import DialOutcome

_SOMEBODY_ELSE: Final = frozenset({"other_id", "own_id", "other_chain", "other_version", "not_admitted"})


async def dial_back(sessions: Sessions, limits: P2PLimits, peer_id: bytes, address: str, remote: str) -> DialOutcome:
    """Whether the peer with that node id is at an address; `remote` is the IP address that it is connected from."""
    try:
        async with asyncio.timeout(limits.handshake_s):
            targets = await targets_behind(parse_host_port(address), remote)
    except (ConfigError, OSError, UnicodeError):  # TimeoutError is an OSError
        return "no_answer"
    outcome: DialOutcome = "not_near"
    for target in targets:
        outcome = await _visit(sessions, target, peer_id)
        if outcome == "reached":
            break
    return outcome


async def _visit(sessions: Sessions, target: HostPort, peer_id: bytes) -> DialOutcome:
    try:
        await sessions.visit(target, peer_id)
    except HandshakeFailed as error:
        return "other_node" if error.reason in _SOMEBODY_ELSE else "no_answer"
    except (OSError, WebSocketException, UnicodeError):
        return "no_answer"
    return "reached"
