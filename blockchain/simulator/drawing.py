"""From a seed to a scenario: how many nodes with how much stake, which parameters, links, faults and load.

Each part is drawn from a `Random` of its own, so that a wish for one of them leaves the others as they were.
"""

from __future__ import annotations

from random import Random
from typing import Final

from msgspec.structs import replace

from blockchain.errors import ConfigError
from blockchain.node.bodies import OUTLINED_MIN
from blockchain.primitives.chain import Parameters
from blockchain.simulator.byzantine.cast import ACTORS, ACTORS_MAX, Playing, draw_hostile
from blockchain.simulator.draw_faults import draw_faults
from blockchain.simulator.faults import Partition
from blockchain.simulator.network import Links
from blockchain.simulator.scenario import Member, Scenario, check_names
from blockchain.simulator.wishes import FOLLOWERS_MAX, NO_WISHES, VALIDATORS_MAX, Wishes

HEIGHTS: Final = 6  # of a run where nobody says how many
STORM_MS: Final = 700  # a height, at most: most take half, and some stand still until a fault ends
STORM_MIN_MS: Final = 8_000  # so that a short run meets a few faults too
HEALED_MS: Final = (1, 20)  # three journeys take less than the shortest time-out that is drawn: see `liveness.py`
THIRD_STAKE: Final = 1_000  # of the node that is absent for good, with just under a third


def draw(seed: int, wishes: Wishes = NO_WISHES) -> Scenario:
    """The scenario of a seed. Raises ConfigError where what is wished for does not fit."""
    heights = HEIGHTS if wishes.heights is None else wishes.heights
    is_demo = _rng(seed, "chain").random() < 0.3
    storm_min_ms = max((partition.until_ms for partition in wishes.partitions), default=0)
    storm_ms = max(STORM_MIN_MS, heights * STORM_MS, storm_min_ms)
    shape = _rng(seed, "shape").choices(("plain", "hostile", "halves", "third"), (45, 35, 10, 10))[0]
    if wishes.byzantine is not None:
        shape = "hostile" if wishes.byzantine else "plain"
    nodes = _draw_nodes(seed, wishes, shape)
    faults = () if wishes.is_calm else draw_faults(_rng(seed, "faults"), len(nodes), storm_ms)
    if shape == "halves" and not wishes.is_calm:
        faults = (*faults, _halves(nodes, storm_ms))
    links = _draw_links(_rng(seed, "links"))
    scenario = Scenario(
        seed=seed,
        nodes=nodes,
        is_demo=is_demo,
        parameters=_draw_parameters(_rng(seed, "parameters"), is_demo=is_demo),
        links=links if wishes.loss is None else replace(links, loss=wishes.loss),
        skew_max_ms=_rng(seed, "skew").choice((0, 0, 100, 400)),
        is_staking=shape in ("plain", "halves"),
        load_ms=_rng(seed, "load").choice((60, 120, 300)),
        faults=(*faults, *wishes.partitions),
        hostile=_draw_hostile(seed, wishes, nodes) if shape == "hostile" else (),
        heights=heights,
        storm_ms=storm_ms,
        storm_min_ms=storm_min_ms,
        healed_delay_ms=_rng(seed, "healing").choice((None, HEALED_MS, HEALED_MS)),
        verify_ms_max=0 if wishes.is_calm else _rng(seed, "verifying").choice((0, 0, 300, 1_500)),
        outlined_min=_rng(seed, "outlines").choice((1, 1, 3, OUTLINED_MIN)),  # no block here has so many
        absent=(0,) if shape == "third" and sum(member.stake > 0 for member in nodes) > 1 else (),
    )
    check_names(scenario)
    return scenario


def _rng(seed: int, part: str) -> Random:
    return Random(f"{part} of {seed}")


def _draw_nodes(seed: int, wishes: Wishes, shape: str) -> tuple[Member, ...]:
    """Validators of any stake or of equal ones, perhaps a late one, and followers."""
    rng = _rng(seed, "nodes")
    drawn = rng.choice((4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 6, 7))
    validators = drawn if wishes.validators is None else wishes.validators
    if validators > VALIDATORS_MAX:
        raise ConfigError(f"{validators} validators: a set has {VALIDATORS_MAX}, and links from everybody to everybody")
    is_equal = rng.random() < 0.25 or shape == "halves"
    is_late = rng.random() < 0.12
    drawn = rng.choice((0, 0, 0, 0, 0, 1, 1, 2))
    followers = drawn if wishes.followers is None else wishes.followers
    if followers > FOLLOWERS_MAX:
        raise ConfigError(f"{followers} followers: {FOLLOWERS_MAX} at most, as links go from everybody to everybody")
    stakes = [1_000 if is_equal else rng.randint(200, 2_000) for _ in range(validators)]
    if shape == "third" and validators > 1:
        stakes = _third(validators)
    members = [Member(number, stake) for number, stake in enumerate(stakes)]
    return (*members, *[Member(validators)] * is_late, *[Member()] * followers)


def _draw_hostile(seed: int, wishes: Wishes, nodes: tuple[Member, ...]) -> tuple[Playing, ...]:
    """Who is hostile, and what they play. Raises ConfigError where so many would have too much stake."""
    rng = _rng(seed, "hostile")
    stakes = [member.stake for member in nodes if member.stake > 0]
    if wishes.byzantine is None:
        return draw_hostile(rng, stakes)
    least = sorted(range(len(stakes)), key=stakes.__getitem__)[: wishes.byzantine]
    if 3 * sum(stakes[number] for number in least) >= sum(stakes):
        raise ConfigError(f"{wishes.byzantine} of {len(stakes)} validators are too many: hostile is less than a third")
    return tuple((number, tuple(rng.sample(sorted(ACTORS), rng.randint(1, ACTORS_MAX)))) for number in sorted(least))


def _third(validators: int) -> list[int]:
    """Stakes of which the first is as much as a chain can do without."""
    others = 2 * THIRD_STAKE + 1
    share, rest = divmod(others, validators - 1)
    return [THIRD_STAKE, *(share + (number < rest) for number in range(validators - 1))]


def _halves(nodes: tuple[Member, ...], storm_ms: int) -> Partition:
    """Half of the stake apart from the other half until all heals."""
    validators = [number for number, member in enumerate(nodes) if member.stake > 0]
    some = tuple(validators[: len(validators) // 2])
    others = tuple(number for number in range(len(nodes)) if number not in some)
    return Partition(at_ms=storm_ms // 2, until_ms=storm_ms, groups=(some, others))


def _draw_parameters(rng: Random, *, is_demo: bool) -> Parameters:
    stake_delay = rng.randint(0, 2) if is_demo else rng.choice((8, 8, 12))
    return Parameters(
        block_threshold=rng.randint(1, 3),
        block_max_transactions=rng.choice((3, 4, 8, 50)),
        block_max_wait_ms=rng.choice((None, 300, 1_000)),
        stake_delay=stake_delay,
        unbonding_blocks=rng.choice((1, 3, 1_000)) if is_demo else rng.choice((stake_delay + 2, 1_000)),
        unbonding_ms=rng.choice((2_000, 10_000, 1_000_000_000)),
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
        delay_ms=rng.choice(((1, 10), (5, 60), (5, 60), (5, 60), (20, 150), (20, 150), (10, 300))),
        loss=rng.choice((0.0, 0.02, 0.1, 0.2, 0.3)),
        duplicates=rng.choice((0.0, 0.05)),
        late=rng.choice((0.0, 0.0, 0.1, 0.3)),
    )
