"""A peer of the tests that listens, in a thread of its own: how it is made, and how it begins and ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Final

from blockchain.node.messages import FRAME_BYTES_MAX
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import P2PLimits, PeerEvents
from tests.runtime.live_nodes import p2p_on_a_free_port

End = Callable[[], Awaitable[None]]

_SECONDS: Final = 30.0  # to begin, and to end


def p2p_of(name: str, spec: ChainSpec, key: SigningKey, events: PeerEvents) -> P2P:
    """On a free port that nobody is told of."""
    limits = P2PLimits(message_bytes_max=FRAME_BYTES_MAX)
    return p2p_on_a_free_port(key, spec.hash, events, limits, log=name)


async def dial_all(p2p: P2P, addresses: list[str], end: End) -> None:
    """Dial the nodes at these addresses, and stay with them up to the end."""
    for address in addresses:
        p2p.dial(address)
    await end()


@contextmanager
def listening(name: str, listen: Callable[[End], Coroutine[None, None, None]]) -> Iterator[None]:
    """Run `listen` up to the end of the block: it awaits that end once it has begun."""
    started, ended = threading.Event(), threading.Event()

    async def end() -> None:
        started.set()
        await asyncio.get_running_loop().run_in_executor(None, ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(listen(end)), name=name, daemon=True)
    thread.start()
    assert started.wait(_SECONDS), f"the {name} does not begin"
    try:
        yield
    finally:
        ended.set()
        thread.join(_SECONDS)
        assert not thread.is_alive(), f"the {name} does not end"
