"""How many transfers a second does one node take, each durable before the answer?

A node that follows, without peers: it verifies, checks and stores, and nobody makes blocks of what it takes. Handed in
are single transfers as JSON, each with a request of its own, over many connections; batches of 100, as JSON and as
canonical bytes; and canonical bytes over one connection, in batches of 1,000 and one at a time. Single ones are held
against an empty FastAPI route that is sent the same requests by the same clients, batches against what two cores
verify.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from benchmarks.empty_route import EmptyRoute, empty_route
from benchmarks.figures import Figure, figure, figure_beside
from benchmarks.hammer import Hammer, Plan, Told, hammer
from benchmarks.limits import Signed, signatures_seconds, signed_of
from benchmarks.nodes import Network, follower
from benchmarks.options import Options
from benchmarks.raw_http import post
from benchmarks.transfers import sample, senders_of, transfers
from blockchain.primitives import codec
from blockchain.primitives.jsonform import transaction_to_json
from blockchain.primitives.transaction import VerifiedTransaction

NAME: Final = "admission"
PATH: Final = "/api/v1/transaction/create/"
ANSWER_BYTES: Final = 260  # of the answer to one transfer
_JSON: Final = "application/json"
_MSGPACK: Final = "application/msgpack"
_LIMIT_COUNT: Final = 20_000
_QUICK_LIMIT_COUNT: Final = 2_000
_QUICK_SHARE: Final = 20
_ACCEPTED: Final = 202


@dataclass(frozen=True)
class Way:
    """A way to hand in: so many connections, requests of so many transfers, `count` transfers in all."""

    name: str
    is_json: bool
    connections: int
    batch: int
    count: int
    target: float | None

    def request(self, made: Sequence[VerifiedTransaction], path: str) -> bytes:
        if self.is_json:
            values = [transaction_to_json(one.transaction) for one in made]
            return post(path, msgspec.json.encode(values if self.batch > 1 else values[0]), _JSON)
        return post(path, codec.encode([one.raw for one in made]) if self.batch > 1 else made[0].raw, _MSGPACK)


SINGLES: Final = (
    Way("single as JSON, 64 connections", True, 64, 1, 10_000, 0.4),
    Way("single as bytes, one connection", False, 1, 1, 1_000, None),  # nobody to share a commit with
)
BATCHES: Final = (
    Way("batches of 100 as JSON", True, 8, 100, 20_000, 0.5),
    Way("batches of 100 as bytes", False, 8, 100, 20_000, 0.5),
    Way("batches of 1,000 as bytes, one connection", False, 1, 1_000, 20_000, 0.5),
)
WAYS: Final = (*SINGLES, *BATCHES)


@dataclass(frozen=True)
class Run:
    """Transfers a second, and those of the limit beside it; the share of one core that the clients took."""

    rate: float
    limit: float
    clients: float


def measure(options: Options) -> list[Figure]:
    """Raises RuntimeError when a node refuses a transfer."""
    runs = [run(options) for _ in range(options.runs)]
    figures = []
    for place, way in enumerate(WAYS):
        beside = "empty route, same requests" if way.batch == 1 else "signatures, two cores"
        rates, limits = [each[place].rate for each in runs], [each[place].limit for each in runs]
        figures.append(figure_beside(way.name, "tx/s", rates, limits, beside, better="more", target=way.target))
    for place, way in enumerate(WAYS):
        shares = [each[place].clients for each in runs]
        figures.append(figure(f"clients: {way.name}", "of a core", shares, better="less"))
    return figures


def run(options: Options) -> list[Run]:
    """One node from its start to its end, and each way in turn."""
    options.data.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(dir=options.data, prefix="admission-") as folder,
        hammer() as clients,
        empty_route(ANSWER_BYTES) as empty,
        follower(Path(folder)) as net,
    ):
        verified = _QUICK_LIMIT_COUNT if options.is_quick else _LIMIT_COUNT
        signed = signed_of(sample(net.genesis_hash, verified), net.genesis_hash)
        return [_way(way, options, clients, empty, net, signed) for way in WAYS]


def _way(way: Way, options: Options, clients: Hammer, empty: EmptyRoute, net: Network, signed: Sequence[Signed]) -> Run:
    """Limit, node, limit."""
    count = way.count // _QUICK_SHARE if options.is_quick else way.count
    (node,) = net.nodes
    made = _made(way, count, net)

    def struck(port: int, path: str) -> Told:
        queues = tuple(tuple(way.request(batch, path) for batch in queue) for queue in made)
        return clients.strike(Plan(port, queues))

    limit: Callable[[], float] = lambda: len(signed) / signatures_seconds(signed, 2)  # noqa: E731
    if way.batch == 1:
        limit = lambda: struck(empty.port, empty.path).rate  # noqa: E731
    before = limit()
    told = struck(node.api_port, PATH).check(_ACCEPTED)
    return Run(told.rate * way.batch, mean((before, limit())), told.cpu_seconds / told.seconds)


def _made(way: Way, count: int, net: Network) -> list[list[list[VerifiedTransaction]]]:
    """For each connection its batches. Every way and connection has senders of its own."""
    streams = sum(one.connections for one in WAYS)
    first = sum(one.connections for one in WAYS[: WAYS.index(way)])
    each = max(count // way.connections // way.batch, 1)

    def batches(made: Iterator[VerifiedTransaction]) -> list[list[VerifiedTransaction]]:
        return [[next(made) for _ in range(way.batch)] for _ in range(each)]

    return [
        batches(transfers(net.genesis_hash, senders_of(first + number, streams))) for number in range(way.connections)
    ]
