"""How many reads a second does a validator answer while blocks are made, and what do readers cost finality?

Blocks, accounts, proofs and histories in turn, over 64 connections to one of four validators, while a client hands in
one transfer after the other at that node: as fast as it answers, held against an empty FastAPI route with answers of
the same mean length; then at half of that, where the time to finality is held against that without readers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.accounting import percentile
from benchmarks.empty_route import empty_route
from benchmarks.figures import Figure, figure, figure_beside
from benchmarks.finality import final_seconds
from benchmarks.hammer import Hammer, Plan, Told, hammer
from benchmarks.nodes import Network, account_key, network
from benchmarks.options import Options
from benchmarks.raw_http import get, open_http
from benchmarks.transfers import transfers
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address
from blockchain.primitives.transaction import VerifiedTransaction

NAME: Final = "reads"
CONNECTIONS: Final = 64
SECONDS: Final = 10.0  # of each kind of load
QUICK_SECONDS: Final = 2.0
SHARE: Final = 0.5  # of the most
TRANSFERS: Final = 2_000  # that there is something to read of
BATCH: Final = 50
SENDERS: Final = 100
KINDS: Final = ("blocks", "accounts", "proofs", "history")
_MS: Final = 1e3
_FINAL_SECONDS: Final = 60.0
_OK: Final = 200


@dataclass(frozen=True)
class Run:
    """Rates are answers a second, times the medians of seconds to finality."""

    rate: float
    empty: float
    kinds: tuple[float, ...]
    alone: float
    beside: float
    slowest: float  # the 99th percentile of what readers wait at half the rate


def measure(options: Options) -> list[Figure]:
    """Raises RuntimeError for an answer that is none."""
    runs = [run(options) for _ in range(options.runs)]
    rates, empty = [one.rate for one in runs], [one.empty for one in runs]
    beside, alone = [one.beside * _MS for one in runs], [one.alone * _MS for one in runs]
    return [
        figure_beside("all in turn", "requests/s", rates, empty, "empty route", better="more", target=0.5),
        figure_beside(
            "POST to final, half the rate", "ms", beside, alone, "without readers", better="less", target=1.2
        ),
        figure("a reader at half the rate, p99", "ms", [one.slowest * _MS for one in runs], better="less"),
        *(
            figure_beside(name, "requests/s", [one.kinds[place] for one in runs], empty, "empty route", better="more")
            for place, name in enumerate(KINDS)
        ),
    ]


def run(options: Options) -> Run:
    """One network from its start to its end."""
    seconds = QUICK_SECONDS if options.is_quick else SECONDS
    options.data.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(dir=options.data, prefix="reads-") as folder,
        hammer() as clients,
        network(Path(folder)) as net,
    ):
        made = transfers(net.genesis_hash, range(SENDERS))
        requests = _fill(net, [next(made) for _ in range(TRANSFERS // 10 if options.is_quick else TRANSFERS)])
        return _measure(net, clients, Finality(net.nodes[0].api_port, made), requests, seconds)


def _measure(
    net: Network, clients: Hammer, finality: Finality, requests: dict[str, list[bytes]], seconds: float
) -> Run:
    port = net.nodes[0].api_port
    mixed = [one for each in zip(*requests.values(), strict=True) for one in each]

    def read(wanted: Sequence[bytes], rate: float | None = None) -> Told:
        return clients.strike(Plan(port, _queues(wanted), seconds, rate)).check(_OK)

    before = finality.during(seconds)
    with finality.going_on():
        most = read(mixed)
        kinds = tuple(read(wanted).rate for wanted in requests.values())
    with empty_route(most.answer_bytes // len(most.latencies)) as empty:
        nothing = clients.strike(Plan(empty.port, _queues([get(empty.path)]), seconds)).check(_OK)
    with finality.going_on() as beside:
        half = read(mixed, most.rate * SHARE)
    after = finality.during(seconds)
    return Run(
        rate=most.rate,
        empty=nothing.rate,
        kinds=kinds,
        alone=mean((percentile(before, 0.5), percentile(after, 0.5))),
        beside=percentile(beside, 0.5),
        slowest=percentile(half.latencies, 0.99),
    )


def _queues(requests: Sequence[bytes]) -> tuple[tuple[bytes, ...], ...]:
    """Each connection begins somewhere else."""
    begins = (number * len(requests) // CONNECTIONS for number in range(CONNECTIONS))
    return tuple((*requests[begin:], *requests[:begin]) for begin in begins)


def _fill(net: Network, made: Sequence[VerifiedTransaction]) -> dict[str, list[bytes]]:
    """Hand in transfers, a batch after the other becoming final; what can be read of them, by kind, as many of each."""
    node = net.nodes[0].client
    for first in range(0, len(made), BATCH):
        ids = node.submit(made[first : first + BATCH])
        if node.wait_final(ids[-1], _FINAL_SECONDS).state != "final":
            raise RuntimeError("a transfer does not become final")
    net.drain(_FINAL_SECONDS)
    height = node.status().height
    addresses = [format_address(Address(account_key(number).public_key)) for number in range(SENDERS)]
    blocks = [f"/blocks/{1 + number % height}/" for number in range(SENDERS)]
    proofs = [f"/transactions/{one.id.hex()}/proof/" for one in made[: SENDERS // 2]]
    proofs += [f"/accounts/{address}/proof/" for address in addresses[SENDERS // 2 :]]
    accounts = [f"/accounts/{address}/" for address in addresses]
    history = [f"/accounts/{address}/transactions/" for address in addresses]
    paths = zip(KINDS, (blocks, accounts, proofs, history), strict=True)
    return {kind: [get(f"/api/v1{path}") for path in each] for kind, each in paths}


class Finality:
    """One transfer after the other at a node, in a thread of its own, while it is asked for."""

    def __init__(self, port: int, made: Iterator[VerifiedTransaction]) -> None:
        self._port = port
        self._made = made

    def during(self, seconds: float) -> list[float]:
        """The seconds to finality of what was handed in meanwhile."""
        with self.going_on() as found:
            threading.Event().wait(seconds)
        return found

    @contextmanager
    def going_on(self) -> Iterator[list[float]]:
        """Until the end of the block; the list is whole after it."""
        found: list[float] = []
        ended = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._go_on(found, ended)), name="finality")
        thread.start()
        try:
            yield found
        finally:
            ended.set()
            thread.join()

    async def _go_on(self, found: list[float], ended: threading.Event) -> None:
        client = await open_http(self._port)
        try:
            while not ended.is_set():
                found.append(await final_seconds(client, next(self._made).raw))
        finally:
            client.close()
