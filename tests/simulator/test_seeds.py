"""Random worlds: agreement in each, decisions after healing, and the same bytes from the same seed.

A seed that fails names itself; `python -m blockchain simulate --seed N --heights 3` plays it again. The seeds are
dealt to tests so that workers can share them; whichever test ends last sums up what all of them exercised. SEEDS= plays
another number of them; `make soak` has longer ones, and fresh ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from blockchain.simulator.outcome import Outcome, heading, total
from blockchain.simulator.playing import run_seed
from blockchain.simulator.wishes import Wishes

ROOT = Path(__file__).resolve().parents[2]
SEEDS = int(os.environ.get("SEEDS", "200"))
SHARES = 40
SHORT = Wishes(heights=3)
EXERCISED = ("rounds", "locks", "locks_kept", "reproposals", "past_decisions", "skips", "restarts", "syncs")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this test run see."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "seeds"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("share", range(SHARES))
def test_every_seed_agrees_and_decides_after_healing(
    share: int, shared: Path, record_property: Callable[[str, object], None]
) -> None:
    outcomes = [run_seed(seed, SHORT) for seed in range(share, SEEDS, SHARES)]
    assert all(outcome.height >= 2 and outcome.decided_ms > 0 for outcome in outcomes)
    _put(shared / f"{share}.json", outcomes)
    written = sorted(shared.glob("*.json"))
    if len(written) < SHARES:
        return  # somebody else sums up
    everything = [outcome for path in written for outcome in msgspec.json.decode(path.read_bytes(), type=list[Outcome])]
    record_property("summary", f"simulator: {total(everything)}")
    assert len({outcome.seed for outcome in everything}) == SEEDS
    for name in EXERCISED:
        assert sum(getattr(outcome, name) for outcome in everything) > 0, f"nothing exercised: {name}"


def _put(path: Path, outcomes: list[Outcome]) -> None:
    """Whole or not there, as others may be looking."""
    draft = path.with_suffix(".draft")
    draft.write_bytes(msgspec.json.encode(outcomes))
    draft.replace(path)


@pytest.mark.parametrize("seed", [1, 8])
def test_the_same_seed_gives_the_same_bytes(seed: int) -> None:
    assert run_seed(seed) == run_seed(seed)


def test_another_seed_gives_other_bytes() -> None:
    assert run_seed(1).digest != run_seed(8).digest


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    """Sets and dicts are ordered otherwise there, and nothing may depend on it."""
    seen = set()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "blockchain", "simulate", "--seed", "1", "--runs", "2", "--heights", "6"],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        seen.add(done.stdout)
    assert len(seen) == 1
    assert run_seed(1).digest[:16] in seen.pop()


def test_the_table_has_a_heading_for_each_count() -> None:
    assert set(EXERCISED) <= set(heading().split())
