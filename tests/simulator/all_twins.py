"""`make twins`: every Twins scenario of both plans, and drawn ones with other forgers, kills and a lying twin.

JOBS= processes (2). SAMPLE= so many scenarios of each kind instead of all, drawn with SEED= (afresh, and printed).
A run ends with a verdict, and with exit code 1 where anything conflicts or is wrong though no bug was planted.
MUTANT= one of `twin_bugs.BUGS`, with which conflicting final blocks are counted, or "all". What a run came to is
appended to tests/records/twins.jsonl. A run that was cut short goes on where it was: finished parts lie in
.twins-parts.jsonl, which is of this code and seed alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

from msgspec import Struct, structs

from blockchain.simulator.twins.play import PRODUCTION, Outcome, play
from blockchain.simulator.twins.scenario import Plan, Scenario, count, enumerated, sampled, words
from tests.asked import asked
from tests.simulator.twin_bugs import BUGS, LIAR

ROOT: Final = Path(__file__).resolve().parent.parent.parent
RECORDS: Final = ROOT / "tests" / "records" / "twins.jsonl"
PARTS: Final = ROOT / ".twins-parts.jsonl"
CHUNK: Final = 675  # scenarios: some six seconds, and a 75th of a plan
DRAWN: Final = 6_750  # of each plan, beside all of it: with other forgers, kills, every second one with a lying twin
EXERCISED: Final = (
    "blockchain/consensus",
    "blockchain/primitives",
    "blockchain/simulator/twins",
    "tests/simulator/twin_bugs.py",
)


class Chunk(Struct, frozen=True):
    """A part of a run. `drawn`: each number is the seed of a scenario that is drawn, and not its place in the plan."""

    plan: Plan
    drawn: bool
    numbers: tuple[int, ...]


def chunks(sample: int, seed: int) -> Iterator[Chunk]:
    """All parts of a run; `sample` scenarios of each kind, or 0 for all."""
    rng = Random(seed)
    for plan in Plan:
        for drawn in (False, True):
            if drawn:
                numbers = tuple(rng.randrange(1 << 48) for _ in range(sample or DRAWN))
            else:
                numbers = tuple(rng.randrange(count()) for _ in range(sample)) if sample else tuple(range(count()))
            for first in range(0, len(numbers), CHUNK):
                yield Chunk(plan, drawn, numbers[first : first + CHUNK])


def play_chunk(chunk: Chunk, mutant: str) -> Counter[str]:
    """What the scenarios of a part came to; what is wrong is printed, unless a bug was planted."""
    total: Counter[str] = Counter()
    for number in chunk.numbers:
        scenario, outcome = _play(chunk, number, mutant)
        total.update(counts(outcome))
        if not mutant and (outcome.conflicts or outcome.wrong):
            kind = "drawn" if chunk.drawn else "enumerated"
            print(f"{chunk.plan.value} {kind} {number}: {outcome}\n{words(scenario)}", flush=True)
    return total


def _play(chunk: Chunk, number: int, mutant: str) -> tuple[Scenario, Outcome]:
    scenario = sampled(Random(number), chunk.plan) if chunk.drawn else enumerated(number, chunk.plan)
    if mutant:
        bug = BUGS[mutant]
        scenario = structs.replace(scenario, stakes=bug.stakes, restarts=bug.restarts or scenario.restarts)
        return scenario, play(scenario, bug.making, bug.twin)
    return scenario, play(scenario, PRODUCTION, LIAR if chunk.drawn and number % 2 else None)


def counts(outcome: Outcome) -> dict[str, int]:
    """One outcome as counts that add up. `wrong`: with anything wrong but a conflict."""
    return {
        "scenarios": 1,
        "conflicts": outcome.conflicts,
        "wrong": bool(outcome.wrong),
        f"round {outcome.decided_round}": 1,
        f"last round {outcome.last_round}": 1,
        "spoilt": outcome.spoilt,
        "locks": outcome.locks,
        "reproposals": outcome.reproposals,
        "past decisions": outcome.past_decisions,
        "syncs": outcome.syncs,
        "refusals": outcome.refusals,
        "offended": outcome.offended,
        "accusers": outcome.accusers,
    }


# ------------------------------------------------------------------------------------------------ the long run


def run(mutant: str, sample: int, seed: int, jobs: int) -> dict[str, Counter[str]]:
    """Play all parts that are not finished yet, and add up by kind."""
    totals: dict[str, Counter[str]] = {}
    identity = _identity(mutant, sample, seed)
    finished = _finished(identity)
    parts = list(enumerate(chunks(sample, seed)))
    with ProcessPoolExecutor(jobs) as pool:
        asked = {pool.submit(play_chunk, chunk, mutant): at for at, chunk in parts if at not in finished}
        for done, future in enumerate(as_completed(asked), 1):
            finished[asked[future]] = future.result()
            with PARTS.open("a") as file:
                file.write(json.dumps([identity, asked[future], future.result()]) + "\n")
            if done % 10 == 0:
                print(f"{mutant or 'production'}: {done} of {len(asked)} parts", flush=True)
    for at, chunk in parts:
        totals.setdefault(f"{chunk.plan.value}{', drawn' if chunk.drawn else ''}", Counter()).update(finished[at])
    return totals


def _identity(mutant: str, sample: int, seed: int) -> str:
    """Of a run: the same code with the same seed."""
    digest = sha256(f"{mutant} {sample} {seed}".encode())
    for name in EXERCISED:
        path = ROOT / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _finished(identity: str) -> dict[int, Counter[str]]:
    lines = PARTS.read_text().splitlines() if PARTS.exists() else []
    rows = (json.loads(line) for line in lines if line.endswith("}]"))
    return {at: Counter(total) for of, at, total in rows if of == identity}


def _record(mutant: str, sample: int, seed: int, seconds: float, totals: dict[str, Counter[str]]) -> None:
    git = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    row = {
        "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip(),
        "mutant": mutant,
        "seed": seed,
        "sample": sample,
        "seconds": round(seconds),
        "counts": {kind: dict(sorted(total.items())) for kind, total in totals.items()},
    }
    RECORDS.parent.mkdir(exist_ok=True)
    with RECORDS.open("a") as file:
        file.write(json.dumps(row) + "\n")


def verdict(mutant: str, totals: dict[str, Counter[str]]) -> str:
    """What a run came to, in a line. With a bug planted, conflicts are what is looked for."""
    total = sum(totals.values(), Counter())
    conflicts, wrong = total["conflicts"], total["wrong"]
    found = f"{conflicts} conflicts" if conflicts else "no conflict"
    besides = f", {wrong} with something else wrong" if wrong else ", nothing else wrong"
    with_bug = f" with the bug {mutant}" if mutant else besides
    return f"{found} in {total['scenarios']:,} scenarios{with_bug}"


def main() -> int:
    jobs, sample = asked("JOBS", 2, 1), asked("SAMPLE", 0)
    seed = asked("SEED", SystemRandom().randrange(1 << 31) if sample else 1)
    name = os.environ.get("MUTANT", "")
    if name not in ("", "all", *BUGS):
        print(f"no bug has the name {name}; there are: {', '.join(BUGS)}")
        return 2
    is_broken = False
    for mutant in BUGS if name == "all" else (name,):
        print(f"{mutant or 'production'}: SEED={seed} SAMPLE={sample} JOBS={jobs}")
        begun = time.monotonic()
        totals = run(mutant, sample, seed, jobs)
        _record(mutant, sample, seed, time.monotonic() - begun, totals)
        for kind, total in totals.items():
            print(f"  {kind}: " + ", ".join(f"{name} {total[name]}" for name in sorted(total)))
        print(verdict(mutant, totals), flush=True)
        is_broken |= not mutant and any(total["wrong"] or total["conflicts"] for total in totals.values())
    PARTS.unlink(missing_ok=True)
    return 1 if is_broken else 0


if __name__ == "__main__":
    sys.exit(main())
