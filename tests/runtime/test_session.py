"""A connection that is refused is closed also where the node stops in the middle of its good-bye."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from blockchain.errors import HandshakeFailed
from blockchain.runtime.peer_events import P2PLimits
from blockchain.runtime.session import _refusing
from blockchain.runtime.websocket import PeerConnection


class Transport:
    """Notes that it was closed."""

    is_aborted = False

    def abort(self) -> None:
        self.is_aborted = True


class Socket:
    """A connection whose peer never answers a good-bye."""

    def __init__(self) -> None:
        self.transport = Transport()
        self.is_closing = asyncio.Event()

    async def close(self, code: int, reason: str) -> None:
        self.is_closing.set()
        await asyncio.get_running_loop().create_future()


def test_a_good_bye_that_is_cut_short_leaves_no_connection() -> None:
    async def refuse(socket: Socket) -> None:
        async with _refusing(cast("PeerConnection", socket), P2PLimits(close_s=60.0)):
            raise HandshakeFailed("other_chain", "of another chain")

    async def scenario() -> None:
        socket = Socket()
        refusing = asyncio.create_task(refuse(socket))
        await socket.is_closing.wait()
        refusing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await refusing
        assert socket.transport.is_aborted

    asyncio.run(scenario())
