"""Four validators under load for an hour: `make endurance`, or `python -m tests.endurance`, with `MINUTES=60`.

Linux only. 1 when something grows that should not. Below `DOCUMENTED_MINUTES` it is a trial, and leaves docs alone.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from blockchain.primitives.chain import Parameters
from tests.asked import asked
from tests.endurance.payers import Payer, paying
from tests.endurance.ramp import carried_rate, final_count
from tests.endurance.report import Sitting, write
from tests.endurance.samples import Sample, sampled
from tests.endurance.verdict import growths
from tests.processes.checks import end_all
from tests.processes.network import Network, network
from tests.processes.waiting import wait_until
from tests.record_lines import PROJECT, append_record

VALIDATORS: Final = 4
SHARE: Final = 0.8  # of what the network carries
SAMPLES: Final = 360  # of each node, whatever the length
DOCUMENTED_MINUTES: Final = 4.0
_EVERY_SECONDS_MIN: Final = 2.0
_DRAIN_SECONDS: Final = 120.0


def main() -> int:
    if not Path("/proc/self/status").exists():
        print("endurance: looks at processes through Linux's /proc, which is not here", file=sys.stderr)
        return 2
    minutes = asked("MINUTES", 60, 1)
    with tempfile.TemporaryDirectory(prefix="endurance-") as folder:
        sitting, samples = _sit(Path(folder), minutes)
    docs = PROJECT / "docs" if minutes >= DOCUMENTED_MINUTES else Path(tempfile.mkdtemp(prefix="endurance-trial-"))
    records = PROJECT / "tests" / "records" if minutes >= DOCUMENTED_MINUTES else docs
    write(sitting, samples, docs, records)
    append_record("endurance", {**asdict(sitting), "verdict": sitting.verdict})
    for growth in sitting.growths:
        print(f"  {growth.node} {growth.what}: {growth.mean:.0f}, rises by {growth.rise:.1f} of {growth.rise_max:.1f}")
    print(f"{sitting.verdict}: {docs / 'endurance.md'}")
    return 1 if sitting.faults else 0


def _sit(folder: Path, minutes: float) -> tuple[Sitting, list[Sample]]:
    with network(folder, VALIDATORS, Parameters()) as net:
        for node in net.nodes:
            node.environment["BLOCKCHAIN_LOG_LEVEL"] = "warning"
        net.start_all()
        net.wait_connected()
        with paying(net, net.wallets) as (pace, payers):
            carried = carried_rate(net, pace)
            pace.rate = 0.0
            _drain(net)
            pace.rate = SHARE * carried
            print(f"  carried {carried:.0f} a second; {pace.rate:.0f} are held for {minutes:g} minutes", flush=True)
            with sampled(net, max(_EVERY_SECONDS_MIN, minutes * 60 / SAMPLES)) as samples:
                held, blocks = _hold(net, minutes)
        _drain(net, most=0)
        final = final_count(net, net.wallets)
        end_all(net)
    sitting = Sitting(
        minutes=minutes,
        cores=os.cpu_count() or 1,
        carried=round(carried, 1),
        offered=round(SHARE * carried, 1),
        held=round(held, 1),
        acknowledged=_acknowledged(payers),
        final=final,
        blocks=blocks,
        growths=tuple(growths(samples.taken)),
    )
    return sitting, samples.taken


def _hold(net: Network, minutes: float) -> tuple[float, int]:
    """What became final a second, and how many blocks it took."""
    began, before, first = time.monotonic(), final_count(net, net.wallets), net.height()
    while (passed := time.monotonic() - began) < minutes * 60:
        time.sleep(min(60.0, minutes * 60 - passed))
        rate = (final_count(net, net.wallets) - before) / (time.monotonic() - began)
        print(f"  {(time.monotonic() - began) / 60:.1f} min: {rate:.0f} a second, height {net.height()}", flush=True)
    rate = (final_count(net, net.wallets) - before) / (time.monotonic() - began)
    return rate, net.height() - first


def _drain(net: Network, most: int = 1_000) -> None:
    """Until the pools have let go of what was offered too much."""

    def look() -> bool:
        statuses = [node.status() for node in net.nodes]
        return all(status is not None and status.pool.pending <= most for status in statuses)

    wait_until(f"pools of at most {most}", look, _DRAIN_SECONDS)


def _acknowledged(payers: list[Payer]) -> int:
    refused = sum((payer.refused for payer in payers), start=type(payers[0].refused)())
    if refused:
        print(f"  asked again, since not taken at once: {dict(refused)}")
    return sum(payer.acknowledged for payer in payers)


if __name__ == "__main__":
    sys.exit(main())
