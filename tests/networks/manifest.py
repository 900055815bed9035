"""What a generated network is: its nodes, who reaches whom, the chain's rules, the load, and what befalls it.

Drawn from a seed and nothing else, frozen, and written as JSON, so that a network that failed is played again:
the same network and the same blows, though not the same interleaving, which is the machine's. What may be drawn is
what every chain has to bear: at each moment that a round begins, more than two thirds of the stake are there.
"""

from __future__ import annotations

import random
from typing import Final, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from blockchain.primitives.chain import Parameters

Topology = Literal["mesh", "line", "star", "seed"]
Kind = Literal["kill", "stop", "cut", "restart", "disk", "signer"]
CutName = Literal["", "REFUSED", "SILENT", "HELD"]

TOPOLOGIES: Final[tuple[Topology, ...]] = ("mesh", "line", "star", "seed")
KINDS: Final[tuple[Kind, ...]] = ("kill", "stop", "cut", "restart", "disk", "signer")
CUTS: Final[tuple[CutName, ...]] = ("REFUSED", "SILENT", "HELD")
LONG_MS: Final = 10_000  # for how long a node stands still, or is cut off
SHORT_MS_MAX: Final = 3_000  # for how long one is down that was killed or told to end
BLOWS_PER_NODE: Final = (0, 1, 1, 2)  # as likely as they stand here
RATES: Final = (5, 20, 40)  # transactions a second: what nine nodes bear that share two processors
STAKE_MIN: Final = 500
STAKE_MAX: Final = 1_500


class NodePlan(Struct, frozen=True):
    """A validator, or a full node where `stake` is 0. `joins`: the round of blows with which it starts; -1: at once."""

    stake: int
    joins: int = -1
    has_signer: bool = False  # its key is in another process

    @property
    def is_late(self) -> bool:
        return self.joins >= 0


class Blow(Struct, frozen=True):
    """What befalls a node: `kind` begins with the round and ends with it, by which the node is well again."""

    node: int
    kind: Kind
    how: CutName = ""

    def __str__(self) -> str:
        return f"{self.kind}{f' ({self.how.lower()})' if self.how else ''} of node-{self.node}"


class Round(Struct, frozen=True):
    """Blows at once, and for how long they last."""

    blows: tuple[Blow, ...]
    lasts_ms: int


class LoadPlan(Struct, frozen=True):
    """Of each client: so many transactions, a pause, and so on; beside them validators that change their stakes."""

    batch: int
    pause_ms: int
    fee: int
    stakers: int


class Manifest(Struct, frozen=True):
    """Nodes by their place in line; those that join late stand last."""

    seed: int
    topology: Topology
    parameters: Parameters
    nodes: tuple[NodePlan, ...]
    rounds: tuple[Round, ...]
    load: LoadPlan
    look_s: int

    @property
    def validators(self) -> list[int]:
        return [index for index, node in enumerate(self.nodes) if node.stake]


def draw(seed: int) -> Manifest:
    chance = random.Random(seed)
    topology = chance.choice(TOPOLOGIES)
    early, late = _draw_nodes(chance)
    rounds = _draw_rounds(chance, early, topology)
    joins = sorted(chance.randrange(len(rounds)) for _ in late)
    late = [replace(node, joins=number) for node, number in zip(late, joins, strict=True)]
    rounds += _draw_late_rounds(chance, len(early), late, topology)
    return Manifest(
        seed=seed,
        topology=topology,
        parameters=_draw_parameters(chance),
        nodes=(*early, *late),
        rounds=tuple(rounds),
        load=_draw_load(chance, len(early) + len(late)),
        look_s=chance.choice((0, 0, 2, 4)),
    )


def to_json(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def from_json(raw: bytes) -> Manifest:
    """Raises msgspec.ValidationError."""
    return msgspec.json.decode(raw, type=Manifest)


def peers_of(manifest: Manifest, node: int) -> list[int]:
    """Whom this node dials."""
    match manifest.topology:
        case "mesh":
            return [other for other in range(len(manifest.nodes)) if other != node]
        case "line":
            return [node - 1] if node else []
        case "star" | "seed":
            return [0] if node else []


def summary(manifest: Manifest) -> str:
    late = sum(node.is_late for node in manifest.nodes)
    full = sum(not node.stake for node in manifest.nodes)
    blows = sum(len(one.blows) for one in manifest.rounds)
    signer = ", a remote signer" if any(node.has_signer for node in manifest.nodes) else ""
    return (
        f"{manifest.topology} of {len(manifest.validators)} validators and {full} full nodes, {late} of them late"
        f"{signer}; {blows} blows in {len(manifest.rounds)} rounds"
    )


# ------------------------------------------------------------------------------------------------------- drawing


def _draw_nodes(chance: random.Random) -> tuple[list[NodePlan], list[NodePlan]]:
    """Those there from the start, and those that join late, which hold less than a third of the stake together."""
    stakes = [chance.randint(STAKE_MIN, STAKE_MAX) for _ in range(chance.randint(4, 7))]
    signer = chance.randrange(len(stakes)) if chance.random() < 0.5 else None
    early = [NodePlan(stake, has_signer=index == signer) for index, stake in enumerate(stakes)]
    early += [NodePlan(0)] * chance.randint(0, 2)
    chance.shuffle(early)
    late: list[NodePlan] = []
    for _ in range(chance.randint(0, 2)):
        away = sum(node.stake for node in late)
        candidates = [node for node in early if 3 * (away + node.stake) < sum(stakes)]
        if candidates:
            late.append(chance.choice(candidates))
            early.remove(late[-1])
    return early, late


def _draw_rounds(chance: random.Random, nodes: list[NodePlan], topology: Topology) -> list[Round]:
    """Each node's blows in any order, one or two at once, at least one in all."""
    victims = [index for index in range(len(nodes)) for _ in range(chance.choice(BLOWS_PER_NODE))] or [0]
    chance.shuffle(victims)
    rounds = []
    while victims:
        both = victims[: chance.choice((1, 1, 2))]
        victims = victims[len(both) :]
        blows = [_draw_blow(chance, victim, nodes[victim], topology) for victim in dict.fromkeys(both)]
        if sum(blow.kind == "cut" for blow in blows) > 1:  # one way to cut at a time
            blows = blows[:1]
        rounds.append(_lasting(chance, *blows))
    return rounds


def _draw_late_rounds(chance: random.Random, first: int, late: list[NodePlan], topology: Topology) -> list[Round]:
    """After all others, so that a node that joins late is struck only when it is there."""
    struck = [index for index in range(len(late)) if chance.random() < 0.5]
    return [_lasting(chance, _draw_blow(chance, first + index, late[index], topology)) for index in struck]


def _lasting(chance: random.Random, *blows: Blow) -> Round:
    is_long = any(blow.kind in ("stop", "cut") for blow in blows)
    return Round(blows, LONG_MS if is_long else chance.randrange(SHORT_MS_MAX))


def _draw_blow(chance: random.Random, node: int, plan: NodePlan, topology: Topology) -> Blow:
    """Links that nodes found by themselves go through no proxy, and are not cut."""
    kinds = [kind for kind in KINDS if kind != "signer" or plan.has_signer]
    if topology == "seed":
        kinds.remove("cut")
    kind = chance.choice(kinds)
    return Blow(node, kind, chance.choice(CUTS) if kind == "cut" else "")


def _draw_load(chance: random.Random, clients: int) -> LoadPlan:
    batch = chance.choice((1, 4, 10))
    return LoadPlan(
        batch=batch,
        pause_ms=1_000 * batch * clients // chance.choice(RATES),
        fee=chance.choice((0, 1, 5)),
        stakers=chance.choice((0, 1, 2)),
    )


def _draw_parameters(chance: random.Random) -> Parameters:
    """Of chains that go on within seconds: a round's time-outs stay below the time that a network has to recover."""
    step_ms = chance.choice((300, 500, 1_000))
    return Parameters(
        block_threshold=chance.choice((1, 1, 5)),
        block_max_transactions=chance.choice((50, 200, 1_000)),
        block_max_wait_ms=chance.choice((100, 300, 1_000)),
        heartbeat_ms=chance.choice((None, 500, 2_000)),
        stake_delay=chance.choice((8, 16, 32)),
        propose_timeout_ms=2 * step_ms,
        propose_delta_ms=chance.choice((100, 300)),
        prevote_timeout_ms=step_ms,
        prevote_delta_ms=chance.choice((100, 300)),
        precommit_timeout_ms=step_ms,
        precommit_delta_ms=chance.choice((100, 300)),
        timeout_max_ms=4_000,
        commit_wait_ms=chance.choice((0, 50, 100)),
        reward_per_block=chance.choice((0, 1_000)),
        absence_window=chance.choice((None, 20, 1_000)),
        unbonding_blocks=50,
    )
