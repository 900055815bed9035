"""`make fuzz`: the targets in turn, so many at once as there are jobs, each in a process of its own for so long.

    python -m tests.fuzz --seconds 60 --jobs 2 [--only frame,verify] [--seed N]

A target that finds something fails the run; the others still get their turn. The input is kept in `.fuzz/NAME/`, and
the command that replays it is printed. What each target did goes into the record as a line.
"""

from __future__ import annotations

import argparse
import json
import secrets
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

from tests.fuzz.files import room_for_files
from tests.fuzz.target import NAMES
from tests.record_lines import append_record

FOLDER: Final = Path(".fuzz")
_FINDINGS: Final = ("crash-*", "timeout-*", "oom-*", "leak-*")
_START_SECONDS_MAX: Final = 180  # to import, instrumented, on a machine that has other things to do
_TAIL_LINES: Final = 25


class Outcome(NamedTuple):
    name: str
    executions: int
    taken: int  # by the decoder, as far as it told
    seconds: float
    slowest_s: float
    peak_rss_mib: int
    found: tuple[Path, ...]
    said: str

    @property
    def is_good(self) -> bool:
        return not self.found and not self.said


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="of each target")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default=",".join(NAMES))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31 - 1) + 1)
    given = parser.parse_args(arguments)
    names = given.only.split(",")
    assert set(names) <= set(NAMES), f"there are: {', '.join(NAMES)}"
    print(f"{len(names)} targets, {given.seconds} s each, seed {given.seed}", flush=True)
    with ThreadPoolExecutor(given.jobs) as pool:
        outcomes = list(pool.map(lambda name: _fuzz(name, given.seconds, given.seed), names))
    total = sum(one.executions for one in outcomes)
    print(f"{total:,} executions, {sum(not one.is_good for one in outcomes)} targets with findings")
    figures = {"seed": given.seed, "seconds": given.seconds, "jobs": given.jobs, "executions": total}
    append_record("fuzz", figures | {"targets": _rows(outcomes)})
    return 0 if all(one.is_good for one in outcomes) else 1


def _rows(outcomes: list[Outcome]) -> dict[str, dict[str, float]]:
    return {
        one.name: {
            "executions": one.executions,
            "taken": one.taken,
            "per_second": round(one.executions / max(one.seconds, 1)),
            "slowest_s": one.slowest_s,
            "peak_rss_mib": one.peak_rss_mib,
            "findings": len(one.found) or int(not one.is_good),
        }
        for one in outcomes
    }


def _fuzz(name: str, seconds: int, seed: int) -> Outcome:
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    before = _findings(folder)
    command = [sys.executable, "-m", "tests.fuzz.one", name, f"--folder={folder}", f"--seconds={seconds}"]
    log = folder / "log"
    began = time.monotonic()
    with log.open("wb") as output, room_for_files() as environment:
        ended = subprocess.run(
            [*command, f"--seed={seed}"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=seconds + _START_SECONDS_MAX,
            check=False,
        )
    text = log.read_text("utf-8", "replace")
    found = tuple(sorted(_findings(folder) - before))
    said = "" if ended.returncode == 0 else "\n".join(text.splitlines()[-_TAIL_LINES:])
    outcome = _outcome(name, folder, text, time.monotonic() - began, found, said)
    _show(outcome)
    return outcome


def _outcome(name: str, folder: Path, text: str, seconds: float, found: tuple[Path, ...], said: str) -> Outcome:
    figures = json.loads((folder / "figures.json").read_text("utf-8"))
    stats = dict(line[6:].split(":") for line in text.splitlines() if line.startswith("stat::"))
    executions = int(stats.get("number_of_executed_units", figures["executions"]))
    peak = int(stats.get("peak_rss_mb", 0))
    return Outcome(name, executions, figures["taken"], seconds, figures["slowest_s"], peak, found, said)


def _findings(folder: Path) -> set[Path]:
    return {path for pattern in _FINDINGS for path in folder.glob(pattern)}


def _show(one: Outcome) -> None:
    per_second = one.executions / max(one.seconds, 1)
    print(
        f"{one.name:<18} {one.executions:>9,} executions  {per_second:>7,.0f} a second  "
        f"{one.taken:>8,} taken  slowest {one.slowest_s:.3f} s  {one.peak_rss_mib} MiB",
        flush=True,
    )
    if one.said:
        print(one.said, flush=True)
    for path in one.found:
        print(f"REPLAY: {sys.executable} -m tests.fuzz.one {one.name} --replay {path}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
