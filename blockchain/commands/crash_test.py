"""`crash-test`: kill a validator again and again on the user's own disk, and see that nothing is lost.

A real node of a fresh chain of its own, in a new folder below the one that the user names; it forges for a client that
remembers what was acknowledged. A process that is killed leaves what the system holds in its cache, so this shows that
the program survives; only a power cut shows that the disk keeps what it says it has written. The verdict says so.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blockchain.commands.arguments import add_command, whole_number

if TYPE_CHECKING:
    from blockchain.commands.arguments import Commands
    from blockchain.commands.crash_test_play import Figures

KILLS: Final = 30  # about a minute
KILLS_MAX: Final = 10_000  # some hours
NO_DISK_MS: Final = 0.01  # no disk forces anything to be kept as fast: a file system in memory, or one that does not


def add_parser(commands: Commands) -> None:
    parser = add_command(
        commands,
        "crash-test",
        "kill a validator again and again on a disk of yours, and see that nothing is lost",
        run,
        "Make a chain of one validator in a new folder below FOLDER, let a client send transactions to it, and kill "
        "its process (kill -9) at random moments, as it runs and as it starts. After each kill its chain and its "
        "signing record are compared with what they were, and in the end everything is checked. The new folder is "
        "deleted when all is well. 30 kills take about a minute.",
    )
    parser.add_argument("folder", type=Path, help="a folder on the disk that the node is to use")
    parser.add_argument("--kills", type=_kills, default=KILLS, help="how often (default: %(default)s)")


def _kills(text: str) -> int:
    number = whole_number(text)
    if not 1 <= number <= KILLS_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and {KILLS_MAX}")
    return number


def run(arguments: argparse.Namespace) -> int:
    from blockchain.commands.checks_disk import sync_ms
    from blockchain.commands.crash_test_play import CrashTestFailed, make_folder_below, play
    from blockchain.commands.processes import interruptible

    with interruptible():
        folder = make_folder_below(arguments.folder)
        print(f"A validator of a chain of its own, in {folder}", flush=True)
        try:
            print(disk_line(sync_ms(folder)), flush=True)
            figures = play(folder, arguments.kills, lambda line: print(line, flush=True))
        except CrashTestFailed as failure:
            print(f"blockchain: FAILED: {failure}; everything is left in {folder}", file=sys.stderr)
            return 1
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
    print(verdict(figures))
    return 0


def disk_line(times_ms: list[float]) -> str:
    """What small durable writes took, in milliseconds, and what that tells of the disk."""
    median = statistics.median(times_ms)
    text = f"Disk: a small durable write takes {median:.2f} ms, the slowest of {len(times_ms)} {max(times_ms):.2f} ms."
    if median < NO_DISK_MS:
        text += " No disk is so fast: this file system forces nothing to a disk, and a power cut would take all of it."
    return text


def verdict(figures: Figures) -> str:
    """For people: what was seen, and what this test cannot see."""
    return (
        f"PASSED: {figures.kills} kills, {figures.starting} of them while it started.\n"
        f"  {figures.blocks} blocks: none was lost or replaced, and the whole chain was checked from genesis on.\n"
        f"  {figures.acknowledged} transactions were acknowledged, and all of them are in it.\n"
        f"  The signing record never forgot a signature.\n"
        f"  Started again it answered after {figures.start_s:.1f} s, {figures.start_max_s:.1f} s at most.\n"
        "What this cannot show: whether the disk keeps through a power cut what it says it has written. A killed\n"
        "process leaves the system's cache as it is. For that, use a disk with power loss protection, or pull a plug."
    )
