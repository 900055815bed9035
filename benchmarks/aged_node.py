"""A node on a store of some age, in a process of its own. growth.py starts it.

    python -m benchmarks.aged_node start CHAIN STORE ANSWER
    python -m benchmarks.aged_node blocks CHAIN STORE FIRST LAST ANSWER

`start`: how long the production `NodeService` takes from the closed store to the moment when it would listen, with its
checks, its state and its tree, with the workers that a node has by default; the CPU time of all of them, until it has
stopped again; and the most memory that the process, not they, had by then. The code is loaded and the genesis is read
before. `blocks`: what each block of the chain takes from `Chain.import_block` to the disk, its signatures apart. Writes
JSON to the file ANSWER.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec
from msgspec import Struct

from benchmarks.chains import MadeChain
from benchmarks.stores import certificate_of, verified_by_its_maker
from benchmarks.sync_node import NODE, cpu_seconds
from blockchain.consensus.pos import ProofOfStake
from blockchain.node.chain import Chain
from blockchain.node.checkpoint import Vouched
from blockchain.primitives.chain import ChainSpec
from blockchain.runtime.event_loop import NodeLoop
from blockchain.runtime.peer_events import PeerEvents
from blockchain.runtime.service import NodeService
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.verifiers import default_workers
from blockchain.seams import Write


class Started(Struct, frozen=True):
    """Seconds, CPU seconds of all processes, and bytes (None where the system does not tell)."""

    seconds: float
    cpu_seconds: float
    memory_bytes: int | None


class Nobody:
    """In the place of the P2P shell."""

    def __init__(self, _: PeerEvents) -> None:
        pass


def start(spec: ChainSpec, folder: Path) -> Started:
    async def started() -> float:
        make_p2p: Any = Nobody
        begun = perf_counter()
        with closing(SqliteStore.open(folder, spec.hash)) as store:
            workers = default_workers()
            node = NodeService(spec, store, (), make_p2p, NODE, Vouched(genesis=True), verify_workers=workers)
            await node.start()
            seconds = perf_counter() - begun
            await node.stop()
        return seconds

    cpu = cpu_seconds()
    with asyncio.Runner(loop_factory=NodeLoop) as runner:
        seconds = runner.run(started())
    return Started(seconds, cpu_seconds() - cpu, memory_bytes())


def block_seconds(made: MadeChain, spec: ChainSpec, folder: Path, first: int, last: int) -> list[float]:
    """Of each of these blocks, taken over and durable."""
    taken = []
    with closing(SqliteStore.open(folder, spec.hash)) as store:
        chain = Chain(spec, ProofOfStake(spec.hash), store)
        assert chain.height == first, "a store of another height"
        gc.freeze()
        for raw, certificate in made.blocks(first, last):
            block, seal = verified_by_its_maker(raw, chain.genesis_hash), certificate_of(certificate)
            begun = perf_counter()
            for effect in chain.import_block(block, seal, block.header.time_ms):
                if isinstance(effect, Write):
                    store.write(effect.batch)
            taken.append(perf_counter() - begun)
    return taken


def memory_bytes() -> int | None:
    """The most that this process has had in memory."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), None)
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


def main(arguments: Sequence[str]) -> int:
    what, folder, store, *heights, answer = arguments
    made = MadeChain(Path(folder))
    spec = made.spec()
    if what == "start":
        told: object = start(spec, Path(store))
    else:
        first, last = map(int, heights)
        told = block_seconds(made, spec, Path(store), first, last)
    Path(answer).write_bytes(msgspec.json.encode(told))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
