"""Results: the figures of one benchmark in a file, and what got worse since the committed ones.

A file a benchmark, benchmarks/results/<name>.json, says when, of which code and on what kind of machine. Figures are
compared by their ratios, which mean the same on any machine; those without one only by the targets that they reached.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.figures import Figure, Spread, number, target_of
from benchmarks.options import ROOT

RESULTS: Final = ROOT / "benchmarks" / "results"
DRIFT: Final = 0.03  # from one sitting to the next, which no sitting sees in itself


@dataclass(frozen=True, slots=True)
class Machine:
    """In general words: what figures depend on, not whose machine it is."""

    cores: int
    architecture: str
    system: str
    python: str


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one benchmark."""

    name: str
    time: str  # UTC, ISO 8601
    commit: str
    machine: Machine
    figures: tuple[Figure, ...]


def this_machine() -> Machine:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return Machine(os.cpu_count() or 1, platform.machine(), platform.system(), python)


def this_commit() -> str:
    """Which code this is; "+" where files differ from it."""
    asked = ["git", "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # a checkout without git
        return "unknown"
    return done.stdout.strip() or "unknown"


def result_of(name: str, figures: Sequence[Figure], commit: str) -> Result:
    names = [each.name for each in figures]
    assert len(set(names)) == len(names), f"{name}: two figures with one name"
    return Result(name, datetime.now(UTC).isoformat(timespec="seconds"), commit, this_machine(), tuple(figures))


def write_result(result: Result, folder: Path = RESULTS) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    raw = msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n"
    (folder / f"{result.name}.json").write_bytes(raw)


def read_result(name: str, folder: Path = RESULTS) -> Result | None:
    """None where there is none yet. Raises msgspec.ValidationError for a file of another shape."""
    path = folder / f"{name}.json"
    return msgspec.json.decode(path.read_bytes(), type=Result) if path.exists() else None


def what_got_worse(before: Result, now: Result) -> list[str]:
    """A line for each figure that is worse than the noise of both sittings explains, or not measured now."""
    known = {each.name: each for each in now.figures}
    return list(_worse(before, known))


def _worse(before: Result, known: dict[str, Figure]) -> Iterator[str]:
    for old in before.figures:
        new = known.get(old.name)
        if new is None or (new.ratio is None) != (old.ratio is None):
            yield f"{before.name}: {old.name} is not measured any more"
        elif old.ratio is None or new.ratio is None:
            if old.is_reached and _is_missed_by_all(new):
                value = f"{number(new.value.median)} {new.unit}"
                yield f"{before.name}: {old.name}: {value}, and {target_of(new)} was reached"
        elif _is_worse(old.ratio, new.ratio, is_more_better=old.better == "more"):
            was = f"{number(old.ratio.least)} to {number(old.ratio.most)}"
            spread = f"{number(new.ratio.least)} to {number(new.ratio.most)}"
            yield (
                f"{before.name}: {old.name}: ratio {number(new.ratio.median)} ({spread}), "
                f"was {number(old.ratio.median)} ({was})"
            )


def _is_missed_by_all(new: Figure) -> bool:
    """Whether not one run reached the target."""
    if new.target is None:
        return False
    return new.value.most < new.target if new.better == "more" else new.value.least > new.target


def _is_worse(old: Spread, new: Spread, *, is_more_better: bool) -> bool:
    """The best of the new runs is worse than the worst of the old ones, by more than a machine drifts."""
    if is_more_better:
        return new.most < old.least * (1 - DRIFT)
    return new.least > old.most * (1 + DRIFT)
