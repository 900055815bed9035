"""The plays, told line by line: what each node did and when, to be read beside the paper.

When the core changes on purpose, write them anew and read the difference:

    REGENERATE=1 python -m pytest tests/simulator/test_golden.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulator import plays
from tests.simulator.stage import Stage

GOLDEN = Path(__file__).parent / "golden"
PLAYS = (plays.two_blocks, plays.forger_crashes, plays.forger_is_lost, plays.hidden_lock)
NOISE = ("peer_connected", "peer_disconnected")
WALL_MS = re.compile(r"\b17000\d{8}\b")
NAME = re.compile(r"\b(block_id|head|id|transaction_ids)=(\d+:)?([0-9a-f]{8})\b")


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__)
def test_the_play_goes_as_it_is_told(play: Callable[[], Stage]) -> None:
    told = tell(play)
    path = GOLDEN / f"{play.__name__}.txt"
    if "REGENERATE" in os.environ:
        path.write_text(told, encoding="utf-8", newline="\n")
    assert told.splitlines() == path.read_text(encoding="utf-8").splitlines()


def tell(play: Callable[[], Stage]) -> str:
    """The transcript of a play with names in the place of hashes."""
    stage = play()
    people = {held.public_key.hex()[:8]: f"v{number}" for number, held in enumerate(stage.keys)}
    people[stage.rich.public_key.hex()[:8]] = "rich"
    people[stage.spec.hash.hex()[:8]] = "genesis"
    names = dict(people)
    begun_ms = stage.spec.time_ms + 1_000_000
    title = (play.__doc__ or "").strip().splitlines()
    lines = [f"# {line.strip()}".rstrip() for line in title]
    lines.append("# The forgers of height 1 are drawn as follows; v0 to v3 are the validators of nodes 0 to 3.")
    lines.append("")
    for line in stage.world.transcript:
        if not any(f": {noise} " in line for noise in NOISE):
            _learn(line, names)
            line = WALL_MS.sub(lambda found: str(int(found[0]) - begun_ms), line)
            lines.append(re.sub(r"\b[0-9a-f]{8}\b", lambda found: names.get(found[0], found[0]), line))
    return "\n".join(lines) + "\n"


def _learn(line: str, names: dict[str, str]) -> None:
    """Blocks and transactions are called after the order in which they appear: B1, B2, …, T1, T2, …"""
    for kind, _, word in NAME.findall(line):
        letter = "B" if kind in ("block_id", "head") else "T"
        if word not in names:
            count = sum(name[0] == letter for name in names.values())
            names[word] = f"{letter}{count + 1}"
