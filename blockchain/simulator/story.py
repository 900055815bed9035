"""A run told for a person: what went wrong, and for each height who forged, who voted for what, when it was final.

Only what honest signers signed is told of votes: the words of hostile ones are in the full transcript.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Vote, VoteStep
from blockchain.seams import BlockFinalized, EvidenceFound, ForgerDrawn
from blockchain.simulator.scenario import Scenario
from blockchain.simulator.world import World

ROUNDS_TOLD: Final = 8  # of one height, the last ones
_NOTE: Final = re.compile(r" *(\d+) (?:node (\d+): (started|crashed|banned .*)|(?!node \d+: )(.*))", re.DOTALL)

Line = tuple[int, str]  # virtual time in ms, and what is told


def head_of(scenario: Scenario) -> Iterator[str]:
    """Who takes part."""
    validators = [f"{number} ({member.stake})" for number, member in enumerate(scenario.nodes) if member.stake > 0]
    yield f"seed {scenario.seed}: validators, with their stakes: {', '.join(validators)}"
    late = [number for number, member in enumerate(scenario.nodes) if member.key is not None and not member.stake]
    followers = [number for number, member in enumerate(scenario.nodes) if member.key is None]
    for what, numbers in (
        ("followers", followers),
        ("has a key, and no stake at first", late),
        ("never running", scenario.absent),
    ):
        if numbers:
            yield f"  {what}: {_names(numbers)}"
    for number, names in scenario.hostile:
        yield f"  hostile: node {number}, which {', '.join(names)}"
    links = scenario.links
    least, most = links.delay_ms
    shares = f"{links.loss:.0%} lost, {links.duplicates:.0%} delivered twice, {links.late:.0%} much delayed"
    yield f"  messages take {least} to {most} ms; {shares}"


def told(world: World) -> Iterator[str]:
    """The run, a line an event, in the order of time."""
    lines = [*_notes(world.transcript), *_heights(world)]
    for time_ms, text in sorted(lines, key=lambda line: line[0]):
        yield f"{time_ms / 1000:>9.3f} s  {text}"


def _notes(transcript: Iterable[str]) -> Iterator[Line]:
    """What is no event of a core: faults, starts, crashes, bans."""
    for line in transcript:
        match = _NOTE.fullmatch(line)
        if match is not None:
            yield int(match[1]), match[4] or f"node {match[2]} {match[3]}"


def _heights(world: World) -> Iterator[Line]:
    finals: dict[int, list[tuple[int, int, BlockFinalized]]] = {}
    forgers: dict[tuple[int, int], Address] = {}
    accused = set()
    for time_ms, (number, event) in zip(world.event_ms, world.events, strict=True):
        match event:
            case BlockFinalized():
                finals.setdefault(event.height, []).append((time_ms, number, event))
            case ForgerDrawn():
                forgers[event.height, event.round] = event.forger
            case EvidenceFound() if event.validator not in accused:
                accused.add(event.validator)
                yield time_ms, f"evidence against {_node_of(world, event.validator)}: {event.kind}"
            case _:
                pass
    votes = _votes(world)
    for height, decided in sorted(finals.items()):
        first_ms, _, event = decided[0]
        for round in range(max(0, event.decided_round - ROUNDS_TOLD), event.decided_round + 1):
            forger = forgers.get((height, round))
            drawn = "nobody knows who" if forger is None else _node_of(world, forger)
            yield first_ms, f"height {height} round {round}: {drawn} is drawn to forge{votes.get((height, round), '')}"
        nodes = len({number for _, number, _ in decided})
        last = f"the last of {nodes} nodes has it {decided[-1][0] - first_ms} ms later"
        yield first_ms, f"height {height} is final: block {event.block_id.hex()[:8]}; {last}"


def _votes(world: World) -> dict[tuple[int, int], str]:
    """Who voted for a block and who for nil, by height and round."""
    cast: dict[tuple[int, int], dict[tuple[VoteStep, bool], list[int]]] = {}
    for (number, height, round, _), signed in world.signed.items():
        if isinstance(signed, Vote):
            place = cast.setdefault((height, round), {})
            place.setdefault((signed.step, signed.block_id is None), []).append(number)
    return {place: "".join(_step(step, by) for step in VoteStep) for place, by in cast.items()}


def _step(step: VoteStep, by: dict[tuple[VoteStep, bool], list[int]]) -> str:
    block, nil = (_names(sorted(by.get((step, is_nil), ()))) for is_nil in (False, True))
    if not block and not nil:
        return ""
    return f"; {step.name.lower()}s {block or 'none'}" + (f", nil {nil}" if nil else "")


def _node_of(world: World, validator: Address) -> str:
    """The node whose validator this is."""
    numbers = [node.number for node in world.nodes if any(Address(key) == validator for key in node.keys)]
    return f"node {numbers[0]}" if numbers else f"the stake {validator.hex()[:8]}, which no node runs,"


def _names(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))
