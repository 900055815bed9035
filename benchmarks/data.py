"""`make bench-data`: what benchmarks read and takes long to make. Made once, into .bench-data.

    python -m benchmarks.data [--only sync,growing] [--data FOLDER]

The chains (chains.py) are bytes and stay; the stores (stores.py) are made anew, from the chains, when the code that
decides what is in them has changed, some side by side. What each benchmark needs is named here; a quick run makes its
own, small.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Final

from benchmarks.chains import MadeChain, Say, Shape, Stretch, made_chain, make_chain
from benchmarks.options import DATA, Options
from benchmarks.stores import forget_others, make_stores, store_folder
from blockchain.errors import InvalidBlock, MalformedMessage
from blockchain.runtime.collector import rest_collector

SMALL_BLOCK: Final = 3  # transfers


@dataclass(frozen=True, slots=True)
class DataSet:
    """A chain, the heights at which a store of it is kept, and the first and the last block that is measured."""

    shape: Shape
    stores: tuple[int, ...]
    synced: tuple[int, int]

    def made(self, options: Options) -> MadeChain:
        """The chain. Made on the spot for a quick run; else raises SystemExit where it or a store is missing."""
        if options.is_quick:
            self.make(options.data, quiet)
        made = made_chain(options.data, self.shape)
        if made is None or not all(store_folder(options.data, made, height).exists() for height in self.stores):
            raise SystemExit("the data are not there, or their stores are those of other code: make bench-data")
        return made

    def make(self, data: Path, say: Say) -> None:
        """Make what is missing of it. Raises SystemExit for a chain that the rules of today refuse."""
        made = make_chain(data, self.shape, say)
        try:
            make_stores(data, made, self.stores, say)
        except (MalformedMessage, InvalidBlock) as error:
            raise SystemExit(f"{made.folder} was made by other rules ({error}): remove it, and make it again") from None


def few_accounts(accounts: int = 10_000, blocks: int = 50, transfers: int = 1_000) -> DataSet:
    """One block before those that are synced: with it the state of genesis reaches the store."""
    shape = Shape(accounts, (Stretch(1, transfers), Stretch(blocks, transfers)))
    return DataSet(shape, stores=(1,), synced=(2, blocks + 1))


def many_accounts(
    genesis: int = 1_000, openings: int = 999, blocks: int = 50, transfers: int = 1_000, height: int = 100_000
) -> DataSet:
    """Accounts come as on a real chain, each with a transfer to it; then blocks that are synced; then small ones.

    So the store also holds the transactions and the histories of a chain with a million accounts.
    """
    left = height - openings - blocks
    stretches = Stretch(openings, transfers, is_opening=True), Stretch(blocks, transfers), Stretch(left, SMALL_BLOCK)
    synced = openings + 1, openings + blocks
    return DataSet(Shape(genesis, stretches), stores=(openings, height), synced=synced)


def growing(
    accounts: int = 10_000, low: int = 100, high: int = 100_000, blocks: int = 20, transfers: int = 1_000
) -> DataSet:
    """Small blocks, and after two heights some of one size, to be measured."""
    measured = Stretch(blocks, transfers)
    stretches = Stretch(low, SMALL_BLOCK), measured, Stretch(high - low - blocks, SMALL_BLOCK), measured
    return DataSet(Shape(accounts, stretches), stores=(low, high), synced=(high + 1, high + blocks))


# What takes longest first: that is how they are begun.
SETS: Final = {"many-accounts": many_accounts(), "growing": growing(), "few-accounts": few_accounts()}
SIDE_BY_SIDE: Final = 2  # sets that are made at once: each takes a core, and a gigabyte at most
# What a benchmark needs, by its name.
OF_BENCHMARK: Final = {
    "sync": ("few-accounts", "many-accounts"),
    "stages": ("few-accounts", "many-accounts"),
    "growth": ("growing", "many-accounts"),
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data")
    parser.add_argument("--only", default="", metavar="NAMES", help=f"of {', '.join([*SETS, *OF_BENCHMARK])}")
    parser.add_argument("--data", type=Path, default=DATA, metavar="FOLDER")
    given = parser.parse_args(arguments)
    forget_others(given.data)
    with ProcessPoolExecutor(SIDE_BY_SIDE, get_context("spawn")) as pool:
        for made in [pool.submit(_make, name, given.data) for name in chosen(given.only)]:
            made.result()
    return 0


def _make(name: str, data: Path) -> None:
    """In a process of its own."""
    rest_collector()
    SETS[name].make(data, _teller(name))


def quiet(_: str) -> None:
    """What a quick run says while it makes its data."""


def chosen(names: str) -> list[str]:
    """Sets, or those of benchmarks; those of benchmarks without any are none."""
    asked = [name for name in names.split(",") if name]
    wanted = {one for name in asked for one in ([name] if name in SETS else OF_BENCHMARK.get(name, ()))}
    return [name for name in SETS if name in wanted or not asked]


def _teller(name: str) -> Say:
    began = monotonic()

    def say(text: str) -> None:
        print(f"{name}: {text} ({monotonic() - began:,.0f} s)", flush=True)

    return say


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
