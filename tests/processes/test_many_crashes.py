"""Many rounds of random kills under load: `pytest -m slow tests/processes/test_many_crashes.py -s` prints the figures.

A round kills one to all of four validators and a full node at a random moment, at once or one after the other, and
starts them again in a random order, at random moments too; some are killed once more while they start. After each all
nodes agree again and go on, and a block that was ever final is final still. `CRASH_ROUNDS` says how many rounds;
`CRASH_SEED` repeats a run's choices, not its interleaving, which is the machine's.
"""

from __future__ import annotations

import faulthandler
import os
import random
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.processes.checks import check_everything, wait_all_final
from tests.processes.load import load
from tests.processes.network import Network, network
from tests.processes.node_process import HOST, NodeProcess
from tests.processes.witness import witness

ROUNDS: Final = int(os.environ.get("CRASH_ROUNDS", "50"))
SEED: Final = int(os.environ.get("CRASH_SEED", "0")) or random.randrange(1, 2**32)
MOMENT_SECONDS_MAX: Final = 0.6  # some ten blocks: a kill falls into any step of any of them
START_SECONDS_MAX: Final = 2.0  # a start takes one or two: a kill falls into any step of it
AGAIN: Final = 0.2  # how likely a victim is killed once more while it starts
VICTIMS: Final = (1, 1, 1, 2, 3, 5)  # how many, as likely as they stand here
BLOCKS: Final = 2
COMPARED_BLOCKS: Final = 20  # of each node, after each round
RECOVERY_SECONDS: Final = 60.0
QUORUM: Final = 3  # of four equal validators


@pytest.mark.slow
def test_many_rounds_of_random_kills_lose_nothing_and_sign_nothing_twice(tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # pytest's alarm for a test that hangs: this one takes minutes
    chance = random.Random(SEED)
    print(f"\nCRASH_SEED={SEED}")
    recoveries: list[float] = []
    kills: Counter[str] = Counter()
    final: dict[int, str] = {}
    with network(tmp_path, 4, followers=1) as net:
        net.start_all()
        net.wait_connected()
        addresses = [f"{HOST}:{node.node_port}" for node in net.nodes]
        with witness(tmp_path / "witness", net.spec, addresses) as heard, load(net) as running:
            for _ in range(ROUNDS):
                victims = chance.sample(net.nodes, chance.choice(VICTIMS))
                kills.update("validator" if victim.key_file else "full node" for victim in victims)
                recoveries.append(crash(net, victims, chance, kills))
                compare(net, final)
        wait_all_final(net, RECOVERY_SECONDS)
        height = net.height()
        warnings = check_everything(net, running)
        assert heard.contradictions == []
        print(
            f"{ROUNDS} rounds, kills {dict(kills)}; height {height}; {len(running.acknowledged)} acknowledged, 0 lost"
        )
        print(f"{len(heard.heard)} signed messages heard, none twice for one place; {dict(warnings)}")
        print(f"recovery median {statistics.median(recoveries):.1f} s, slowest {max(recoveries):.1f} s")


def crash(net: Network, victims: list[NodeProcess], chance: random.Random, kills: Counter[str]) -> float:
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
    if sum(node.key_file is not None for node in left) >= QUORUM:
        net.wait_height(net.height() + BLOCKS, left)
    for victim in chance.sample(victims, len(victims)):
        pause(chance)
        victim.start()
        if chance.random() < AGAIN:
            pause(chance, START_SECONDS_MAX)
            victim.kill()
            kills["while it started"] += 1
            victim.start()
    started = time.monotonic()
    net.wait_height(net.height() + BLOCKS)
    return time.monotonic() - started


def compare(net: Network, final: dict[int, str]) -> None:
    """Every node's newest blocks are those that any node ever had at their heights."""
    for node in net.nodes:
        for block in node.client.blocks(limit=COMPARED_BLOCKS).blocks:
            assert final.setdefault(block.height, block.id) == block.id, f"{node.name}: another block {block.height}"


def pause(chance: random.Random, seconds_max: float = MOMENT_SECONDS_MAX) -> None:
    """Until a random moment: here the time is what is drawn, and nothing is waited for."""
    time.sleep(chance.uniform(0, seconds_max))
