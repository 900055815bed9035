"""`simulate`: a whole network in one process, drawn from a seed, struck by faults, healed, and checked."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import add_command, whole_number
from blockchain.errors import ConfigError

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.simulator.cuts import Cuts
    from blockchain.simulator.scenario import Scenario
    from blockchain.simulator.wishes import Wishes

SEED: Final = 1
HEIGHTS: Final = 20
RUNS_MAX: Final = 1_000_000
DRAWN: Final = ("seed", "validators", "followers", "byzantine", "heights", "loss", "partition", "calm")
NO_TABLE: Final = ("scenario", "json", "without", "all", "no_shrink")


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "simulate",
        "play a network in one process, with faults, and check it",
        run,
        "Play a whole network in one process, under a virtual clock: the production core of every node, on links that "
        "lose and delay, with nodes that crash and validators that lie. All of it is drawn from the seed, heals in the "
        "end, and is checked. The same seed gives the same bytes. Exit code 1: a rule was broken.",
    )
    parser.add_argument("--seed", type=whole_number, help=f"what everything is drawn from (default: {SEED})")
    parser.add_argument("--runs", type=_count, metavar="N", help="play N seeds from this one on, and print a table")
    parser.add_argument("--validators", type=_count, metavar="N", help="how many (default: drawn)")
    parser.add_argument("--followers", type=whole_number, metavar="N", help="nodes without a key (default: drawn)")
    parser.add_argument("--byzantine", type=whole_number, metavar="N", help="hostile validators (default: drawn)")
    parser.add_argument("--heights", type=_count, metavar="N", help=f"how many are decided (default: {HEIGHTS})")
    parser.add_argument("--loss", type=_share, metavar="SHARE", help="of messages, 0 to 0.9 (default: drawn)")
    parser.add_argument(
        "--partition",
        action="append",
        default=[],
        metavar="0,1/2,3@2-8",
        help="nodes apart from second 2 to 8, in addition to what is drawn; may be given more than once",
    )
    parser.add_argument("--calm", action="store_true", help="no drawn faults")
    parser.add_argument("--without", metavar="WHAT", help="leave out node3,fault0,actor2,loss,heights5")
    parser.add_argument("--scenario", type=Path, metavar="FILE", help="play this one, as --json prints it")
    parser.add_argument("--json", action="store_true", help="print the scenario, and do not play it")
    parser.add_argument("--all", action="store_true", help="print every event of every node")
    parser.add_argument("--no_shrink", action="store_true", help="do not look for less that fails in the same way")


def run(arguments: argparse.Namespace) -> int:
    if arguments.scenario is not None:
        _check_alone(arguments, "--scenario FILE holds everything", DRAWN)
    if arguments.runs is not None:
        _check_alone(arguments, "--runs prints a table of drawn runs", NO_TABLE)
        return _run_table(arguments)
    from blockchain.simulator.cuts import Cuts, check_cuts, cut, cuts_of
    from blockchain.simulator.scenario import check_scenario, to_json

    whole = _whole(arguments)
    cuts = Cuts() if arguments.without is None else cuts_of(arguments.without)
    check_cuts(whole, cuts)
    check_scenario(cut(whole, cuts))
    if arguments.json:
        sys.stdout.write(to_json(cut(whole, cuts)).decode())
        return 0
    return _run_one(arguments, whole, cuts)


def _check_alone(arguments: argparse.Namespace, why: str, names: tuple[str, ...]) -> None:
    """A flag that would be ignored is a mistake. Raises ConfigError."""
    given = [f"--{name}" for name in names if getattr(arguments, name) not in (None, False, [])]
    if given:
        raise ConfigError(f"{why}: leave out {', '.join(given)}")


def _run_one(arguments: argparse.Namespace, whole: Scenario, cuts: Cuts) -> int:
    from blockchain.simulator.cuts import cut
    from blockchain.simulator.outcome import verdict
    from blockchain.simulator.playing import play, world_of
    from blockchain.simulator.story import head_of, told
    from blockchain.simulator.world import Violation

    scenario = cut(whole, cuts)
    world = world_of(scenario)
    print("\n".join(head_of(scenario)), flush=True)
    try:
        outcome = play(scenario, world)
    except Violation as violation:
        print("\n".join(world.transcript if arguments.all else told(world)))
        print(f"verdict: broken: {violation}\nreplay: {_replay(arguments, cuts)}", flush=True)
        if not arguments.no_shrink:
            _shrink(arguments, whole, cuts, str(violation))
        return 1
    print("\n".join(world.transcript if arguments.all else told(world)))
    print(f"verdict: every rule held; {verdict(outcome)}")
    return 0


def _shrink(arguments: argparse.Namespace, whole: Scenario, cuts: Cuts, failure: str) -> None:
    from blockchain.simulator import shrinking
    from blockchain.simulator.cuts import cut
    from blockchain.simulator.story import head_of

    shrunk = shrinking.shrink(whole, shrinking.kind_of(failure), cuts, runs_max=shrinking.RUNS_MAX)
    small = cut(whole, shrunk.cuts)
    print(f"it takes no more than this, as {shrunk.runs} runs show: {len(small.nodes)} nodes, {small.heights} heights")
    print("\n".join(head_of(small)))
    for fault in small.faults:
        print(f"  from {fault.at_ms / 1000:g} s to {fault.until_ms / 1000:g} s {fault.words}")
    print(f"replay: {_replay(arguments, shrunk.cuts)}")


def _run_table(arguments: argparse.Namespace) -> int:
    from blockchain.simulator.drawing import draw
    from blockchain.simulator.outcome import heading, row, total
    from blockchain.simulator.playing import play, world_of
    from blockchain.simulator.wishes import command_of
    from blockchain.simulator.world import Violation

    wishes = _wishes(arguments)
    outcomes = []
    broken = 0
    print(heading())
    first = _seed(arguments)
    for seed in range(first, first + arguments.runs):
        scenario = draw(seed, wishes)
        try:
            outcomes.append(play(scenario, world_of(scenario)))
            print(row(outcomes[-1]), flush=True)
        except Violation as violation:
            broken += 1
            print(f"{violation}\nreplay: {command_of(seed, wishes)}", flush=True)
    print(total(outcomes))
    return 1 if broken else 0


def _whole(arguments: argparse.Namespace) -> Scenario:
    """The scenario before anything is left out of it."""
    from blockchain.simulator.drawing import draw
    from blockchain.simulator.scenario import SCENARIO_BYTES_MAX, of_json

    if arguments.scenario is None:
        return draw(_seed(arguments), _wishes(arguments))
    try:
        with arguments.scenario.open("rb") as file:
            return of_json(file.read(SCENARIO_BYTES_MAX + 1))
    except OSError as error:
        raise ConfigError(f"{arguments.scenario} can not be read: {error.strerror}") from None


def _seed(arguments: argparse.Namespace) -> int:
    return SEED if arguments.seed is None else int(arguments.seed)


def _wishes(arguments: argparse.Namespace) -> Wishes:
    from blockchain.simulator.wishes import Wishes, partition_of

    return Wishes(
        validators=arguments.validators,
        followers=arguments.followers,
        byzantine=arguments.byzantine,
        heights=arguments.heights or HEIGHTS,
        loss=arguments.loss,
        partitions=tuple(map(partition_of, arguments.partition)),
        is_calm=arguments.calm,
    )


def _replay(arguments: argparse.Namespace, cuts: Cuts) -> str:
    from blockchain.simulator.cuts import words_of
    from blockchain.simulator.wishes import command_of

    if arguments.scenario is None:
        return command_of(_seed(arguments), _wishes(arguments), cuts)
    words = words_of(cuts)
    return f"python -m blockchain simulate --scenario {shlex.quote(str(arguments.scenario))}" + (
        f" --without {words}" if words else ""
    )


def _count(text: str) -> int:
    number = whole_number(text)
    if not 1 <= number <= RUNS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {RUNS_MAX}")
    return number


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 0.9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 0.9")
    return share
