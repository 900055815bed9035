"""`make power-cuts`: the power goes at thousands of moments of recorded histories. Prints the seed and the figures.

CUTS=20000 (different states of the disk, each opened), JOBS=2, SEED= of an earlier run, UNIT= of the one history of
it that failed, PLANT= the name of something to break, which has to be found. Appends a line to
tests/records/power-cuts.jsonl, unless something is planted, one unit is repeated, or RECORD is empty.
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import count, islice
from typing import Final

from tests.asked import asked
from tests.powercuts.sitting import PLANTS, Sitting, Unit, run_unit
from tests.record_lines import append_record

UNIT_CUTS: Final = 100  # of one history, at most
LOST_SHOWN: Final = 3  # of one history


def take(sitting: Sitting, unit: Unit, result: Sitting) -> None:
    """Add what came of a unit, and say what was lost and how to see it again."""
    sitting.add(result)
    for line in result.lost[:LOST_SHOWN]:
        print(f"LOST: {line}\n  again: make power-cuts SEED={unit.seed} UNIT={unit.number}", flush=True)


def main() -> int:
    cuts, jobs = asked("CUTS", 20_000, 1), asked("JOBS", 2, 1)
    seed = asked("SEED", secrets.randbits(32))
    plant, only = os.environ.get("PLANT", ""), os.environ.get("UNIT", "")
    assert plant in ("", *PLANTS), f"PLANT is one of {', '.join(PLANTS)}"
    print(f"SEED={seed} CUTS={cuts} JOBS={jobs}" + (f" PLANT={plant}" if plant else ""), flush=True)
    began = time.monotonic()
    sitting = Sitting()
    if only:
        take(sitting, *run_unit(Unit(seed, int(only), UNIT_CUTS, plant)))
    with ProcessPoolExecutor(jobs) as pool:  # a process that is killed ends it: multiprocessing's would wait
        numbers = count()
        while not only and sitting.cuts < cuts:
            wave = islice(numbers, -(-(cuts - sitting.cuts) // UNIT_CUTS))
            units = [Unit(seed, number, min(cuts, UNIT_CUTS), plant) for number in wave]
            for done in as_completed([pool.submit(run_unit, unit) for unit in units]):
                take(sitting, *done.result())
    seconds = time.monotonic() - began
    print(f"{sitting.cuts} different states of the disk after {sitting.drawn} cuts of {sitting.histories} histories")
    print(f"{sitting.operations} operations; {dict(sorted(sitting.by_play.items()))}; {seconds:.0f} s")
    lived = f"{sitting.lives} validators lived on, {sitting.rots} of them without the newest slot of their record"
    print(f"{sitting.audits} chains checked from genesis on, {lived}")
    print(f"{len(sitting.lost)} violations")
    if not plant and not only and os.environ.get("RECORD", "yes"):
        append_record("power-cuts", {"seed": seed, **sitting.figures(), "seconds": round(seconds)})
    return 1 if sitting.lost else 0


if __name__ == "__main__":
    sys.exit(main())
