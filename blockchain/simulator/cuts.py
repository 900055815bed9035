"""What is left out of a scenario, as data and in words: `--without node3,fault0,actor2,loss,heights5`.

Numbers are those of the whole scenario, so that one command with the seed in it plays what is left.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from blockchain.errors import ConfigError
from blockchain.simulator.faults import Fault
from blockchain.simulator.scenario import NODE_LISTS, Scenario

CALM: Final = ("loss", "duplicates", "late")  # fields of `Links` that can be done without
_WORD: Final = re.compile(r"(node|fault|actor|heights)([0-9]{1,9})")


class Cuts(Struct, frozen=True, kw_only=True):
    """`nodes` are not there, `faults` do not happen, `actors` are honest, `calm` is what links do not do.

    `heights`: no more than so many are waited for; 0: all.
    """

    nodes: frozenset[int] = frozenset()
    faults: frozenset[int] = frozenset()
    actors: frozenset[int] = frozenset()
    calm: frozenset[str] = frozenset()
    heights: int = 0


def cut(scenario: Scenario, cuts: Cuts) -> Scenario:
    """What is left; nodes that are left move up, with their keys and stakes."""
    left = [number for number in range(len(scenario.nodes)) if number not in cuts.nodes]
    places = {number: place for place, number in enumerate(left)}
    faults = (fault for number, fault in enumerate(scenario.faults) if number not in cuts.faults)
    return replace(
        scenario,
        nodes=tuple(scenario.nodes[number] for number in left),
        links=replace(scenario.links, **dict.fromkeys(sorted(cuts.calm), 0.0)),
        faults=tuple(moved for fault in faults if (moved := _move(fault, places)) is not None),
        hostile=tuple(
            (places[number], names)
            for number, names in scenario.hostile
            if number in places and number not in cuts.actors
        ),
        absent=tuple(places[number] for number in scenario.absent if number in places),
        heights=min(cuts.heights or scenario.heights, scenario.heights),
    )


def check_cuts(scenario: Scenario, cuts: Cuts) -> None:
    """What is left out is there to begin with, and something is less without it. Raises ConfigError."""
    hostile = {number for number, _ in scenario.hostile}
    for kind, named, there in (
        ("node", cuts.nodes, set(range(len(scenario.nodes)))),
        ("fault", cuts.faults, set(range(len(scenario.faults)))),
        ("actor", cuts.actors, hostile),
    ):
        if strange := sorted(named - there):
            raise ConfigError(f"{kind}{strange[0]} can not be left out: there is none")
    for name in CALM:
        if name in cuts.calm and not getattr(scenario.links, name):
            raise ConfigError(f"{name} can not be left out: there is none")
    if cuts.heights >= scenario.heights:
        raise ConfigError(f"heights{cuts.heights} leaves nothing out: there are {scenario.heights}")


def words_of(cuts: Cuts) -> str:
    """The cuts as one word of a command line; empty: there are none."""
    numbered = (("node", cuts.nodes), ("fault", cuts.faults), ("actor", cuts.actors))
    words = [f"{kind}{number}" for kind, numbers in numbered for number in sorted(numbers)]
    words += [name for name in CALM if name in cuts.calm]
    return ",".join([*words, *([f"heights{cuts.heights}"] if cuts.heights else [])])


def cuts_of(text: str) -> Cuts:
    """The other way. Raises ConfigError."""
    found: dict[str, set[int]] = {"node": set(), "fault": set(), "actor": set(), "heights": set()}
    calm = set()
    for word in text.split(","):
        match = _WORD.fullmatch(word)
        if match is not None:
            found[match[1]].add(int(match[2]))
        elif word in CALM:
            calm.add(word)
        else:
            raise ConfigError(f"{word!r} can not be left out: node3, fault0, actor2, heights5, {', '.join(CALM)} can")
    heights = found["heights"] or {0}
    if len(heights) > 1 or 0 in found["heights"]:
        raise ConfigError(f"{text!r}: heights5 stands once, with the number of heights to wait for, 1 or more")
    return Cuts(
        nodes=frozenset(found["node"]),
        faults=frozenset(found["fault"]),
        actors=frozenset(found["actor"]),
        calm=frozenset(calm),
        heights=max(heights),
    )


def _move(fault: Fault, places: dict[int, int]) -> Fault | None:
    """The fault with the nodes that are left, at their new places; None where it names none of them."""
    changes: dict[str, object] = {}
    for field in fault.__struct_fields__:
        value = getattr(fault, field)
        if field == "node":
            if value not in places:
                return None
            changes[field] = places[value]
        elif field in NODE_LISTS:
            changes[field] = _left(value, places)
        elif field == "groups":
            changes[field] = tuple(_left(group, places) for group in value)
    if not any(changes.values()) and "node" not in changes:
        return None
    return replace(fault, **changes)


def _left(numbers: tuple[int, ...], places: dict[int, int]) -> tuple[int, ...]:
    return tuple(places[number] for number in numbers if number in places)
