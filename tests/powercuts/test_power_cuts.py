"""A few hundred power cuts are survived; and what is broken on purpose is found. Many more: `make power-cuts`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Final

import pytest

from tests.powercuts.disk import Cut, Disk, FolderSynced, Named, Operation, Renamed, Resized, Synced, Written

ROOT: Final = Path(__file__).resolve().parents[2]
SECONDS_MAX: Final = 120
ALL = Cut("all", "all", 512, 0.5, rubbish=False, grows=False)
NONE = Cut("none", "none", 512, 0.5, rubbish=False, grows=False)

PLANTED: Final = {  # and the number of a history that shows it
    "WAL never synced": "0",
    "synchronous off": "1",
    "synchronous normal": "0",
    "database never synced": "1",
    "folders never synced": "0",
    "signing record never synced": "0",
    "newest slot written over": "0",
    "backup never synced": "5",
}

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="the recorder asks /proc for names")


def power_cuts(**settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CUTS": "16", "JOBS": "1", "SEED": "7", "RECORD": "", **settings}
    command = [sys.executable, "-m", "tests.powercuts"]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )


@needs_linux
def test_nothing_acknowledged_is_lost_and_nothing_signed_twice() -> None:
    done = power_cuts()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n0 violations\n" in done.stdout and ", 0 validators lived on" not in done.stdout


@needs_linux
@pytest.mark.slow
@pytest.mark.parametrize(("plant", "unit"), PLANTED.items())
def test_what_is_broken_on_purpose_is_found(plant: str, unit: str) -> None:
    done = power_cuts(PLANT=plant, UNIT=unit, CUTS="100")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"LOST: UNIT={unit}" in done.stdout


# ------------------------------------------------------------------------------------------------------- the model


def disk_after(*operations: Operation) -> Disk:
    disk = Disk()
    for one in operations:
        disk.apply(one)
    return disk


FILE = (Named("a", 1), Written(1, 0, b"x" * 1_000))


def test_what_was_synced_is_there_and_what_was_not_may_be() -> None:
    disk = disk_after(*FILE, Synced(1), FolderSynced(""), Written(1, 500, b"y" * 1_000))
    assert disk.after(NONE, Random(1)) == {"a": b"x" * 1_000}
    assert disk.after(ALL, Random(1)) == {"a": b"x" * 500 + b"y" * 1_000}


def test_a_name_lasts_when_its_folder_is_synced_and_not_with_its_file() -> None:
    assert disk_after(*FILE, Synced(1)).after(NONE, Random(1)) == {}
    disk = disk_after(*FILE, Synced(1), FolderSynced(""), Renamed("a", "b", 1))
    assert [*disk.after(NONE, Random(1))] == ["a"] and [*disk.after(ALL, Random(1))] == ["b"]
    disk.apply(FolderSynced(""))
    assert [*disk.after(NONE, Random(1))] == ["b"]


def test_a_folder_that_is_lost_takes_its_files_along() -> None:
    disk = disk_after(Named("d", 0), Named("d/a", 1), Written(1, 0, b"x"), Synced(1), FolderSynced("d"))
    assert disk.after(NONE, Random(1)) == {}
    assert disk.after(ALL, Random(1)) == {"d": None, "d/a": b"x"}


@pytest.mark.parametrize("sector", [512, 4096])
def test_what_was_not_synced_is_torn_where_sectors_end(sector: int) -> None:
    disk = disk_after(Named("a", 1), Written(1, 0, bytes(20_000)), Synced(1), FolderSynced(""))
    disk.apply(Written(1, 100, b"y" * 15_000))
    chance = Random(2)
    seen = set()
    for _ in range(50):
        content = disk.after(Cut("sectors", "all", sector, 0.5, rubbish=False, grows=False), chance)["a"]
        assert content is not None and len(content) == 20_000
        pieces = [content[at : at + sector] for at in range(sector, 15_000 - sector, sector)]
        assert all(len(set(piece)) == 1 for piece in pieces)
        seen.add(bytes(piece[0] for piece in pieces))
    assert len(seen) > 3


def test_the_beginning_of_a_database_is_one_sector_at_least() -> None:
    page = b"SQLite format 3\0" + b"p" * 4080
    disk = disk_after(Named("a", 1), FolderSynced(""), Written(1, 0, page))
    chance = Random(4)
    torn = [disk.after(Cut("first", "all", 64, 0.5, rubbish=False, grows=False), chance)["a"] or b"" for _ in range(60)]
    assert {len(content) for content in torn} > {0, 512, 576} and all(page.startswith(content) for content in torn)
    assert not any(0 < len(content) < 512 for content in torn)


def test_writes_may_come_about_in_any_order() -> None:
    disk = disk_after(Named("a", 1), FolderSynced(""), Written(1, 0, b"1"), Written(1, 1, b"2"), Resized(1, 1))
    cut = Cut("writes", "all", 512, 0.5, rubbish=False, grows=False)
    found = {disk.after(cut, Random(seed))["a"] for seed in range(60)}
    assert found == {b"", b"1", b"12", b"\x002", b"\x00"}
