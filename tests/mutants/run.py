"""Plants the bugs of a register one by one, each in a copy of the checkout, and says which of them a test catches.

    python -m tests.mutants.run [--register mutants] [--only NAME,NAME…] [--jobs 2] [--without_demo]

First the tests that the register names must pass without any bug. Then, for each bug: `python -m blockchain demo
--once` must still pass with it, else it does not count; and the test that it names must fail. Ends with 1 unless all
are caught, and appends a line to `tests/records/<register>.jsonl`, after Ctrl-C too: the rest may be tried later.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from blockchain.commands.processes import interruptible
from tests.mutants.copies import Commands, Done, Stopped, copy_with, make_pattern
from tests.mutants.planted import Mutant, NotPlantable
from tests.mutants.register import REGISTERS
from tests.record_lines import append_record, sitting
from tests.test_demo import three_free_ports

PROJECT: Final = Path(__file__).resolve().parent.parent.parent
ENDED = 130  # by Ctrl-C
PASSED, FAILED = 0, 1  # pytest's exit codes; others say that it could not run what it was asked to
TEST_SECONDS: Final = 180.0  # for one narrow test, on a machine that does other things
SOUND_SECONDS: Final = 1_200.0  # for all that a register names, together
DEMO_SECONDS: Final = 240.0  # its own dead-lines add up to less


class Verdict(Enum):
    """What became of one planted bug. Only the first is good."""

    CAUGHT = "caught"
    SURVIVED = "survived"  # its test passes with the bug
    SEEN_BY_DEMO = "seen by the demo"  # too coarse to count
    BROKEN = "broken"  # not plantable, or its test did not run to an end


@dataclass(frozen=True, slots=True)
class Tried:
    """One bug's verdict, with the last of what was said where it is not the good one."""

    mutant: Mutant
    verdict: Verdict
    said: str = ""


def judge(name: str, demo: Done | None, test: Done) -> Verdict:
    """`demo` is None where it was not run. Caught is what the test called `name` failed by, and by no other mishap.

    Code that does not even load, an end before the test has begun, and a test that takes too long, show nothing.
    """
    if demo is not None and demo.code != 0:
        return Verdict.SEEN_BY_DEMO
    if test.code == FAILED and f"\nFAILED {name}" in test.output:
        return Verdict.CAUGHT
    return Verdict.SURVIVED if test.code == PASSED else Verdict.BROKEN


class Trial:
    """Tries mutants in copies of one checkout."""

    def __init__(self, pattern: Path, commands: Commands, *, is_demo_run: bool) -> None:
        self._pattern = pattern
        self._commands = commands
        self._is_demo_run = is_demo_run
        self._ports = _Ports()

    def why_unsound(self, mutants: Sequence[Mutant]) -> str:
        """Without a bug every named test must pass, none be skipped: "" or what pytest said."""
        names = sorted({mutant.caught_by for mutant in mutants})
        done = self._commands.run([*_PYTEST, *names], self._pattern, SOUND_SECONDS)
        return "" if done.code == PASSED and "skipped" not in done.output else _end_of(done)

    def try_one(self, mutant: Mutant) -> Tried:
        try:
            with copy_with(mutant, self._pattern) as folder:
                demo = self._run_demo(folder) if self._is_demo_run else None
                if demo is not None and demo.code != 0:
                    return Tried(mutant, Verdict.SEEN_BY_DEMO, _end_of(demo))
                test = self._commands.run([*_PYTEST, mutant.caught_by], folder, TEST_SECONDS)
        except NotPlantable as why:
            return Tried(mutant, Verdict.BROKEN, str(why))
        verdict = judge(mutant.caught_by, demo, test)
        return Tried(mutant, verdict, "" if verdict is Verdict.CAUGHT else _end_of(test))

    def stop(self) -> None:
        self._commands.stop()

    def _run_demo(self, folder: Path) -> Done:
        with self._ports.reserved() as (first_node_port, first_api_port):
            ports = [f"--first_node_port={first_node_port}", f"--first_api_port={first_api_port}"]
            return self._commands.run(["-m", "blockchain", "demo", "--once", *ports], folder, DEMO_SECONDS)


class _Ports:
    """Ports for demos that run at the same time: none is given twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: set[int] = set()

    @contextmanager
    def reserved(self) -> Iterator[tuple[int, int]]:
        with self._lock:
            mine: list[range] = []
            while len(mine) < 2:
                ports = three_free_ports(range(0))
                if not self._taken & set(ports):
                    self._taken.update(ports)
                    mine.append(ports)
        try:
            yield mine[0].start, mine[1].start
        finally:
            with self._lock:
                self._taken.difference_update(*mine)


_PYTEST: Final = ("-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider")


def _end_of(done: Done) -> str:
    return "took too long" if done.code is None else "\n".join(done.output.rstrip().splitlines()[-12:])


def _try_all(trial: Trial, mutants: Sequence[Mutant], jobs: int) -> Iterator[Tried]:
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(trial.try_one, mutant) for mutant in mutants]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:  # Ctrl-C above all: what runs is ended before it is waited for
            trial.stop()
            pool.shutdown(cancel_futures=True)  # else each that is left would still be copied
            raise


def run(arguments: argparse.Namespace) -> int:
    register = REGISTERS[arguments.register]
    chosen = _chosen(register.mutants, arguments.only)
    os.environ.setdefault("TEST_VECTORS", str(PROJECT.parent / "shared" / "vectors"))  # a copy stands elsewhere
    commands = Commands()
    folder = Path(tempfile.mkdtemp(prefix="blockchain-mutants-"))
    is_demo_run = register.is_demo_run and not arguments.without_demo
    began, begun = time.monotonic(), sitting()
    tried: list[Tried] = []
    try:
        with interruptible():
            trial = Trial(make_pattern(PROJECT, folder), commands, is_demo_run=is_demo_run)
            if why := trial.why_unsound(chosen):
                print(f"Without any bug, the tests that the register names do not pass:\n{why}", file=sys.stderr)
                return 1
            for one in _try_all(trial, chosen, arguments.jobs):
                tried.append(one)
                print(f"{len(tried):>3}/{len(chosen)}  {one.verdict.value:<16}  {one.mutant.name}", flush=True)
    except (KeyboardInterrupt, Stopped):
        print(f"Ended when {len(tried)} of {len(chosen)} were tried.", file=sys.stderr)
    finally:
        commands.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if tried:
        begun |= {"tried": len(tried), "is_demo_run": is_demo_run, "seconds": round(time.monotonic() - began)}
        append_record(arguments.register, begun | _conclude(tried, is_demo_run=is_demo_run))
    if len(tried) < len(chosen):
        return ENDED
    return 0 if all(one.verdict is Verdict.CAUGHT for one in tried) else 1


def _conclude(tried: Sequence[Tried], *, is_demo_run: bool) -> dict[str, list[str]]:
    """Print what came out, also of a run that was ended: the rest may be tried another time. Returns who fared how."""
    for one in tried:
        if one.said:
            print(f"\n{one.mutant.name}: {one.verdict.value}, {one.mutant.caught_by}\n{one.said}")
    names = {
        verdict.name.lower(): sorted(one.mutant.name for one in tried if one.verdict is verdict) for verdict in Verdict
    }
    with_demo = "the demo passed with each of them" if is_demo_run else "the demo was not run"
    print(f"\n{len(names['caught'])} of {len(tried)} caught; {with_demo}")
    return names


def _chosen(mutants: Sequence[Mutant], only: str) -> Sequence[Mutant]:
    """All, or those of the names, in the register's order. Ends the program for a name that nobody has."""
    names = [name for name in only.split(",") if name]
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        raise SystemExit(f"nothing is planted by the name of {', '.join(sorted(unknown))}")
    return [mutant for mutant in mutants if not names or mutant.name in names]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--register", choices=sorted(REGISTERS), default="mutants")
    parser.add_argument("--only", default="", metavar="NAMES", help="names with commas between them; all without it")
    parser.add_argument("--jobs", type=int, default=2, help="how many at the same time")
    parser.add_argument("--without_demo", action="store_true", help="run the tests alone: quicker, and no proof")
    return run(parser.parse_args())


if __name__ == "__main__":
    raise SystemExit(main())
