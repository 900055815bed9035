"""How long does one transaction take from POST to final, when nobody else is there?

Four validators, `block_threshold` 1, one transaction after the other, at each node in turn: `POST …?wait=final`, until
the node that took it says that it is final. Held against what the protocol cannot do without, one after the other, all
measured between the transactions: three loopback WebSocket hops (the proposal, prevotes, precommits), five durable
writes (pool, proposal, two votes, block), a VRF proof and its verification. The limit is the sum of the medians; the
99th percentile is held against the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Struct

from benchmarks.accounting import percentile
from benchmarks.figures import Figure, figure, figure_beside
from benchmarks.hops import Hops, hops
from benchmarks.limits import durable_write_seconds, prove_seconds, verify_proof_seconds
from benchmarks.nodes import Network, network
from benchmarks.options import Options
from benchmarks.raw_http import HttpConnection, open_http, post
from benchmarks.transfers import transfers

NAME: Final = "finality"
TRANSACTIONS: Final = 200  # of each run
QUICK_TRANSACTIONS: Final = 20
EVERY: Final = 10  # transactions, the limit is measured between
HOPS: Final = 3
HOP_BYTES: Final = 250  # of a vote with its frame
WRITES: Final = (250, 1_500, 350, 350, 3_000)  # bytes: pool, proposal, prevote, precommit, block with what it changes
PATH: Final = "/api/v1/transaction/create/?wait=final&timeout=60"
_MS: Final = 1e3
_PARTS: Final = ("three hops", "five durable writes", "VRF proof", "VRF verification")


@dataclass(frozen=True)
class Run:
    """Seconds: of each transaction, and the median of each part of the limit."""

    finals: tuple[float, ...]
    parts: tuple[float, ...]

    @property
    def limit(self) -> float:
        return sum(self.parts)


class _Outcome(Struct):
    state: str


class _Ended(Struct):
    outcomes: list[_Outcome]


def measure(options: Options) -> list[Figure]:
    """Raises RuntimeError for a transaction that does not become final."""
    count = QUICK_TRANSACTIONS if options.is_quick else TRANSACTIONS
    runs = [run(options.data, count) for _ in range(options.runs)]
    limits = [one.limit * _MS for one in runs]
    beside = "hops, writes and VRF"
    medians = [percentile(one.finals, 0.5) * _MS for one in runs]
    slowest = [percentile(one.finals, 0.99) * _MS for one in runs]
    return [
        figure_beside("POST to final, median", "ms", medians, limits, beside, better="less", target=4.0),
        figure_beside("POST to final, p99", "ms", slowest, limits, beside, better="less", target=10.0),
        *(
            figure(f"limit: {name}", "ms", [one.parts[place] * _MS for one in runs], better="less")
            for place, name in enumerate(_PARTS)
        ),
    ]


def run(data: Path, count: int) -> Run:
    """One network from its start to its end."""
    data.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=data, prefix="finality-") as folder, network(Path(folder)) as net:
        return asyncio.run(_run(net, Path(folder), count))


async def _run(net: Network, folder: Path, count: int) -> Run:
    finals: list[float] = []
    parts: list[Sequence[float]] = []
    async with hops() as hop:
        with ExitStack() as stack:
            clients = [await open_http(node.api_port) for node in net.nodes]
            for client in clients:
                stack.callback(client.close)
            nodes = cycle(clients)
            made = transfers(net.genesis_hash, range(len(clients)))
            while len(finals) < count:
                parts.append(await _limit(hop, folder))
                finals += [await final_seconds(next(nodes), next(made).raw) for _ in range(EVERY)]
    return Run(tuple(finals), tuple(median(part) for part in zip(*parts, strict=True)))


async def final_seconds(client: HttpConnection, raw: bytes) -> float:
    """From POST to final, in seconds. Raises RuntimeError when it does not become so."""
    begun = time.perf_counter()
    answer = await client.ask(post(PATH, raw))
    seconds = time.perf_counter() - begun
    if answer.status != 200 or msgspec.json.decode(answer.body, type=_Ended).outcomes[0].state != "final":
        raise RuntimeError(f"not final: {answer.status} {answer.body[:500]!r}")
    return seconds


async def _limit(hop: Hops, folder: Path) -> tuple[float, ...]:
    """The parts, in the order of `_PARTS`."""
    there = await hop.seconds(HOP_BYTES, EVERY)
    writes = sum(durable_write_seconds(folder / "limit", size, 4) for size in WRITES)
    return HOPS * there, writes, prove_seconds(4), verify_proof_seconds(4)
