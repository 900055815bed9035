"""A peer made by hand from the sans-I/O parts, to misbehave with."""

from __future__ import annotations

from websockets.asyncio.client import ClientConnection, connect

from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.handshake import Handshake, Identity, Role
from blockchain.runtime.secure_channel import SecureChannel
from blockchain.runtime.websocket import DialledConnection


class RawPeer:
    """A connection whose handshake is done."""

    def __init__(self, socket: ClientConnection, channel: SecureChannel) -> None:
        self.socket = socket
        self.channel = channel

    async def send(self, message: bytes) -> None:
        await self.socket.send(self.channel.seal(message))

    async def receive(self) -> bytes:
        return self.channel.open(await self.socket.recv(decode=False))

    def vanish(self) -> None:
        self.socket.transport.abort()


def connect_raw(address: str) -> connect:
    return connect(
        f"ws://{address}/",
        compression=None,
        proxy=None,
        ping_interval=None,
        max_size=None,
        create_connection=DialledConnection,
    )


def dialling(key: SigningKey, genesis_hash: bytes) -> Handshake:
    return Handshake(Role.DIALLER, Identity(key, genesis_hash), b"\x01" * 32, b"\x02" * 32)


async def dial_raw(address: str, key: SigningKey, genesis_hash: bytes) -> RawPeer:
    """Raises what the handshake fails of; then the socket is closed."""
    socket = await connect_raw(address)
    handshake = dialling(key, genesis_hash)
    try:
        while not handshake.is_done:
            for frame in handshake.send():
                await socket.send(frame)
            handshake.receive(await socket.recv(decode=False))
    except BaseException:
        socket.transport.abort()
        raise
    return RawPeer(socket, handshake.channel)
