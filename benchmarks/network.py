"""How many transfers a second do four validators make final, and is nothing lost?

Four validators as four processes on this machine, signed transfers handed in over HTTP in batches to all of them, a
quarter each, for a minute; a transfer counts when it is final on all four. Held against a quarter of what two cores
verify, since each node verifies everything. Afterwards the stores are read: everything that was acknowledged has to
stand in each of them, in the same blocks. Then less and less than that is offered, for the curve of throughput and time
to finality against load.

The chain is one that is made for such a load: its blocks take 2,500 transactions instead of 1,000. What a block costs
however little is in it (rounds, signatures on the disk, commits) is a tenth of a transaction's CPU then, and a fifth
with 1,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.accounting import Chain, Heights, is_one_chain, lost, percentile
from benchmarks.apart import apart
from benchmarks.cpu import cpu_seconds
from benchmarks.figures import Better, Figure, figure, figure_beside
from benchmarks.limits import Signed, signatures_seconds, signed_of
from benchmarks.load import BATCH, Plan, Told, drive
from benchmarks.nodes import VALIDATORS, network
from benchmarks.options import Options
from benchmarks.transfers import sample
from benchmarks.watching import watched
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Hash32

NAME: Final = "network"
SECONDS: Final = 60.0
STEP_SECONDS: Final = 20.0  # of each load of the curve
QUICK_SECONDS: Final = 5.0
SHARES: Final = (0.1, 0.25, 0.5, 0.75, 0.9)  # of what they carry
QUICK_SHARES: Final = (0.5,)
PARAMETERS: Final = Parameters(block_max_transactions=2_500)
BEHIND_MAX: Final = 2  # blocks
STEP_BATCH: Final = 25  # smaller where less is offered: a load that comes evenly
_LIMIT_COUNT: Final = 20_000
_QUICK_LIMIT_COUNT: Final = 2_000
_DRAIN_SECONDS: Final = 120.0
_MORE: Final = 1.5  # times what the last run carried is signed for the next
_MS: Final = 1e3
_US: Final = 1e6
_PERCENTILES: Final = (("median", 0.5), ("p99", 0.99))
_ANY_CHAIN: Final = Hash32(bytes(32))


@dataclass(frozen=True)
class Run:
    """What one run came to. Rates are transactions a second, seconds are those of one transaction."""

    rate: float
    lost: int
    behind: int
    cpu: float | None  # of a node
    client_cpu: float
    durable: tuple[float, ...]  # from POST to its answer
    final: tuple[float, ...]  # from POST to final on all
    again: int  # transfers that were not taken at once
    is_dry: bool  # the clients had nothing left before the end


def measure(options: Options) -> list[Figure]:
    """Raises RuntimeError when the stores of two nodes disagree."""
    seconds = QUICK_SECONDS if options.is_quick else SECONDS
    verified = _QUICK_LIMIT_COUNT if options.is_quick else _LIMIT_COUNT
    signed = signed_of(sample(_ANY_CHAIN, verified), _ANY_CHAIN)
    limits = [_limit(signed)]
    runs: list[Run] = []
    for _ in range(options.runs):
        most = runs[-1].rate * _MORE if runs else limits[-1].rate
        runs.append(run(options.data, seconds, round(most * seconds)))
        limits.append(_limit(signed))
    beside = [_Limit(mean((a.rate, b.rate)), mean((a.cpu, b.cpu))) for a, b in pairwise(limits)]
    return _figures(runs, beside) + _curve(options, mean(one.rate for one in runs))


def run(data: Path, seconds: float, count: int, rate: float | None = None) -> Run:
    """One network from its start to its end: `count` transfers at most, as fast as it takes them or at a rate."""
    data.mkdir(parents=True, exist_ok=True)
    batch = BATCH if rate is None else STEP_BATCH
    with (
        TemporaryDirectory(dir=data, prefix="network-") as folder,
        apart(drive) as clients,
        network(Path(folder), parameters=PARAMETERS) as net,
        watched(net) as heights,
    ):
        ports = tuple(node.api_port for node in net.nodes)
        clients.tell(Plan(ports, net.genesis_hash, seconds, count, batch, rate))
        clients.hear(str)
        before = cpu_seconds(net.pids())
        clients.tell("go")
        told = clients.hear(Told)
        net.drain(_DRAIN_SECONDS)
        after = cpu_seconds(net.pids())
        chains = net.end()
    return run_of(told, heights, chains, None if before is None or after is None else after - before)


def run_of(told: Told, heights: Heights, chains: Sequence[Chain], cpu: float | None) -> Run:
    """What was seen, as figures. Raises RuntimeError when the chains are not one.

    What counts is final on all when the clients end; where they had nothing left, all that they sent.
    """
    if not is_one_chain(chains):
        raise RuntimeError("the stores of the nodes hold different blocks")
    final, height_of = heights.final_times(), chains[0].height_of()
    ended = max(final.values(), default=told.ended) if told.is_dry else told.ended
    first, last = heights.at(told.begun), heights.at(ended)
    places = ((sent, height_of.get(one)) for sent in told.sent for one in sent.ids)
    return Run(
        rate=chains[0].count(first, last) / (ended - told.begun),
        lost=lost((one for sent in told.sent for one in sent.ids), chains),
        behind=heights.behind_max(),
        cpu=None if cpu is None else cpu / told.count / len(chains),
        client_cpu=told.cpu_seconds / told.count,
        durable=tuple(sent.answered - sent.begun for sent in told.sent),
        final=tuple(final[height] - sent.begun for sent, height in places if height in final),
        again=sum(told.refused.values()),
        is_dry=told.is_dry,
    )


@dataclass(frozen=True)
class _Limit:
    rate: float  # signatures a second that two cores verify, a share for each node
    cpu: float  # seconds of one core for one


def _limit(signed: Sequence[Signed]) -> _Limit:
    rate = len(signed) / signatures_seconds(signed, 2) / VALIDATORS
    return _Limit(rate, signatures_seconds(signed, 1) / len(signed))


def _figures(runs: Sequence[Run], limits: Sequence[_Limit]) -> list[Figure]:
    rates = [one.rate for one in limits]
    beside = "signatures, two cores, a quarter"
    figures = [
        figure_beside("final on all", "tx/s", [one.rate for one in runs], rates, beside, better="more", target=0.5),
        figure("lost", "transfers", [float(one.lost) for one in runs], better="less", target=0.0),
        figure("most behind", "blocks", [float(one.behind) for one in runs], better="less", target=BEHIND_MAX),
    ]
    used = [one.cpu * _US for one in runs if one.cpu is not None]
    if len(used) == len(runs):
        one_core = [one.cpu * _US for one in limits]
        figures.append(figure_beside("CPU a node", "us/tx", used, one_core, "one signature, one core", better="less"))
    figures += [
        figure("CPU of the clients", "us/tx", [one.client_cpu * _US for one in runs], better="less"),
        figure("not taken at once", "transfers", [float(one.again) for one in runs], better="less"),
        figure("ran out of signed transfers", "runs", [float(sum(one.is_dry for one in runs))], better="less"),
    ]
    for name, share in _PERCENTILES:
        durable = [percentile(one.durable, share) * _MS for one in runs]
        final = [percentile(one.final, share) * _MS for one in runs]
        figures.append(figure(f"POST of a batch to durable, {name}", "ms", durable, better="less"))
        figures.append(figure(f"POST to final on all, {name}", "ms", final, better="less"))
    return figures


def _curve(options: Options, carried: float) -> list[Figure]:
    """Throughput and finality against load: points at what is offered, in transfers a second."""
    seconds = QUICK_SECONDS if options.is_quick else STEP_SECONDS
    figures = []
    for share in QUICK_SHARES if options.is_quick else SHARES:
        offered = round(share * carried)
        one = run(options.data, seconds, round(offered * seconds), offered)
        figures.append(_point("throughput: final on all", "tx/s", one.rate, "more", offered, share))
        for name, part in _PERCENTILES:
            figures.append(
                _point(f"time to finality: {name}", "ms", percentile(one.final, part) * _MS, "less", offered, share)
            )
    return figures


def _point(series: str, unit: str, value: float, better: Better, offered: int, share: float) -> Figure:
    name = f"{series.replace(':', ',')}, at {share:.0%} of the load"
    return figure(name, unit, [value], better=better, series=series, at=float(offered))
