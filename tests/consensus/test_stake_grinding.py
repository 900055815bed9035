"""Grinding by stake, keys and evidence: what `stake_delay` is for (protocol §6.2, §7.4), simulated.

A forger's draws are fair if its share of the stake at a height was fixed before it could know anything of that
height's seed. Then wins − Σ share is a martingale with steps of at most 1 and variance V = Σ share × (1 − share),
and by Freedman's inequality P(wins − Σ share ≥ t) ≤ exp(−t² / (2 (V + t / 3))): for t = 5 √V below 1e-4 from some
hundred heights on. Seeds are fixed: a run that passes passes always.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blockchain.primitives.chain import Parameters
from tests.consensus.stake_grinder import Grinder

DEFAULT_DELAY = Parameters().stake_delay
SIGMAS = 5
WITHHELD = 0.37 - 1 / 3  # what a third of the stake in many accounts wins by withholding (protocol §7.4)


def test_without_a_delay_it_wins_nearly_all() -> None:
    result = Grinder(0, 1, tries=40).play(120)
    assert result.share > 0.9 and result.fair < 0.34, str(result)


def test_with_the_default_delay_it_wins_its_share() -> None:
    result = Grinder(DEFAULT_DELAY, 1, tries=4).play(300)
    assert abs(result.share - result.fair) < SIGMAS * result.sigma, str(result)


def test_with_the_default_delay_it_wins_by_withholding_only() -> None:
    result = Grinder(DEFAULT_DELAY, 2, tries=4, withholds=True).play(200)
    assert result.share - result.fair < WITHHELD + SIGMAS * result.sigma, str(result)


@pytest.mark.slow
@pytest.mark.parametrize("delay, heights", [(0, 2_000), (1, 2_000), (2, 3_000), (3, 5_000), (4, 10_000)])
def test_what_a_short_delay_is_worth(delay: int, heights: int, record_property: Callable[[str, object], None]) -> None:
    """Once it wins delay + 1 heights in a row, it knows the seed of each set that it closes, and never lets go."""
    result = Grinder(delay, 3, tries=100).play(heights)
    record_property("summary", f"stake_delay {delay}: {result}")
    assert result.share > result.fair + SIGMAS * result.sigma


@pytest.mark.slow
@pytest.mark.parametrize("withholds", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_long_chains_with_the_default_delay(
    seed: int, withholds: bool, record_property: Callable[[str, object], None]
) -> None:
    result = Grinder(DEFAULT_DELAY, 10 + seed, tries=8, withholds=withholds).play(10_000)
    record_property("summary", f"default stake_delay, {withholds=}: {result}")
    assert result.share - result.fair < withholds * WITHHELD + SIGMAS * result.sigma
