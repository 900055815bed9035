"""Ears at every node: what validators sign is heard from each, cut off or not, and nobody is helped by it.

The ears tell a node that they are where it is, and hold nothing of it; so it sends them all that it has of its height.
They never say more than a status, so they carry nothing from one node to another and serve no blocks: who reaches
whom stays what the manifest says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from blockchain.errors import MalformedMessage
from blockchain.node.messages import Status, decode_frame, encode_frame
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Step
from blockchain.runtime.keystore import generate_key
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import FrameReceived, PeerDown, PeerEvent, PeerUp
from tests.processes.listening import End, dial_all, listening, p2p_of
from tests.processes.witness import Witness

_EVENTS_MAX: Final = 1_000


@contextmanager
def ears(spec: ChainSpec, addresses: list[str]) -> Iterator[Witness]:
    """Listens to the nodes at these addresses until the block ends."""
    heard = Witness()
    with listening("ears", partial(_listen, spec, addresses, heard)):
        yield heard


async def _listen(spec: ChainSpec, addresses: list[str], heard: Witness, end: End) -> None:
    events: asyncio.Queue[PeerEvent] = asyncio.Queue(_EVENTS_MAX)
    p2p = p2p_of("ears", spec, generate_key(), events)
    await p2p.start()
    hearing = asyncio.create_task(_hear(p2p, spec.hash, events, heard))
    await dial_all(p2p, addresses, end)
    hearing.cancel()
    stopping = asyncio.create_task(p2p.stop())
    while not stopping.done():  # what still comes has to go somewhere, or nothing ends
        await asyncio.wait({stopping, asyncio.ensure_future(_take(events))}, return_when=asyncio.FIRST_COMPLETED)
    await stopping


async def _take(events: asyncio.Queue[PeerEvent]) -> None:
    await events.get()


async def _hear(p2p: P2P, genesis_hash: Hash32, events: asyncio.Queue[PeerEvent], heard: Witness) -> None:
    where: dict[bytes, tuple[int, int]] = {}  # what each node was told last
    while True:
        event = await events.get()
        match event:
            case PeerUp() | PeerDown():
                where.pop(event.peer_id, None)
            case FrameReceived(peer_id=peer, data=frame):
                heard.hear(frame)
                told = _status_in(frame)
                if told is not None and where.get(peer) != (told.height, told.round):
                    where[peer] = (told.height, told.round)
                    p2p.send(peer, encode_frame(genesis_hash, Status(told.height, told.round, Step.PROPOSE, ())))
            case _:
                pass


def _status_in(frame: bytes) -> Status | None:
    try:
        message = decode_frame(frame).message
    except MalformedMessage:
        return None
    return message if isinstance(message, Status) else None
