"""What is behind a name, and whether it is as far as who told of the name (docs/protocol.md §8.3).

Names are looked at as they are written where they come in. That is not enough: a public name may stand for a machine
inside this node's own network, so what it resolves to is looked at again, and dialled as the address that was seen.
"""

from __future__ import annotations

import asyncio
import socket

from blockchain.node.reach import is_exchanged
from blockchain.primitives.host_port import HostPort, format_host_port
from blockchain.runtime.lookups import told_by_a_peer


async def targets_behind(named: HostPort, remote: str) -> list[HostPort]:
    """Of what is behind a name, the first IPv4 and the first IPv6 address no nearer than `remote`. Raises OSError."""
    with told_by_a_peer():
        found = await asyncio.get_running_loop().getaddrinfo(named.host, named.port, type=socket.SOCK_STREAM)
    targets: dict[int, HostPort] = {}
    for family, *_, (host, *_) in found:
        if is_exchanged(format_host_port(str(host), named.port), remote):
            targets.setdefault(family, HostPort(str(host), named.port))
    return list(targets.values())
