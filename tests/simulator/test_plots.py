"""More than a third and less than two thirds hostile: they fork the chain, and what the honest hold names them."""

from __future__ import annotations

from collections import Counter

import pytest

from blockchain.simulator.byzantine import plot as plot_module
from blockchain.simulator.byzantine.plot import KINDS, Kind, draw_plot, play_plot
from blockchain.simulator.world import Violation
from tests.simulator.forks import verdict


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_names_more_than_a_third_and_nobody_honest(kind: Kind) -> None:
    findings = play_plot(draw_plot(1, kind)).findings
    if kind == "claims_polka":
        assert 3 * findings.unproven_stake > findings.total and not findings.guilty
    else:
        assert 3 * findings.guilty_stake > findings.total and not findings.unproven


def test_without_the_votes_that_they_kept_the_honest_would_be_named_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plot_module, "_votes_of", lambda _: [])
    with pytest.raises(Violation, match="plot 1: somebody honest is named"):
        play_plot(draw_plot(1, "forgets_lock"))


def test_a_run_ends_with_a_verdict() -> None:
    assert verdict(Counter(forks=5, by_evidence=3, by_claims=2)).startswith("no rule broken in 5 forks: ")
    assert verdict(Counter(forks=5, violations=1)) == "1 of 6 plots broke a rule: printed above"
