"""One fresh node that takes over a made chain, in a process of its own. sync.py starts it.

    python -m benchmarks.sync_node CHAIN STORE FIRST LAST ANSWER

The production `NodeService` on the store in the folder STORE, with its intake, its verification, its core and its
durable writes. In the place of sockets are peers in the same process that answer what it asks for with the frames that
a peer would send, made beforehand. Writes JSON to the file ANSWER: seconds from the first word of a peer to the moment
when block LAST is durable, and the CPU seconds that the process and its workers took meanwhile. It logs as a node does,
to stdout.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, Final

import msgspec
from msgspec import Struct

from benchmarks import cpu
from benchmarks.chains import MadeBlock, MadeChain
from benchmarks.stores import certificate_of
from blockchain.node.checkpoint import Vouched
from blockchain.node.core import STATUS_MS
from blockchain.node.messages import Blocks, GetBlocks, Status, decode_frame, encode_frame
from blockchain.node.ranges import REPLY_BYTES_MAX
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Step
from blockchain.runtime.event_loop import NodeLoop
from blockchain.runtime.logs import configure_logging
from blockchain.runtime.peer_events import FrameReceived, PeerEvents, PeerUp
from blockchain.runtime.service import NodeService
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.verifiers import default_workers
from blockchain.seams import Batch, PeerId

PEERS: Final = 4  # as many as sync asks at a time
NODE: Final = PeerId(b"n" * 32)


class Answer(Struct, frozen=True):
    """What a run took; of CPU only where a system tells that of the workers."""

    seconds: float
    cpu_seconds: float | None


class Peers:
    """In the place of the P2P shell: peers that hold the whole chain, and answer at once."""

    def __init__(self, spec_hash: Hash32, blocks: list[MadeBlock], first: int) -> None:
        self._hash = spec_hash
        self._blocks = blocks
        self._first = first
        self._last = first + len(blocks) - 1
        self._frames: dict[tuple[int, int], bytes] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.events: PeerEvents | None = None
        for height in range(first, self._last + 1):
            self._range(height, len(blocks))

    async def come(self) -> None:
        """Connect, and say how far they are, again each second. Until it is cancelled."""
        status = encode_frame(self._hash, Status(self._last + 1, 0, Step.PROPOSE, ()))
        peers = [bytes([number + 1]) * 32 for number in range(PEERS)]
        for peer in peers:
            await self._put(PeerUp(peer, "", True, "", "benchmark"))
        while True:
            for peer in peers:
                await self._put(FrameReceived(peer, status))
            await asyncio.sleep(STATUS_MS / 1_000)

    def send_over(self, up: PeerUp, frame: bytes) -> None:
        """Called by the node; only requests for blocks are answered, as by a peer with nothing else to say."""
        message = decode_frame(frame).message
        if isinstance(message, GetBlocks):
            answer = FrameReceived(up.peer_id, self._range(message.first, message.count))
            task = asyncio.get_running_loop().create_task(self._put(answer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _put(self, event: PeerUp | FrameReceived) -> None:
        assert self.events is not None, "peers of nobody"
        await self.events.put(event)

    def _range(self, first: int, count: int) -> bytes:
        """What `Sync.serve` answers: as many of the blocks as fit, one at least."""
        start, size, end = first - self._first, 0, first - self._first
        while end < min(start + count, len(self._blocks)):
            size += len(self._blocks[end].raw)
            if end > start and size > REPLY_BYTES_MAX:
                break
            end += 1
        known = self._frames.get((start, end))
        if known is None:
            raws = tuple(block.raw for block in self._blocks[start:end])
            blocks = Blocks(first, raws, certificate_of(self._blocks[end - 1].certificate))
            known = self._frames[start, end] = encode_frame(self._hash, blocks)
        return known


class Watched(SqliteStore):
    """Tells when a block is durable."""

    awaited: int
    on_durable: Callable[[], object]

    def write(self, batch: Batch) -> None:
        super().write(batch)
        if batch.block is not None and batch.block.height == self.awaited:
            self.on_durable()


async def sync(spec: ChainSpec, store: Watched, peers: Peers, last: int) -> Answer:
    """From the first word of a peer to the last block on the disk. Raises what the node failed of."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    store.awaited, store.on_durable = last, lambda: loop.call_soon_threadsafe(done.set)

    def make_peers(events: PeerEvents) -> Any:  # in the place of P2P
        peers.events = events
        return peers

    node = NodeService(spec, store, (), make_peers, NODE, Vouched(genesis=True), verify_workers=default_workers())
    await node.start()
    begun, before = perf_counter(), cpu.cpu_seconds([os.getpid()])
    ends = [asyncio.create_task(end) for end in (done.wait(), node.wait(), peers.come())]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    seconds, after = perf_counter() - begun, cpu.cpu_seconds([os.getpid()])
    for end in ends:
        if end.done():
            end.result()
        end.cancel()
    await node.stop()
    return Answer(seconds, None if before is None or after is None else after - before)


def cpu_seconds() -> float:
    """Of this process, and of its children that have ended (not on Windows, which does not tell)."""
    times = os.times()
    return process_time() + times.children_user + times.children_system


def main(arguments: Sequence[str]) -> int:
    chain, folder, first, last, answer = arguments
    made = MadeChain(Path(chain))
    spec = made.spec()
    configure_logging("info", "text")
    peers = Peers(spec.hash, list(made.blocks(int(first), int(last))), int(first))
    store = Watched.open(Path(folder), spec.hash)
    assert isinstance(store, Watched)
    with asyncio.Runner(loop_factory=NodeLoop) as runner:
        told = runner.run(sync(spec, store, peers, int(last)))
    assert store.head() == int(last), "a block that nobody sent"
    store.close()
    Path(answer).write_bytes(msgspec.json.encode(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
