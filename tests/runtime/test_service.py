"""The service performs effects in their order: nobody is told of what is not on the disk yet."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

from blockchain.node.checkpoint import Vouched
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.p2p import P2P
from blockchain.runtime.peer_events import P2PLimits, PeerEvents
from blockchain.runtime.service import NodeService
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Batch, PeerId
from tests.samples import address, spec_of, wallet

SPEC = spec_of()
OWN = SigningKey(b"\x31" * 32)
SECONDS = 60.0


class SlowDisk(SqliteStore):
    """Writes when it may, and says that it is about to."""

    may_write: threading.Event
    is_writing: threading.Event

    def write(self, batch: Batch) -> None:
        self.is_writing.set()
        self.may_write.wait(SECONDS)
        super().write(batch)


def make_p2p(events: PeerEvents) -> P2P:
    return P2P(
        node_key=OWN,
        genesis_hash=SPEC.hash,
        listen_host="127.0.0.1",
        listen_port=0,
        advertise=None,
        limits=P2PLimits(),
        events=events,
        log=logging.getLogger("blockchain.p2p"),
    )


def test_a_client_is_answered_when_its_transaction_is_on_the_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SlowDisk.open(tmp_path, SPEC.hash)
        assert isinstance(store, SlowDisk)
        store.may_write, store.is_writing = threading.Event(), threading.Event()
        store.may_write.set()
        node = NodeService(SPEC, store, (), make_p2p, PeerId(OWN.public_key), Vouched(genesis=True))
        await node.start()
        store.may_write.clear()
        store.is_writing.clear()
        paid = wallet("a", SPEC.hash).transfer(address("b"), 1, 0)
        submitted = asyncio.create_task(node.submit([paid.raw]))
        assert await asyncio.to_thread(store.is_writing.wait, SECONDS)
        assert not submitted.done() and store.pending() == []
        store.may_write.set()
        [result] = await submitted
        assert result.code == "" and [one.id for one in store.pending()] == [paid.id]
        await node.stop()
        store.close()

    asyncio.run(scenario())
