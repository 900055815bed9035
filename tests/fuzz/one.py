"""One target in one process: `python -m tests.fuzz.one NAME --replay FILE`, or under atheris as the runner starts it.

The fuzzer's process ends at the first finding: an exception, an input that takes more than a second of this process's
time, or more memory than the bound (libFuzzer's, and a look at the peak here). The input is kept where the runner said.
What a replay needs is this project alone.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Final

from tests.fuzz.target import NAMES, Target, target_of

INPUT_SECONDS_MAX: Final = 1.0  # of processor time, so that a busy machine finds nothing that is not there
HANG_SECONDS: Final = 30  # of the clock: what never ends is found by libFuzzer
RSS_MIB_MAX: Final = 768  # of a whole process with the fuzzer and its corpus; the largest begins with some 200
TELL_EVERY: Final = 1_024
# The decoders of the codec are compiled, so that the fuzzer sees little of them, and of inputs that look alike to it
# keeps the shortest: of sixteen kinds of messages soon only a few would be left.
FRESH_SHARE: Final = 0.25
STRUCTURED_SHARE: Final = 0.75  # of the mutations; the others are libFuzzer's, of plain bytes
INSTRUMENTED: Final = ("blockchain", "Crypto.IO", "Crypto.Util.asn1", "h11", "websockets", "json", "tomllib")


class TooSlow(AssertionError):
    """One input took more than INPUT_SECONDS_MAX."""


class Counted:
    """A target's call with its time taken; tells the runner now and then how far it is."""

    def __init__(self, target: Target, told: Path | None) -> None:
        self._run = target.run
        self._told = told
        self.executions = 0
        self.taken = 0
        self.slowest = 0.0

    def __call__(self, raw: bytes) -> None:
        began = time.process_time()
        is_taken = self._run(raw)
        seconds = time.process_time() - began
        self.executions += 1
        self.taken += is_taken
        self.slowest = max(self.slowest, seconds)
        if seconds > INPUT_SECONDS_MAX:
            raise TooSlow(f"{len(raw)} bytes took {seconds:.2f} s")
        if self.executions % TELL_EVERY == 0 or (self.executions < TELL_EVERY and self.executions & 31 == 0):
            self.tell()

    def tell(self) -> None:
        if self._told is not None:
            figures = {"executions": self.executions, "taken": self.taken, "slowest_s": round(self.slowest, 3)}
            self._told.write_text(json.dumps(figures), "utf-8")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.one")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--replay", type=Path, help="a kept input: run it once, and fail as it did")
    parser.add_argument("--folder", type=Path, help="of the corpus and the findings of this target")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    logging.disable()  # what is refused is written down too, and nobody reads it here
    if given.replay is not None:
        Counted(target_of(given.name), None)(given.replay.read_bytes())
        print(f"{given.name}: nothing is wrong with {given.replay.name}")
        return 0
    _fuzz(given.name, given.folder, given.seconds, given.seed)
    return 0


def _fuzz(name: str, folder: Path, seconds: int, seed: int) -> None:
    """Does not return: libFuzzer ends the process."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=list(INSTRUMENTED)) if seconds else nullcontext():
        target = target_of(name)
    corpus, seeds = folder / "corpus", folder / "seeds"
    for one in (corpus, seeds):
        one.mkdir(parents=True, exist_ok=True)
    for number, sample in enumerate(target.samples()):
        (seeds / f"{number}").write_bytes(sample)
        target.run(sample)  # what is made once, on the first use, is not counted as an input's time
    options = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={target.bytes_max}",
        f"-timeout={HANG_SECONDS}",
        f"-rss_limit_mb={RSS_MIB_MAX}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    call = Counted(target, folder / "figures.json")
    call.tell()
    atheris.Setup([sys.argv[0], *options, str(corpus), str(seeds)], call, custom_mutator=_mutator(atheris, target))
    atheris.Fuzz()


def _mutator(atheris: ModuleType, target: Target) -> Callable[[bytes, int, int], bytes]:
    samples = target.samples()

    def mutate(raw: bytes, size_max: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < FRESH_SHARE:
            raw = rng.choice(samples)
        if rng.random() > STRUCTURED_SHARE:
            plain: bytes = atheris.Mutate(raw, size_max)
            return plain
        return target.mutate(raw, rng)[:size_max]

    return mutate


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
