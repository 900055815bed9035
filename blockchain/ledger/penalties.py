"""What evidence costs: a share of what the offender has at stake, and its place for ever (docs/protocol.md §3.5)."""

from __future__ import annotations

from blockchain.ledger.records import credit, known_stakeholder, put_misses, put_stakeholder, touch
from blockchain.ledger.terms import add_unbonding, closed_by, part
from blockchain.primitives.block import Header
from blockchain.primitives.chain import Parameters
from blockchain.primitives.crypto import Address
from blockchain.primitives.records import Stakeholder, Unbonding
from blockchain.seams import Penalty, State


def punish(
    state: State, parameters: Parameters, header: Header, offenders: tuple[Address, ...]
) -> tuple[tuple[Penalty, ...], int]:
    """Take from each offender what it loses; returns that, and what of it the forger got. The rest is to be burnt.

    The chain has checked the evidence: no offender is out, and none stands twice.
    """
    penalties = []
    reward = 0
    for offender in offenders:
        lost = _punish(state, parameters, offender, closed_by(parameters, header.height))
        penalties.append(Penalty(offender, lost, is_evidence=True))
        if offender != header.forger:
            reward += part(lost, parameters.evidence_reward_bp)
    if reward:
        credit(state, Address(header.forger), reward)
    return tuple(penalties), reward


def _punish(state: State, parameters: Parameters, offender: Address, leaves: int) -> int:
    """Entry by entry, so that nobody gains by how stake was divided up to the remainders."""
    before = known_stakeholder(state, offender)
    assert not before.is_out, "an offender that is out already"

    def left(amount: int) -> int:
        return amount - part(amount, parameters.slash_bp)

    rest = left(before.bonded) + sum(left(entry.amount) for entry in before.waiting)
    unbonding = tuple(
        Unbonding(left(entry.amount), entry.leaves, entry.left_ms) for entry in before.unbonding if left(entry.amount)
    )
    after = Stakeholder(
        keys=before.keys,
        seats=before.seats,
        unbonding=add_unbonding(unbonding, rest, leaves) if rest else unbonding,
        is_out=True,
    )
    put_stakeholder(state, offender, before, after)
    put_misses(state, offender, None)
    touch(state, offender)
    return before.staked + before.unbonding_amount - after.unbonding_amount
