"""A scenario is a whole run drawn from one seed: the chain, the nodes, the load, the faults, and the healing.

Theory of operation. `draw` turns a seed into a `Scenario`, which is only numbers and can be read. `play` plays it in a
`World`: faults come and go until `heal_ms`; then everything arrives, every node is up, fresh load comes in, and all
nodes must decide, agree and come to rest before the deadline. What must always hold is `invariants.py`'s business; a
run that breaks it raises `Violation` with the seed, so that it can be played again.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from random import Random
from typing import Final

from msgspec import Struct

from blockchain.genesis import check_genesis
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, SigningKey
from blockchain.simulator.byzantine.cast import Playing, turn
from blockchain.simulator.draw_faults import draw_faults
from blockchain.simulator.faults import Fault
from blockchain.simulator.invariants import check_world, is_settled, unsettled
from blockchain.simulator.load import Load
from blockchain.simulator.network import Links
from blockchain.simulator.outcome import Outcome, count
from blockchain.simulator.world import Violation, World

GENESIS_MS: Final = 1_700_000_000_000
WALLETS: Final = 3  # funded, and busy while faults come and go
BALANCE: Final = 100_000
DEADLINE_MS: Final = 120_000  # of virtual time after healing; the time-outs grow to four seconds at most
LOOK_MS: Final = 250  # how often the driver looks whether all have come to rest
REST_MS: Final = 2_000  # for which rest must last: two status ticks, so that nothing is on its way any more


class Scenario(Struct, frozen=True, kw_only=True):
    """Everything that a seed decides before time begins."""

    seed: int
    spec: ChainSpec
    keys: tuple[SigningKey | None, ...]
    wallets: tuple[SigningKey, ...]
    links: Links
    skew_max_ms: int
    faults: tuple[Fault, ...]
    hostile: tuple[Playing, ...] = ()
    load_ms: tuple[int, ...]  # when a client of some wallet has something to send
    heal_ms: int


def key(name: str, number: int) -> SigningKey:
    """A key that is the same in every run."""
    return SigningKey(sha256(f"{name} {number}".encode()).digest())


def run_seed(seed: int) -> Outcome:
    """Draw a scenario and play it. Raises Violation."""
    scenario = draw(seed)
    return play(scenario, world_of(scenario))


# ---------------------------------------------------------------------------------------------------- drawing


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    rng = Random(f"scenario {seed}")
    validators = rng.choice((4, 4, 4, 5, 6, 7))
    followers = rng.choice((0, 0, 0, 1, 1, 2))
    latecomer = rng.random() < 0.2  # a node whose key is no validator's yet; its stake may make it one
    keys: list[SigningKey | None] = [key("validator", n) for n in range(validators + latecomer)]
    keys += [None] * followers
    heal_ms = rng.randint(8_000, 16_000)
    spec = _draw_spec(rng, validators, keys)
    check_genesis(spec)
    return Scenario(
        seed=seed,
        spec=spec,
        keys=tuple(keys),
        wallets=tuple(key("wallet", n) for n in range(WALLETS)),
        links=_draw_links(rng),
        skew_max_ms=rng.choice((0, 0, 100, 400)),
        faults=draw_faults(rng, len(keys), heal_ms),
        load_ms=tuple(sorted(rng.randint(500, heal_ms) for _ in range(rng.randint(8, 24)))),
        heal_ms=heal_ms,
    )


def _draw_spec(rng: Random, validators: int, keys: list[SigningKey | None]) -> ChainSpec:
    equal = rng.random() < 0.25
    is_demo = rng.random() < 0.3  # where stake may count at once, so that the set changes within a run
    stakes = [1_000 if equal else rng.randint(200, 2_000) for _ in range(validators)]
    owners = [*(key("wallet", n) for n in range(WALLETS + 1)), *(held for held in keys if held is not None)]
    return ChainSpec(
        chain_id=f"sim-{rng.randint(0, 999_999)}",
        time_ms=GENESIS_MS,
        demo=is_demo,
        parameters=_draw_parameters(rng, is_demo=is_demo),
        issuer=Address(key("wallet", 0).public_key),
        accounts=tuple(GenesisAccount(Address(owner.public_key), BALANCE) for owner in owners),
        validators=tuple(
            GenesisValidator(Address(key("validator", n).public_key), stake) for n, stake in enumerate(stakes)
        ),
    )


def _draw_parameters(rng: Random, *, is_demo: bool) -> Parameters:
    return Parameters(
        block_threshold=rng.randint(1, 3),
        block_max_transactions=rng.choice((3, 4, 8, 50)),
        block_max_wait_ms=rng.choice((None, 300, 1_000)),
        stake_delay=rng.randint(0, 2) if is_demo else rng.choice((8, 8, 12)),
        propose_timeout_ms=rng.choice((150, 300, 600)),
        propose_delta_ms=rng.choice((50, 100, 200)),
        prevote_timeout_ms=rng.choice((100, 200)),
        prevote_delta_ms=rng.choice((50, 100)),
        precommit_timeout_ms=rng.choice((100, 200)),
        precommit_delta_ms=rng.choice((50, 100)),
        timeout_max_ms=4_000,
        commit_wait_ms=rng.choice((0, 50, 100)),
        clock_drift_ms=500,
        reward_per_block=rng.choice((0, 7, 1_000)),
        absence_window=rng.choice((None, 10, 1_000)),
        pause_blocks_max=5,
        pause_interval=10,
    )


def _draw_links(rng: Random) -> Links:
    return Links(
        delay_ms=rng.choice(((1, 10), (5, 60), (5, 60), (20, 150), (10, 300))),
        loss=rng.choice((0.0, 0.02, 0.1, 0.2, 0.3)),
        duplicates=rng.choice((0.0, 0.05)),
        late=rng.choice((0.0, 0.0, 0.1, 0.3)),
    )


# ---------------------------------------------------------------------------------------------------- playing


def world_of(scenario: Scenario) -> World:
    """The world of a scenario before time begins; nobody runs yet."""
    world = World(scenario.spec, list(scenario.keys), scenario.seed, scenario.links, scenario.skew_max_ms)
    for number, names in scenario.hostile:
        turn(world, number, names)
    return world


def play(scenario: Scenario, world: World) -> Outcome:
    """Play a scenario to its end in its world, and check it. Raises Violation."""
    load = Load(world, scenario.wallets, key("wallet", WALLETS))
    for node in world.nodes:
        world.start(node.number)
    for time_ms in scenario.load_ms:
        world.at(time_ms, load.send)
    for fault in scenario.faults:
        world.at(fault.at_ms, partial(_begin, world, fault))
        world.at(fault.until_ms, partial(_end, world, fault))
    world.run_until(scenario.heal_ms)
    _heal(world)
    head = max(node.store.head() for node in world.honest)
    decided_ms = _settle(world, load, head, scenario.heal_ms + DEADLINE_MS)
    check_world(world, load)
    return count(world, decided_ms - scenario.heal_ms)


def _begin(world: World, fault: Fault) -> None:
    world.transcript.append(f"{world.time_ms:>8} {fault.words}")
    fault.begin(world)


def _end(world: World, fault: Fault) -> None:
    world.transcript.append(f"{world.time_ms:>8} no longer: {fault.words}")
    fault.end(world)


def _heal(world: World) -> None:
    """From now on everything arrives and every node is up."""
    world.network.heal()
    for node in world.nodes:
        world.spare(node.number)
        if node.core is None:
            world.start(node.number)


def _settle(world: World, load: Load, head: int, deadline_ms: int) -> int:
    """Fresh load until two more heights are decided, then rest; returns when all had decided one."""
    decided_ms = -1
    rests_since = -1
    while rests_since < 0 or world.time_ms < rests_since + REST_MS:
        if world.time_ms >= deadline_ms:
            raise Violation(f"seed {world.seed}: not at rest at {world.time_ms} ms: {unsettled(world, head)}")
        least = min(node.store.head() for node in world.honest)
        if decided_ms < 0 and least > head:
            decided_ms = world.time_ms
        if least < head + 2:
            load.send_fresh()
        if not is_settled(world) or least < head + 2:
            rests_since = -1
        elif rests_since < 0:
            rests_since = world.time_ms
        world.run_until(world.time_ms + LOOK_MS)
    return decided_ms
