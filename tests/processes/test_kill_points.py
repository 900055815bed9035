"""Processes are killed at named points and start again: kill -9. A few of them here; each point often: `make kills`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.processes.kill_points import VALIDATOR_POINTS
from tests.processes.killed_errands import ERRANDS
from tests.processes.kills import VALIDATOR, tasks_of

SECONDS_MAX: Final = 240
ROOT: Final = Path(__file__).resolve().parents[2]

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="lives are forked, and SQLite's Unix files wrapped")


def kills(point: str, count: int = 3) -> None:
    environment = {**os.environ, "KILLS": str(count), "JOBS": "1", "SEED": "1", "POINT": point, "RECORD": ""}
    command = [sys.executable, "-m", "tests.processes.kills"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"\n{count} kills at 1 points" in done.stdout


@needs_linux
def test_a_validator_killed_between_signing_and_sending_never_contradicts_itself() -> None:
    kills(f"{VALIDATOR}: signature given")


@needs_linux
@pytest.mark.slow
@pytest.mark.parametrize("point", [task.name for task in tasks_of(1, 1, "")])
def test_every_point_is_come_to(point: str) -> None:
    kills(point, 2)


def test_there_are_points_enough() -> None:
    assert len(tasks_of(20, 1, "")) * 20 >= 2_000
    assert len(tasks_of(1, 1, "")) == len(VALIDATOR_POINTS) + sum(len(errand.points) for errand in ERRANDS.values())
