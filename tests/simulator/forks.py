"""`make forks`: more than a third and less than two thirds hostile, so that the chain forks; is enough of them named?

PLOTS= so many plots of each kind (100), drawn from SEED= (afresh, and printed), spread over JOBS= processes (2). What a
run came to is appended to tests/records/forks.jsonl. A plot that fails prints itself: `draw_plot` draws it again.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from random import Random, SystemRandom
from typing import Final

from blockchain.simulator.byzantine.plot import KINDS, Kind, draw_plot, play_plot
from blockchain.simulator.world import Violation
from tests.asked import asked
from tests.record_lines import append_record

CHUNK: Final = 10  # plots that a process gets at once

Job = tuple[int, Kind]


def play(job: Job) -> Counter[str]:
    """What one plot came to; a Violation is printed and counted."""
    seed, kind = job
    try:
        findings = play_plot(draw_plot(seed, kind)).findings
    except Violation as violation:
        print(f"{kind} {seed}: {violation}", flush=True)
        return Counter({"violations": 1})
    by_evidence = 3 * findings.guilty_stake > findings.total
    return Counter({"forks": 1, "by_evidence" if by_evidence else "by_claims": 1})


def main() -> int:
    plots = asked("PLOTS", 100, 1)
    seed = asked("SEED", SystemRandom().randrange(1 << 48))
    print(f"{plots} plots of each of {', '.join(KINDS)}; SEED={seed}", flush=True)
    rng = Random(seed)
    jobs: list[Job] = [(rng.randrange(1 << 48), kind) for kind in KINDS for _ in range(plots)]
    began = time.monotonic()
    total: Counter[str] = Counter()
    with ProcessPoolExecutor(asked("JOBS", 2, 1)) as pool:
        for counts in pool.map(play, jobs, chunksize=CHUNK):
            total.update(counts)
    figures = {name: total[name] for name in ("forks", "by_evidence", "by_claims", "violations")}
    print(figures, flush=True)
    append_record("forks", {"seed": seed, "plots": plots, "seconds": round(time.monotonic() - began), **figures})
    print(verdict(total), flush=True)
    return 1 if total["violations"] else 0


def verdict(total: Counter[str]) -> str:
    """What a run came to, in a line."""
    if total["violations"]:
        return f"{total['violations']} of {total['forks'] + total['violations']} plots broke a rule: printed above"
    return (
        f"no rule broken in {total['forks']} forks: each names validators of more than a third of the stake, "
        f"{total['by_evidence']} by evidence and {total['by_claims']} with their claims, and nobody honest"
    )


if __name__ == "__main__":
    sys.exit(main())
