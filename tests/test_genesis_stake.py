"""Parameters of stake that would make a chain unsafe, or stuck: each is refused, with its name and a reason.

The conditions stand here once more, from the text (protocol §9.3), and random chains have to be let in exactly where
all of them hold.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from blockchain.errors import InvalidGenesis
from blockchain.genesis import check_genesis
from blockchain.primitives.chain import ChainSpec, GenesisValidator, Parameters
from tests.samples import address, spec_of

WHOLE = 10_000


def chain(stakes: tuple[int, ...] = (100, 100, 100, 100), **parameters: Any) -> ChainSpec:
    plain = {"stake_delay": 8, "unbonding_blocks": 100, "stake_min": 10, "stake_step_max_bp": 1_000}
    validators = tuple(GenesisValidator(address(f"v{n}"), stake) for n, stake in enumerate(stakes))
    return spec_of(accounts=(), validators=validators, parameters=plain | parameters)


REFUSED: dict[str, tuple[ChainSpec, str]] = {
    "new stake without a bound": (chain(stake_step_max_bp=None), "stake_step_max_bp"),
    "new stake that could halt the chain": (chain(stake_step_max_bp=3_334), "stake_step_max_bp"),
    "one newcomer beside a stake of 4": (
        chain((4,), stake_step_max_bp=3_333, stake_min=1, slash_bp=10_000), "a stake of 4"
    ),
    "a set so small that a stand-by never fits": (chain((100,), validators_max=9), "validators_max"),
    "more validators than the set holds": (chain((100,) * 11, validators_max=10), "validators_max"),
    "a validator below the least stake": (chain((100, 99), stake_min=100), "stake_min"),
    "a double vote that costs nothing": (chain(stake_min=9), "stake_min"),
    "no penalty": (chain(slash_bp=0), "slash_bp"),
    "a forger that suspends the honest": (chain(absence_share_bp=4_999), "absence_share_bp"),
    "paused for ever": (chain(pause_blocks_max=100, pause_interval=199), "pause_interval"),
    "a third away": (chain(active_share_min_bp=6_666), "active_share_min_bp"),
    "newcomers and those who come back, at once": (
        chain(stake_step_max_bp=3_333, active_share_min_bp=8_571), "active_share_min_bp"
    ),
    "evidence out of date before its offender has left": (chain(unbonding_blocks=9), "unbonding_blocks"),
    "a reward for which there is no room": (chain(supply_max=400, reward_per_block=1), "reward_per_block"),
    "a forger that chooses its successor": (chain(stake_delay=7), "stake_delay"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_makes_a_chain_unsafe_or_stuck_is_refused(what: str) -> None:
    spec, name = REFUSED[what]
    with pytest.raises(InvalidGenesis, match=name) as caught:
        check_genesis(spec)
    assert "\n" not in caught.value.why


def ceil_share(amount: int, share_bp: int) -> int:
    return -(-amount * share_bp // WHOLE)


def is_sound(spec: ChainSpec) -> bool:
    """Protocol §9.3, of a chain that does not say demo."""
    rules: Parameters = spec.parameters
    stakes = [one.stake for one in spec.validators]
    total = sum(stakes)
    step, active = rules.stake_step_max_bp, rules.active_share_min_bp
    if step is None or step > 3_333 or active <= 6_666:
        return False
    return all(
        (
            min(stakes) >= rules.stake_min,
            len(stakes) <= rules.validators_max,
            rules.validators_max * step >= WHOLE,
            2 * ceil_share(total, step) < total,
            2 * (step * active + WHOLE * (WHOLE - active)) < WHOLE * active,
            rules.slash_bp > 0 and rules.stake_min * rules.slash_bp >= WHOLE,
            rules.absence_share_bp >= 5_000,
            rules.pause_interval >= 2 * rules.pause_blocks_max,
            rules.stake_delay >= 8 and rules.unbonding_blocks >= rules.stake_delay + 2,
            rules.reward_per_block == 0 or rules.supply_max > total,
        )
    )


def is_let_in(spec: ChainSpec) -> bool:
    try:
        check_genesis(spec)
    except InvalidGenesis:
        return False
    return True


EDGES: dict[str, tuple[Any, ...]] = {
    "stake_step_max_bp": (1_000, 3_333, 3_334, 500, 499, 1, None),
    "active_share_min_bp": (9_000, 10_000, 8_572, 8_571, 8_333, 6_667, 6_666),
    "validators_max": (100, 20, 19, 10, 9, 4, 3, 1),
    "stake_min": (10, 9, 4, 1, 100, 101),
    "slash_bp": (1_000, 10_000, 2_500, 999, 1, 0),
    "absence_share_bp": (5_000, 9_999, 4_999),
    "pause_blocks_max": (0, 1_000, 5_000, 5_001),
    "stake_delay": (8, 32, 7),
    "unbonding_blocks": (100_000, 34, 33, 10, 9),
    "reward_per_block": (0, 5),
    "supply_max": (2**53 - 1, 500, 400),
}
STAKES = ((100,) * 4, (10,) * 10, (4,), (5,), (2, 1), (3,), (101,), (100, 100, 100, 99))


def any_chain(random: Random) -> ChainSpec:
    """Up to five parameters at or beyond an edge, the others sound."""
    names = random.sample(sorted(EDGES), random.randint(0, 5))
    stakes = random.choice(STAKES) if random.random() < 0.5 else STAKES[0]
    return chain(stakes, **{name: random.choice(EDGES[name]) for name in names})


def test_random_chains_are_let_in_where_every_condition_holds() -> None:
    random, sound, tried = Random(4), 0, 0
    for _ in range(600):
        spec = any_chain(random)
        if sum(one.stake for one in spec.validators) > spec.parameters.supply_max:
            continue
        assert is_let_in(spec) == is_sound(spec), spec
        sound += is_sound(spec)
        tried += 1
    assert sound > 100 and tried - sound > 100
