"""A validator is killed at each named point between recording, signing and sending, and starts again: kill -9.

`KILLS=200 pytest -m slow tests/processes/test_kill_points.py -s` prints the figures.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from blockchain.primitives.vote import Proposal, Vote, VoteStep
from tests.processes.contradictions import check_said
from tests.processes.killed_validator import POINTS, read_said

KILLS: Final = int(os.environ.get("KILLS", "200"))
SECONDS_MAX: Final = 1_200
ROOT: Final = Path(__file__).resolve().parents[2]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forked")


@needs_fork
def test_a_validator_killed_between_signing_and_sending_never_contradicts_itself(tmp_path: Path) -> None:
    check_said(said_in(tmp_path, "signature given", kills=3, seed=1))


@needs_fork
@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_validator_killed_often_at_each_point_never_contradicts_itself(tmp_path: Path, point: str) -> None:
    said = said_in(tmp_path, point, KILLS, seed=2)
    check_said(said)
    votes = [one for one in said if isinstance(one, Vote) and one.block_id is not None]
    locked = {(vote.height, vote.round) for vote in votes if vote.step is VoteStep.PRECOMMIT}
    tempted = {
        (vote.height, vote.round)
        for vote in said
        if isinstance(vote, Vote)
        and vote.step is VoteStep.PREVOTE
        and any(height == vote.height and round < vote.round for height, round in locked)
    }
    print(
        f"\n{point}: {KILLS} kills; {len(said)} signed messages, {len(locked)} locks, {len(tempted)} prevotes after one"
    )
    assert tempted or KILLS < 100, "no lock was ever put to the test"


def said_in(folder: Path, point: str, kills: int, seed: int) -> set[Proposal | Vote]:
    """All that the signer gave and all that was sent, over all lives."""
    command = [sys.executable, "-m", "tests.processes.killed_validator", str(folder), point, str(kills), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return set(read_said(folder / "said"))
