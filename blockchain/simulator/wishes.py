"""What a person asks of a scenario beside its seed, and how it stands on a command line.

A partition is written `0,1/2,3@2-8.5`: nodes 0 and 1 apart from 2 and 3, from second 2 on until second 8.5.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

from blockchain.errors import ConfigError
from blockchain.simulator.cuts import Cuts, words_of
from blockchain.simulator.faults import Partition

VALIDATORS_MAX: Final = 100  # the parameter's default
FOLLOWERS_MAX: Final = 100  # links go from everybody to everybody
PARTITION_S_MAX: Final = 3_600  # of virtual time: a run lasts at least as long, and nodes are never idle
_PARTITION: Final = re.compile(r"([0-9,/]+)@([0-9.]{1,9})-([0-9.]{1,9})")


class Wishes(Struct, frozen=True, kw_only=True):
    """What is not left to the seed; None: it is. `partitions` come in addition to drawn faults, if there are any."""

    validators: int | None = None
    followers: int | None = None
    byzantine: int | None = None
    heights: int | None = None
    loss: float | None = None
    partitions: tuple[Partition, ...] = ()
    is_calm: bool = False


NO_WISHES: Final = Wishes()


def partition_of(text: str) -> Partition:
    """A partition in words. Raises ConfigError."""
    match = _PARTITION.fullmatch(text)
    sides = [] if match is None else [side.split(",") for side in match[1].split("/")]
    if match is None or len(sides) < 2 or not all(number.isdigit() for side in sides for number in side):
        raise ConfigError(f"{text!r} is no partition: write 0,1/2,3@2-8 for nodes 0, 1 and 2, 3 apart from 2 s to 8 s")
    groups = tuple(tuple(int(number) for number in side) for side in sides)
    named = [number for group in groups for number in group]
    if len(set(named)) < len(named):
        raise ConfigError(f"{text!r}: a node is on one side of a partition")
    at_ms, until_ms = _ms(match[2]), _ms(match[3])
    if at_ms >= until_ms:
        raise ConfigError(f"{text!r}: it ends before it begins")
    if until_ms > 1000 * PARTITION_S_MAX:
        raise ConfigError(f"{text!r}: it ends after second {PARTITION_S_MAX}")
    return Partition(at_ms=at_ms, until_ms=until_ms, groups=groups)


def command_of(seed: int, wishes: Wishes, cuts: Cuts | None = None) -> str:
    """The one command that plays a seed again."""
    parts = ["python -m blockchain simulate", f"--seed {seed}"]
    for name in ("validators", "followers", "byzantine", "heights", "loss"):
        value = getattr(wishes, name)
        if value is not None:
            parts.append(f"--{name} {value}")
    parts += [f"--partition {_words(partition)}" for partition in wishes.partitions]
    parts += ["--calm"] * wishes.is_calm
    words = "" if cuts is None else words_of(cuts)
    return " ".join([*parts, *([f"--without {words}"] if words else [])])


def _words(partition: Partition) -> str:
    sides = "/".join(",".join(map(str, group)) for group in partition.groups)
    return f"{sides}@{partition.at_ms / 1000:g}-{partition.until_ms / 1000:g}"


def _ms(seconds: str) -> int:
    try:
        return round(float(seconds) * 1000)
    except ValueError:
        raise ConfigError(f"{seconds!r} is no number of seconds") from None
