"""A peer that listens: a node in a thread of the tests, without a key, that keeps every vote and proposal it is sent.

All nodes tell it what they tell each other, so what a validator has signed twice for one place is seen here, whichever
node it said which to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from blockchain.errors import MalformedMessage
from blockchain.node.messages import ProposedBlock, Votes, decode_frame
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Proposal, Vote
from blockchain.runtime.keystore import generate_key
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import FrameReceived, PeerEvent, PeerEvents
from blockchain.runtime.service import NodeService
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import PeerId
from tests.processes.listening import End, dial_all, listening, p2p_of

Place = tuple[Address, int, int, int]  # who, height, round, step; a proposal's step is 0


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
    with listening("witness", partial(_listen, folder, spec, addresses, heard)):
        yield heard


async def _listen(folder: Path, spec: ChainSpec, addresses: list[str], heard: Witness, end: End) -> None:
    store = SqliteStore.open(folder, spec.hash)
    key = generate_key()

    def make_p2p(events: PeerEvents) -> P2P:
        return p2p_of("witness", spec, key, Ears(heard, events))

    node = NodeService(spec, store, (), make_p2p, PeerId(key.public_key))
    await node.p2p.start()
    await node.start()
    await dial_all(node.p2p, addresses, end)
    await node.stop()
    await node.p2p.stop()
    store.close()
