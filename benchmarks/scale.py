"""How the cost of agreement grows with the number of validators: messages, bytes, time to finality.

    python -m benchmarks.scale [validators ...]       default: 4 10 30 100 300 1000; HEIGHTS=3 PEERS=4 SEED=1

Each size is a simulated network of production cores over the whole world (`network.WIDE_AREA`), with equal stake, the
default parameters and one payment a block, sent at once after the block before. Each node dials PEERS others that it
learns of by peer exchange and takes those that dial it, so that it has twice as many on average. Announcements
(protocol §8.5) do not depend on heights: they are switched off. A line for each size is appended to
tests/records/scale.jsonl; scale_docs.py writes the table and the plot of docs/ from the newest line of each size.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from statistics import median
from time import process_time

from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, PublicKey, SigningKey
from blockchain.primitives.vote import Announcement, Signable
from blockchain.seams import BlockFinalized, ForgerDrawn, NodeEvent, Proposed, SignRefused
from blockchain.simulator.conduct import Honest, SignAnswer
from blockchain.simulator.connections import Discovery
from blockchain.simulator.network import WIDE_AREA
from blockchain.simulator.node import Node
from blockchain.simulator.world import World
from blockchain.wallet import Wallet

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "tests" / "records" / "scale.jsonl"
PEERS = int(os.environ.get("PEERS", "4"))
HEIGHTS = int(os.environ.get("HEIGHTS", "3"))
SIZES = (4, 10, 30, 100, 300, 1_000)
STARTING_MS = 5_000  # over which the nodes start
SETTLING_MS = 33_000  # until they are connected: peers are asked for addresses each half minute
DEADLINE_MS = 120_000  # for one height
LOOK_MS = 20
TAG_AT = 36  # where the name of a message's type begins in a frame: after an array, 32 bytes and two heads
GENESIS_MS = 1_700_000_000_000


class Measured(World):
    """A world that counts what is sent, by type."""

    def __init__(self, spec: ChainSpec, keys: list[SigningKey | None], seed: int) -> None:
        super().__init__(spec, keys, seed, WIDE_AREA)
        self.messages: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()
        self.stamped: list[tuple[int, NodeEvent]] = []  # with when it happened

    def send(self, sender: Node, receiver: Node, frame: bytes, extra_ms: int = 0) -> None:
        kind = kind_of(frame)
        self.messages[kind] += 1
        self.bytes[kind] += len(frame)
        super().send(sender, receiver, frame, extra_ms)

    def _on_event(self, node: Node, event: NodeEvent) -> None:
        self.stamped.append((self.time_ms, event))
        super()._on_event(node, event)


class Quiet(Honest):
    """Signs no announcements: their cost is known, and would hide that of agreement."""

    def signs(self, world: World, node: Node, message: Signable, key: PublicKey) -> SignAnswer:
        if isinstance(message, Announcement):
            return SignRefused(message, "no announcements here")
        return super().signs(world, node, message, key)


def kind_of(frame: bytes) -> str:
    """The name of a message's type, a short MessagePack text."""
    length = frame[TAG_AT] & 0x1F
    return frame[TAG_AT + 1 : TAG_AT + 1 + length].decode("ascii")


def key(number: int) -> SigningKey:
    return SigningKey(sha256(f"scale {number}".encode()).digest())


def world_of(validators: int, seed: int) -> Measured:
    keys = [key(number) for number in range(validators)]
    owner = Address(keys[0].public_key)
    spec = ChainSpec(
        chain_id="scale",
        time_ms=GENESIS_MS,
        parameters=Parameters(validators_max=max(validators, 100), block_max_wait_ms=None),
        issuer=owner,
        accounts=(GenesisAccount(owner, 1_000_000),),
        validators=tuple(GenesisValidator(Address(held.public_key), 100) for held in keys),
    )
    world = Measured(spec, list(keys), seed)
    world.connections = Discovery(PEERS)
    for node in world.nodes:
        node.conduct = Quiet()
        world.at(STARTING_MS * node.number // validators, lambda number=node.number: world.start(number))  # type: ignore[misc]
    return world


def measure(validators: int, seed: int) -> dict[str, object]:
    """Some heights of a network of so many; what they took on average."""
    began = process_time()
    world = world_of(validators, seed)
    world.run_until(STARTING_MS + SETTLING_MS)
    ready = process_time()
    peers = [len(node.core.peers) for node in world.nodes if node.core is not None]
    wallet = Wallet(key(0), world.spec.hash)
    for counts in (world.messages, world.bytes):
        counts.clear()
    begun_ms = world.time_ms
    for height in range(1, HEIGHTS + 1):
        world.submit(0, (wallet.transfer(Address(key(1).public_key), 1, height - 1),))
        while min(node.store.head() for node in world.nodes) < height:
            world.run_until(world.time_ms + LOOK_MS)
            if world.time_ms > begun_ms + height * DEADLINE_MS:
                raise SystemExit(f"{validators} validators: height {height} is not decided everywhere in time")
    return {
        "validators": validators,
        "seed": seed,
        "heights": HEIGHTS,
        "peers": {"least": min(peers), "median": median(peers), "most": max(peers)},
        "rounds_above_0": sum(isinstance(event, ForgerDrawn) and event.round > 0 for _, event in world.events),
        **delays_of(world),
        "messages": {kind: round(count / HEIGHTS) for kind, count in sorted(world.messages.items())},
        "bytes": {kind: round(count / HEIGHTS) for kind, count in sorted(world.bytes.items())},
        "cpu_s": {"start": round(ready - began, 1), "height": round((process_time() - ready) / HEIGHTS, 1)},
    }


def delays_of(world: Measured) -> dict[str, object]:
    """From a block's first proposal to its finality, at the median node and at the last, in ms; means over heights."""
    firsts: dict[int, int] = {}
    finals: dict[int, list[int]] = {}
    for time_ms, event in world.stamped:
        if isinstance(event, Proposed):
            firsts.setdefault(event.height, time_ms)
        elif isinstance(event, BlockFinalized):
            finals.setdefault(event.height, []).append(time_ms)
    halves = [median(times) - firsts[height] for height, times in finals.items()]
    lasts = [max(times) - firsts[height] for height, times in finals.items()]
    return {"final_ms": {"median_node": round(sum(halves) / len(halves)), "last_node": round(sum(lasts) / len(lasts))}}


def commit() -> str:
    """Which code this is; "+" where files differ from it."""
    asked = ["git", "describe", "--always", "--dirty=+", "--abbrev=12"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main(arguments: list[str]) -> int:
    gc.disable()  # nothing here is in cycles, and to look for them in millions of objects takes a sixth of the time
    seed = int(os.environ.get("SEED", "1"))
    measured = commit()  # before the first line makes the record file differ from it
    for validators in map(int, arguments or SIZES):
        figures: dict[str, object] = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "commit": measured}
        figures |= measure(validators, seed)
        RECORDS.parent.mkdir(exist_ok=True)
        with RECORDS.open("a", encoding="utf-8", newline="\n") as records:
            records.write(json.dumps(figures) + "\n")
        print(json.dumps(figures), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
