"""What each final block tells of its validators: the set from then on, who was drawn, who was absent.

Pure functions from what the chain holds to what the store is told with the block (docs/protocol.md §11). The newest
turns are kept in memory too: what each validator did lately is read from them (`record.py`).
"""

from __future__ import annotations

from collections import deque

from blockchain.consensus.pos import Forgers
from blockchain.node.store import TURNS_MAX
from blockchain.primitives.block import Header
from blockchain.primitives.validators import ValidatorSet, changes_between
from blockchain.primitives.vote import Certificate
from blockchain.seams import Loss, SetChange, Settlement, StakeBefore, Store, Turn
from blockchain.seams.turn import DRAWN_MAX


class Turns:
    """Those of the newest blocks, oldest first, and the sets that the store still lacks."""

    def __init__(self, store: Store, head: int, members: ValidatorSet, following: ValidatorSet) -> None:
        """`members` are the set of the head, `following` that of the height in progress."""
        self.newest: deque[Turn] = deque(store.turns(), maxlen=TURNS_MAX)
        self._lacking = _lacking(store, head, members, following)

    def sets_after(self, height: int, before: ValidatorSet, after: ValidatorSet) -> tuple[SetChange, ...]:
        """What the store is told with the block below `height`: the sets of both heights are given."""
        lacking, self._lacking = self._lacking, ()
        return (*lacking, *_change(height, before, after))


def turn_of(
    header: Header,
    certificate: Certificate,
    forgers: Forgers,
    members: ValidatorSet,
    parents: ValidatorSet,
    settlement: Settlement,
) -> Turn:
    """Of a block that has been checked: `members` are the set of its height, `parents` its parent's.

    `certificate` is the parent's, in the block's body; the empty one of block 1 tells of nobody's absence.
    """
    signers = {entry.index for entry in certificate.precommits}
    absent = () if certificate.height == 0 else (one for at, one in enumerate(parents.validators) if at not in signers)
    come, gone = ((), ()) if members is parents else changes_between(parents, members)
    return Turn(
        height=header.height,
        round=header.round,
        forger=header.forger,
        total_stake=members.total,
        drawn=tuple(forgers.forger(round) for round in range(min(header.round + 1, DRAWN_MAX))),
        absent=tuple(one.address for one in absent),
        changed=tuple(StakeBefore(one.address, parents.stake_of(one.address)) for one in (*come, *gone)),
        parents_stake=parents.total if certificate.height else 0,
        earned=settlement.forger_reward + settlement.evidence_reward,
        for_signers=settlement.for_signers if certificate.height else 0,
        lost=tuple(Loss(penalty.address, penalty.amount) for penalty in settlement.penalties),
    )


def _lacking(store: Store, head: int, members: ValidatorSet, following: ValidatorSet) -> tuple[SetChange, ...]:
    """Before block 1 the first set; of a store of an earlier format those of its head and of the next height."""
    if head == 0:
        return (SetChange(1, following, following.validators),)
    if store.validators(head + 1) is not None:
        return ()
    return (SetChange(head, members, members.validators), *_change(head + 1, members, following))


def _change(height: int, before: ValidatorSet, after: ValidatorSet) -> tuple[SetChange, ...]:
    if after is before or after == before:
        return ()
    return (SetChange(height, after, *changes_between(before, after)),)
