"""One history after another, each cut at many moments; and what may be broken on purpose, to show that it is found."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Final

import apsw

from blockchain.runtime import record_slots, sqlite_file
from tests.powercuts.disk import Disk, Synced, draw_cut
from tests.powercuts.plays import History, lay_out, record, remember
from tests.powercuts.verdict import Judge, Known, Lost, moments

PLAYS_IN_TURN: Final = ("life", "batches", "again", "upgrade", "life", "backup", "again", "batches")
DRAWS_MAX: Final = 20  # for one state that was not seen before in this history
_MEMORY: Final = Path("/dev/shm")


@dataclass(frozen=True)
class Unit:
    """One history and its cuts: a function of these."""

    seed: int
    number: int
    cuts: int
    plant: str = ""


@dataclass
class Sitting:
    """What came of one unit, or of many."""

    cuts: int = 0  # different states of the disk
    drawn: int = 0
    operations: int = 0
    histories: int = 0
    audits: int = 0
    lives: int = 0
    rots: int = 0  # of which the newest slot of the signing record was lost too
    by_play: Counter[str] = field(default_factory=Counter)
    by_cut: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)

    def add(self, other: Sitting) -> None:
        for name in ("cuts", "drawn", "operations", "histories", "audits", "lives", "rots"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.by_play.update(other.by_play)
        self.by_cut.update(other.by_cut)
        self.lost.extend(other.lost)

    def figures(self) -> dict[str, object]:
        return {
            **vars(self),
            "by_play": dict(sorted(self.by_play.items())),
            "by_cut": dict(sorted(self.by_cut.items())),
        }


# ------------------------------------------------------------------------------------------------------- planted


def _nothing() -> Callable[[str], bool]:
    return lambda _: False


def _synchronous(how: str) -> Callable[[str], bool]:
    """The store does not wait for the disk, or at checkpoints only."""
    set_up = sqlite_file._set_up_writer

    def hasty(connection: apsw.Connection, path: Path) -> None:
        set_up(connection, path)
        connection.pragma("synchronous", how)

    sqlite_file._set_up_writer = hasty
    return _nothing()


def _newest_slot_written_over() -> Callable[[str], bool]:
    """A signature takes the slot of the one before it, in the signing record."""
    record_slots.Newest.other_place = property(lambda newest: newest.place)  # type: ignore[assignment, method-assign]
    return _nothing()


PLANTS: Final[dict[str, Callable[[], Callable[[str], bool]]]] = {
    "synchronous off": lambda: _synchronous("OFF"),
    "synchronous normal": lambda: _synchronous("NORMAL"),
    "WAL never synced": lambda: lambda path: path.endswith("-wal"),
    "database never synced": lambda: lambda path: path.endswith("chain.db"),
    "folders never synced": lambda: lambda path: path in (".", "data"),
    "signing record never synced": lambda: lambda path: "signing_record" in path,
    "newest slot written over": _newest_slot_written_over,
    "backup never synced": lambda: lambda path: ".backup" in path,
}


# ------------------------------------------------------------------------------------------------------- running


def run_unit(unit: Unit) -> tuple[Unit, Sitting]:
    """Record the history of a unit, and look at its cuts."""
    logging.disable(logging.CRITICAL)  # a torn slot is told of
    chance = Random(f"{unit.seed} {unit.number}")
    where = _MEMORY if _MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="power-cuts-", dir=where))
    try:
        return unit, _cut_often(unit, _history_of(unit, folder, chance), folder, chance)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _history_of(unit: Unit, folder: Path, chance: Random) -> History:
    play = PLAYS_IN_TURN[unit.number % len(PLAYS_IN_TURN)]
    played = folder / "played"
    played.mkdir()
    plant = PLANTS[unit.plant] if unit.plant else _nothing
    if play == "again":  # on what a power cut left
        (folder / "before").mkdir()
        before = record("life", chance.getrandbits(32), folder / "before", _nothing)
        at = chance.randrange(before.begins_at, len(before.operations))
        for place, (disk, known) in enumerate(_walk(before)):
            if place == at:
                lay_out(disk.after(draw_cut(chance), chance), played, chance)
                remember(played, known.said)
                break
    return record(play, chance.getrandbits(32), played, plant)


def _walk(history: History) -> Iterator[tuple[Disk, Known]]:
    """The disk, and what was known, before each operation and at the end."""
    disk = Disk()
    states = moments(history)
    for done in history.operations:
        yield disk, next(states)
        disk.apply(done)
    yield disk, next(states)


def _moments_to_cut(history: History, chance: Random) -> Sequence[int]:
    """All, or, as often, those at which something is written and about to be forced to the disk."""
    after = range(history.begins_at, len(history.operations) + 1)
    forcing = [at for at in after[:-1] if isinstance(history.operations[at], Synced)]
    return forcing if forcing and chance.random() < 0.5 else after


def _cut_often(unit: Unit, history: History, folder: Path, chance: Random) -> Sitting:
    result = Sitting(histories=1, operations=len(history.operations) - history.begins_at)
    judge, seen = Judge(history), set[bytes]()
    wanted = Counter(chance.choice(_moments_to_cut(history, chance)) for _ in range(unit.cuts))
    for at, (disk, known) in enumerate(_walk(history)):
        for _ in range(wanted[at]):
            for _ in range(DRAWS_MAX):
                cut = draw_cut(chance)
                found = disk.after(cut, chance)
                result.drawn += 1
                state = sha256(repr((sorted(found.items()), sorted(known.allowed))).encode()).digest()
                if state not in seen:
                    seen.add(state)
                    lay_out(found, folder / "cut", chance)
                    why = _look(judge, folder / "cut", known, chance)
                    result.cuts += 1
                    result.by_cut[f"{cut.data}, {cut.sector}"] += 1
                    if why:
                        result.lost.append(f"UNIT={unit.number} ({history.play}), operation {at}, {cut}: {why}")
                    break
    result.by_play[history.play] += result.cuts
    result.audits, result.lives, result.rots = judge.audits, judge.lives, judge.rots
    return result


def _look(judge: Judge, folder: Path, known: Known, chance: Random) -> str:
    """What was lost, or ""."""
    try:
        judge.check(folder, known, chance)
    except Lost as lost:
        return str(lost)
    return ""
