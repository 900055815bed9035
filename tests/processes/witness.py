"""A peer that listens: a node in a thread of the tests, without a key, that keeps every vote and proposal it is sent.

All nodes tell it what they tell each other, so what a validator has signed twice for one place is seen here, whichever
node it said which to.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from blockchain.errors import MalformedMessage
from blockchain.node.messages import FRAME_BYTES_MAX, ProposedBlock, Votes, decode_frame
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Proposal, Vote
from blockchain.runtime.keystore import generate_key
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import FrameReceived, P2PLimits, PeerEvent, PeerEvents
from blockchain.runtime.service import NodeService
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import PeerId

Place = tuple[Address, int, int, int]  # who, height, round, step; a proposal's step is 0

_START_SECONDS: Final = 30.0


class Witness:
    """What was heard, by place. Read it when the thread has ended."""

    def __init__(self) -> None:
        self.heard: dict[Place, Vote | Proposal] = {}
        self.contradictions: list[tuple[Vote | Proposal, Vote | Proposal]] = []

    def hear(self, frame: bytes) -> None:
        try:
            message = decode_frame(frame).message
        except MalformedMessage:
            return  # the node's matter
        if isinstance(message, Votes):
            for vote in message.votes:
                self._note((vote.validator, vote.height, vote.round, int(vote.step)), vote)
        elif isinstance(message, ProposedBlock):
            proposal = message.proposal
            self._note((proposal.forger, proposal.height, proposal.round, 0), proposal)

    def _note(self, place: Place, said: Vote | Proposal) -> None:
        """Ed25519 signatures are deterministic, so two of one message are equal to the byte."""
        before = self.heard.setdefault(place, said)
        if before != said:
            self.contradictions.append((before, said))


class Ears:
    """Shows each frame to the witness before the node looks at it."""

    def __init__(self, heard: Witness, events: PeerEvents) -> None:
        self._heard = heard
        self._events = events

    async def put(self, event: PeerEvent) -> None:
        if isinstance(event, FrameReceived):
            self._heard.hear(event.data)
        await self._events.put(event)


@contextmanager
def witness(folder: Path, spec: ChainSpec, addresses: list[str]) -> Iterator[Witness]:
    """Listens to the nodes at these addresses until the block ends."""
    heard = Witness()
    started, ended = threading.Event(), threading.Event()

    def run() -> None:
        asyncio.run(_listen(folder, spec, addresses, heard, started, ended))

    thread = threading.Thread(target=run, name="witness", daemon=True)
    thread.start()
    assert started.wait(_START_SECONDS), "the witness does not start"
    try:
        yield heard
    finally:
        ended.set()
        thread.join(_START_SECONDS)
        assert not thread.is_alive(), "the witness does not end"


async def _listen(
    folder: Path,
    spec: ChainSpec,
    addresses: list[str],
    heard: Witness,
    started: threading.Event,
    ended: threading.Event,
) -> None:
    store = SqliteStore.open(folder, spec.hash)
    key = generate_key()

    def make_p2p(events: PeerEvents) -> P2P:
        return P2P(
            node_key=key,
            genesis_hash=spec.hash,
            listen_host="127.0.0.1",
            listen_port=0,
            advertise=None,
            limits=P2PLimits(message_bytes_max=FRAME_BYTES_MAX),
            events=Ears(heard, events),
            log=logging.getLogger("witness"),
        )

    node = NodeService(spec, store, (), make_p2p, PeerId(key.public_key))
    await node.p2p.start()
    await node.start()
    for address in addresses:
        node.p2p.dial(address)
    started.set()
    await asyncio.get_running_loop().run_in_executor(None, ended.wait)
    await node.stop()
    await node.p2p.stop()
    store.close()
