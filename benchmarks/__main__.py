"""`make bench`: each benchmark is a question; all of them, or some, answered with a table and a JSON file.

    python -m benchmarks [--only sync,mempool] [--check] [--repeat RUNS] [--data FOLDER] [--quick] [--list]

Figures go to benchmarks/results/<name>.json. With --check that file stays as it is: the new figures are compared with
it, and the exit code is 1 if one got worse beyond the noise of both. A missed target is told, and no failure.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

from benchmarks import admission, finality, growth, mempool, network, parent, reads, stages, sync
from benchmarks.figures import Figure, table
from benchmarks.options import DATA, RUNS, Options
from benchmarks.results import read_result, result_of, this_commit, what_got_worse, write_result
from blockchain.commands.processes import interruptible


class Benchmark(Protocol):
    """A file of benchmarks/: its docstring is the question."""

    NAME: str
    __doc__: str | None

    def measure(self, options: Options) -> list[Figure]: ...


BENCHMARKS: Final[tuple[Benchmark, ...]] = (
    sync,
    stages,
    network,
    finality,
    admission,
    reads,
    growth,
    mempool,
    parent,
)


def main(arguments: Sequence[str]) -> int:
    given = _parser().parse_args(arguments)
    if given.list:
        for each in BENCHMARKS:
            print(f"{each.NAME:12} {question(each)}")
        return 0
    options = Options(given.repeat, given.data, given.quick)
    commit = this_commit()  # before a file of results differs from it
    worse: list[str] = []
    for each in _chosen(given.only):
        print(f"\n{each.NAME}: {question(each)}", flush=True)
        begun = monotonic()
        result = result_of(each.NAME, each.measure(options), commit)
        print(f"{table(result.figures)}\n{each.NAME} took {monotonic() - begun:,.0f} s", flush=True)
        if given.check:
            before = read_result(each.NAME)
            worse += [f"{each.NAME}: no figures to compare with"] if before is None else what_got_worse(before, result)
        elif not options.is_quick:
            write_result(result)
    if given.check:
        print("\n" + ("\n".join(["Worse:", *worse]) if worse else "Nothing got worse."))
    return 1 if worse else 0


def question(benchmark: Benchmark) -> str:
    """The first line of its docstring."""
    assert benchmark.__doc__, f"{benchmark.NAME}: a benchmark without a question"
    return benchmark.__doc__.partition("\n")[0]


def _chosen(names: str) -> list[Benchmark]:
    """Raises SystemExit for a name that there is not."""
    asked = [name for name in names.split(",") if name]
    known = {each.NAME: each for each in BENCHMARKS}
    if missing := [name for name in asked if name not in known]:
        raise SystemExit(f"no benchmark {missing[0]!r}; there is: {', '.join(known)}")
    return [known[name] for name in asked] or list(BENCHMARKS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="How fast is it, and against what?")
    parser.add_argument("--only", default="", metavar="NAMES", help="some of them, with commas between")
    parser.add_argument("--repeat", type=int, default=RUNS, metavar="RUNS", help=f"how often each is run ({RUNS})")
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="FOLDER", help=f"for what is made once ({DATA.name})"
    )
    parser.add_argument("--list", action="store_true", help="say which there are, and end")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--check", action="store_true", help="compare with the committed figures and keep none")
    kind.add_argument("--quick", action="store_true", help="small sizes, to see that it works; keeps no figures")
    return parser


if __name__ == "__main__":
    try:
        with interruptible():  # what a benchmark started ends before it does
            sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted")
