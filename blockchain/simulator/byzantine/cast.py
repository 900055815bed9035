"""All actors by name, how a node is made to play them, and the drawing of hostile nodes for a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from blockchain.primitives.crypto import Address
from blockchain.simulator.byzantine.actor import HEEDLESS, Actor, Hostile
from blockchain.simulator.byzantine.forging import (
    ForgesNothing,
    ForgesTwice,
    LeavesOutPrecommits,
    SendsWrongRoots,
    WarpsTime,
    WithholdsProof,
)
from blockchain.simulator.byzantine.telling import (
    Floods,
    LiesInSync,
    NamesOnly,
    PoisonsExchange,
    ReplaysVotes,
    WithholdsBodies,
)
from blockchain.simulator.byzantine.voting import (
    ClaimsPolka,
    ForgetsLock,
    ShowsTwoFaces,
    VotesForInvalid,
    VotesNil,
    VotesTwice,
)
from blockchain.simulator.world import World

ACTORS: Final[dict[str, Callable[[], Actor]]] = {
    "forges_twice": ForgesTwice,
    "votes_twice": VotesTwice,
    "forges_nothing": ForgesNothing,
    "votes_nil": VotesNil,
    "forgets_lock": ForgetsLock,
    "claims_polka": ClaimsPolka,
    "votes_for_invalid": VotesForInvalid,
    "sends_wrong_roots": SendsWrongRoots,
    "withholds_bodies": WithholdsBodies,
    "names_only": NamesOnly,
    "withholds_proof": WithholdsProof,
    "warps_time": WarpsTime,
    "replays_votes": ReplaysVotes,
    "floods": Floods,
    "lies_in_sync": LiesInSync,
    "poisons_exchange": PoisonsExchange,
    "shows_two_faces": ShowsTwoFaces,
    "leaves_out_precommits": LeavesOutPrecommits,
}
ACTORS_MAX: Final = 3  # drawn for one node

Playing = tuple[int, tuple[str, ...]]  # a node, and the names of its actors


def turn(world: World, number: int, names: Sequence[str]) -> None:
    """Make a node that does not run yet play these actors; of two that twist the same thing the later one wins.

    Raises KeyError for a name that is none of `ACTORS`.
    """
    node = world.nodes[number]
    world.docket.suspect(map(Address, node.keys))
    node.conduct = Hostile(tuple(ACTORS[name]() for name in names))
    node.caution = HEEDLESS


def draw_hostile(rng: Random, stakes: Sequence[int]) -> tuple[Playing, ...]:
    """Some of the validators, whose stakes these are by node, and what they play.

    All of them have less than a third of the least that may be left in the set while some are suspended: nine tenths
    of the stake, as `active_share_min_bp` says by default (protocol §6.3).
    """
    room = (sum(stakes) * 3 - 1) // 10
    hostile: list[Playing] = []
    for number in rng.sample(range(len(stakes)), len(stakes)):
        if stakes[number] > room or (hostile and rng.random() < 0.5):
            continue
        room -= stakes[number]
        names = rng.sample(sorted(ACTORS), rng.randint(1, ACTORS_MAX))
        hostile.append((number, tuple(names)))
    return tuple(sorted(hostile))
