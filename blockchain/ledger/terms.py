"""Terms that several rules of stake share (docs/protocol.md §3.5, §6.2). Integers only; divisions round down."""

from __future__ import annotations

from typing import Final

from blockchain.primitives.chain import Parameters
from blockchain.primitives.records import Unbonding

WHOLE_BP: Final = 10_000


def closed_by(parameters: Parameters, height: int) -> int:
    """The height whose set the block at `height` closes: what it changes counts from there on."""
    return height + 1 + parameters.stake_delay


def part(amount: int, basis_points: int) -> int:
    return amount * basis_points // WHOLE_BP


def away_budget(parameters: Parameters, eligible: int) -> int:
    """How much of the stake may be paused or suspended at once."""
    return part(eligible, WHOLE_BP - parameters.active_share_min_bp)


def away_share(budget: int) -> int:
    """How much of that one account may take."""
    return budget // 3


def add_unbonding(entries: tuple[Unbonding, ...], amount: int, leaves: int) -> tuple[Unbonding, ...]:
    """One entry for each height of leaving; the newest is the last."""
    if entries and entries[-1].leaves == leaves:
        return (*entries[:-1], Unbonding(entries[-1].amount + amount, leaves))
    return (*entries, Unbonding(amount, leaves))
