"""What a sitting came to: docs/endurance.md, its plot, and the samples beside the record of the sittings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from blockchain.runtime.sqlite_file import CACHE_KIB
from tests.endurance.plot import Panel, svg
from tests.endurance.samples import Sample, write_csv
from tests.endurance.verdict import WARM_UP, Growth
from tests.record_lines import PROJECT

HELD_SHARE: Final = 0.95  # of what was offered has to become final
STORED_BYTES: Final = (
    350  # of a transaction in the store, at least: docs/operating.md says 430 with its share of a block
)
# Until so many are final, what rises is the page caches of SQLite, one of the connection that writes and one of that
# which reads: only then a sitting can tell a leak from them.
SETTLED_TRANSACTIONS: Final = 2 * CACHE_KIB * 1024 // STORED_BYTES

_MIB: Final = 1024
_TEXT: Final = """# Endurance

`make endurance` starts four validators as processes, finds out what they carry together (more and more is offered for
twenty seconds each, until twice in a row less than 90 % of it becomes final), and then offers 80 % of the most that did
for `MINUTES` (60). Nodes run with the default parameters of a chain and log warnings only. From outside, Linux's
`/proc` is looked at every few seconds: resident memory, descriptors and threads of each node, and the files of its
folder. How many tasks a node has is not visible from outside. This page, its plot and
[the samples](../tests/records/endurance.csv) are written by the sitting; all sittings have a line in
[endurance.jsonl](../tests/records/endurance.jsonl).

**The rule.** The first third is warm-up. Through the samples of the other two thirds goes the line of least squares.
Over their length it may rise by 5 % of the mean or 8 MiB for memory, whichever is more, and by 2 for descriptors and
threads. All that was acknowledged has to be final at the end, and 95 % of what was offered has to become final while
it is offered. The store grows with the chain, and is no part of the rule. What rises first is the page caches of
SQLite, {cache} MiB for the connection that writes and as much for the one that reads: they fill with the chain, some
{stored} bytes a transaction. So a sitting says something of memory only if {settled:,} transactions become final in its
warm-up.

## The newest sitting

{minutes:g} minutes on {cores} processors. The network carried {carried:.0f} transactions a second; {offered:.0f} were
offered, {held:.0f} became final, {final:,} in all, in {blocks:,} blocks. Verdict: **{verdict}**.

| Node | What | Mean | Rise | Allowed |
|---|---|---|---|---|
{rows}

![Memory, descriptors, threads and store of each node over time](endurance.svg)
"""


@dataclass(frozen=True)
class Sitting:
    """Rates are transactions a second."""

    minutes: float
    cores: int
    carried: float
    offered: float
    held: float
    acknowledged: int
    final: int
    blocks: int
    growths: tuple[Growth, ...]

    @property
    def is_settled(self) -> bool:
        """Whether what is held fills the caches in the warm-up."""
        return self.held * self.minutes * 60 * WARM_UP >= SETTLED_TRANSACTIONS

    @property
    def verdict(self) -> str:
        if self.faults:
            return "; ".join(self.faults)
        return "flat" if self.is_settled else "too short to tell of memory; all else is flat"

    @property
    def faults(self) -> list[str]:
        counted = [growth for growth in self.growths if self.is_settled or growth.what != "memory"]
        found = [f"{growth.what} of {growth.node} grows" for growth in counted if not growth.is_flat]
        if self.held < HELD_SHARE * self.offered:
            found.append(f"only {self.held:.0f} of {self.offered:.0f} a second became final")
        if self.final != self.acknowledged:
            found.append(f"{self.acknowledged} were acknowledged and {self.final} became final")
        return found


def write(sitting: Sitting, samples: list[Sample], docs: Path, records: Path = PROJECT / "tests" / "records") -> None:
    records.mkdir(exist_ok=True)
    write_csv(samples, records / "endurance.csv")
    (docs / "endurance.svg").write_text(picture(samples), encoding="utf-8", newline="\n")
    (docs / "endurance.md").write_text(page(sitting), encoding="utf-8", newline="\n")


def page(sitting: Sitting) -> str:
    return _TEXT.format(
        minutes=sitting.minutes,
        cores=sitting.cores,
        carried=sitting.carried,
        offered=sitting.offered,
        held=sitting.held,
        final=sitting.final,
        blocks=sitting.blocks,
        verdict=sitting.verdict,
        cache=CACHE_KIB // 1024,
        stored=STORED_BYTES,
        settled=SETTLED_TRANSACTIONS,
        rows="\n".join(_row(growth) for growth in sitting.growths),
    )


def _row(growth: Growth) -> str:
    scale, unit = (_MIB, " MiB") if growth.what == "memory" else (1, "")
    figures = (growth.mean / scale, growth.rise / scale, growth.rise_max / scale)
    return f"| {growth.node} | {growth.what} | " + " | ".join(f"{figure:.1f}{unit}" for figure in figures) + " |"


def picture(samples: list[Sample]) -> str:
    nodes = list(dict.fromkeys(sample.node for sample in samples))
    minutes = {id(sample): sample.seconds / 60 for sample in samples}

    def lines(figure: dict[int, float]) -> dict[str, list[tuple[float, float]]]:
        return {node: [(minutes[id(one)], figure[id(one)]) for one in samples if one.node == node] for node in nodes}

    panels = [
        Panel("Memory, MiB", lines({id(one): one.rss_kib / _MIB for one in samples})),
        Panel("Descriptors", lines({id(one): float(one.descriptors) for one in samples})),
        Panel("Threads", lines({id(one): float(one.threads) for one in samples})),
        Panel("Store, MiB", lines({id(one): one.store_bytes / 2**20 for one in samples})),
    ]
    return svg(panels, max(one.seconds for one in samples) / 60 * WARM_UP)
