"""Fifty rounds of random kills under load: `pytest -m slow tests/processes -s` prints the figures.

A round kills one to four of four nodes at a random moment, at once or one after the other, and starts them again in a
random order, at random moments too. After each all nodes agree again and go on. `CRASH_SEED` repeats a run's choices,
not its interleaving, which is the machine's; `CRASH_ROUNDS` makes it longer.
"""

from __future__ import annotations

import faulthandler
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.processes.checks import check_everything, wait_all_final
from tests.processes.load import load
from tests.processes.network import Network, network
from tests.processes.node_process import NodeProcess

ROUNDS: Final = int(os.environ.get("CRASH_ROUNDS", "50"))
SEED: Final = int(os.environ.get("CRASH_SEED", "0")) or random.randrange(1, 2**32)
MOMENT_SECONDS_MAX: Final = 0.6  # some ten blocks: a kill falls into any step of any of them
VICTIMS: Final = (1, 1, 1, 2, 3, 4)  # how many, as likely as they stand here
BLOCKS: Final = 2
RECOVERY_SECONDS: Final = 60.0
QUORUM: Final = 3  # of four equal validators


@pytest.mark.slow
def test_fifty_rounds_of_random_kills_lose_nothing(tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # pytest's alarm for a test that hangs: this one takes minutes
    chance = random.Random(SEED)
    print(f"\nCRASH_SEED={SEED}")
    recoveries: list[float] = []
    kills: Counter[int] = Counter()
    with network(tmp_path, 4) as net:
        net.start_all()
        net.wait_connected()
        with load(net) as running:
            for _ in range(ROUNDS):
                victims = chance.sample(net.nodes, chance.choice(VICTIMS))
                kills[len(victims)] += 1
                recoveries.append(crash(net, victims, chance))
        wait_all_final(net, RECOVERY_SECONDS)
        height = net.height()
        warnings = check_everything(net, running)
        slowest = max(recoveries)
        print(
            f"{ROUNDS} rounds, killed at once {dict(kills)}; height {height}; {len(running.acknowledged)} acknowledged"
        )
        print(f"recovery median {sorted(recoveries)[ROUNDS // 2]:.1f} s, slowest {slowest:.1f} s; {dict(warnings)}")


def crash(net: Network, victims: list[NodeProcess], chance: random.Random) -> float:
    """One round. Returns the seconds from the last start until all nodes have gone on together."""
    pause(chance)
    at_once = chance.random() < 0.5
    for victim in victims:
        if at_once:
            victim.process.kill()
        else:
            pause(chance)
            victim.kill()
    for victim in victims:
        victim.kill()  # waits for its end
    left = [node for node in net.nodes if node not in victims]
    if len(left) >= QUORUM:
        net.wait_height(net.height() + BLOCKS, left)
    for victim in chance.sample(victims, len(victims)):
        pause(chance)
        victim.start()
    started = time.monotonic()
    net.wait_height(net.height() + BLOCKS)
    return time.monotonic() - started


def pause(chance: random.Random) -> None:
    """Until a random moment: here the time is what is drawn, and nothing is waited for."""
    time.sleep(chance.uniform(0, MOMENT_SECONDS_MAX))
