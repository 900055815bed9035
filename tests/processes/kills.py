"""`make kills`: SIGKILL at every named point, each KILLS times. Prints the seed and the figures.

KILLS=20 a point, which makes more than 2,000, JOBS=2, SEED= of an earlier run, POINT= for one of them alone. Appends a
line to tests/records/kills.jsonl, unless it is one point alone or RECORD is empty.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from blockchain.primitives.vote import Vote, VoteStep
from tests.asked import asked
from tests.processes.contradictions import check_said
from tests.processes.kill_points import VALIDATOR_POINTS
from tests.processes.killed_errands import ERRANDS, kill_errand
from tests.processes.killed_validator import kill_often, read_said
from tests.record_lines import append_record

_MEMORY: Final = Path("/dev/shm")
VALIDATOR: Final = "a validator"


@dataclass(frozen=True)
class Task:
    """One point."""

    what: str  # VALIDATOR, or one of ERRANDS
    point: str
    kills: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.what}: {self.point}"


@dataclass(frozen=True)
class Done:
    """What came of it. `tempted`: prevotes for a block after a lock in an earlier round."""

    task: Task
    why: str = ""  # it failed
    lives: int = 0
    said: int = 0
    locks: int = 0
    tempted: int = 0


def run_task(task: Task) -> Done:
    logging.disable(logging.CRITICAL)  # many a round times out in these lives
    folder = Path(tempfile.mkdtemp(prefix="kills-", dir=_MEMORY if _MEMORY.is_dir() else None))
    try:
        if task.what == VALIDATOR:
            lives = kill_often(folder / "node", task.point, task.kills, task.seed)
            return _of_validator(task, lives, folder / "node" / "said")
        return Done(task, lives=kill_errand(folder / "errand", task.what, task.point, task.kills, task.seed))
    except Exception as error:
        return Done(task, why=f"{type(error).__name__}: {error}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _of_validator(task: Task, lives: int, path: Path) -> Done:
    said = set(read_said(path))
    check_said(said)
    votes = [one for one in said if isinstance(one, Vote) and one.block_id is not None]
    locked = {(vote.height, vote.round) for vote in votes if vote.step is VoteStep.PRECOMMIT}
    prevotes = {(vote.height, vote.round) for vote in votes if vote.step is VoteStep.PREVOTE}
    tempted = {place for place in prevotes if any(place[0] == height and place[1] > at for height, at in locked)}
    return Done(task, lives=lives, said=len(said), locks=len(locked), tempted=len(tempted))


def tasks_of(kills: int, seed: int, only: str) -> list[Task]:
    places = [(VALIDATOR, point) for point in VALIDATOR_POINTS]
    places += [(name, point) for name, errand in ERRANDS.items() for point in errand.points]
    chance = Random(seed)
    tasks = [Task(what, point, kills, chance.getrandbits(32)) for what, point in places]
    return [task for task in tasks if only in ("", task.name)]


def sum_up(done: Iterable[Done]) -> dict[str, object]:
    """The figures; what failed is said at once, with how to see it again."""
    found: list[Done] = []
    for one in done:
        found.append(one)
        if one.why:
            print(f"FAILED: {one.task.name}: {one.why}", flush=True)
    good = [one for one in found if not one.why]
    return {
        "points": len(found),
        "kills": sum(one.task.kills for one in good),
        "kills_a_point": min((one.task.kills for one in good), default=0),
        **{name: sum(getattr(one, name) for one in good) for name in ("lives", "said", "locks", "tempted")},
        "failed": [one.task.name for one in found if one.why],
    }


def main() -> int:
    kills, jobs = asked("KILLS", 20, 1), asked("JOBS", 2, 1)
    seed, only = asked("SEED", secrets.randbits(32)), os.environ.get("POINT", "")
    tasks = tasks_of(kills, seed, only)
    if not tasks:
        raise SystemExit(f"there is no point {only}: {', '.join(task.name for task in tasks_of(1, 0, ''))}")
    print(f"SEED={seed} KILLS={kills} at each of {len(tasks)} points, JOBS={jobs}", flush=True)
    began = time.monotonic()
    with ProcessPoolExecutor(jobs) as pool:  # a process that is killed ends it: multiprocessing's would wait
        running = [pool.submit(run_task, task) for task in tasks]
        figures = sum_up(done.result() for done in as_completed(running))
    seconds = round(time.monotonic() - began)
    print(f"{figures['kills']} kills at {figures['points']} points in {figures['lives']} lives, {seconds} s")
    print(f"{figures['said']} signed messages, {figures['locks']} locks, {figures['tempted']} prevotes after one")
    print(f"{len(figures['failed'])} failed")  # type: ignore[arg-type]
    if not only and os.environ.get("RECORD", "yes"):
        append_record("kills", {"seed": seed, **figures, "seconds": seconds})
    return 1 if figures["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
