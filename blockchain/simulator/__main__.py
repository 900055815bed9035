"""`python -m blockchain.simulator --seeds 0-199`: run seeds and print what they came to; 1 when one broke a rule."""

from __future__ import annotations

import argparse
import sys

from blockchain.simulator.drawing import draw
from blockchain.simulator.outcome import heading, row, total
from blockchain.simulator.playing import play, world_of
from blockchain.simulator.world import Violation


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m blockchain.simulator", description=__doc__)
    parser.add_argument("--seeds", default="0-199", metavar="FIRST-LAST", help="one seed, or a range of them")
    parser.add_argument("--transcript", action="store_true", help="print every event of each run too")
    asked = parser.parse_args(arguments)
    first, _, last = asked.seeds.partition("-")
    print(heading())
    outcomes = []
    broken = 0
    for seed in range(int(first), int(last or first) + 1):
        scenario = draw(seed)
        world = world_of(scenario)
        try:
            outcomes.append(play(scenario, world))
            print(row(outcomes[-1]), flush=True)
        except Violation as violation:
            broken += 1
            print(violation, flush=True)
        if asked.transcript:
            print("\n".join(world.transcript))
    print(total(outcomes))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
