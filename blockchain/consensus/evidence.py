"""What a correct validator never signs: whom evidence accuses, and whether it proves anything (docs/protocol.md §5.8).

Evidence is two signed messages of one validator. Whether the signatures are good is not looked at here.
"""

from __future__ import annotations

from typing import assert_never

from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import (
    ConflictingProposals,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Proposal,
    Vote,
    VoteStep,
)


def messages_of(evidence: Evidence) -> tuple[Vote, Vote] | tuple[Proposal, Proposal]:
    """The two messages; of a forgotten lock the precommit comes first."""
    match evidence:
        case ConflictingVotes(first=first, second=second):
            return first, second
        case ConflictingProposals(first=one, second=other):
            return one, other
        case ForgottenLock(precommit=precommit, prevote=prevote):
            return precommit, prevote
        case _:
            assert_never(evidence)


def author_of(message: Vote | Proposal) -> Address:
    """The validator whose key has to have signed this message."""
    return message.validator if isinstance(message, Vote) else message.forger


def accused(evidence: Evidence) -> tuple[int, Address]:
    """The height of the offence and the validator that evidence accuses."""
    first, _ = messages_of(evidence)
    return first.height, author_of(first)


def contradicts(evidence: Evidence) -> bool:
    """Whether both messages are of one validator and height, and no correct one signs both."""
    first, second = messages_of(evidence)
    if (first.height, author_of(first)) != (second.height, author_of(second)):
        return False
    match evidence:
        case ConflictingVotes(first=one, second=other):
            same_place = (one.round, one.step) == (other.round, other.step)
            return same_place and one.block_id != other.block_id
        case ConflictingProposals(first=one, second=other):
            differs = (one.block_id, one.valid_round) != (other.block_id, other.valid_round)
            return one.round == other.round and differs
        case ForgottenLock(precommit=precommit, prevote=prevote):
            steps = (precommit.step, prevote.step) == (VoteStep.PRECOMMIT, VoteStep.PREVOTE)
            return steps and precommit.block_id is not None and is_forgotten_lock(precommit, prevote)
        case _:
            assert_never(evidence)


def is_forgotten_lock(precommit: Vote, prevote: Vote) -> bool:
    """A precommit for v at r, and a prevote for v' ≠ v at r' > r that claims no polka since r."""
    return (
        prevote.round > precommit.round
        and prevote.block_id not in (None, precommit.block_id)
        and prevote.polka_round < precommit.round
    )


def is_well_formed(vote: Vote) -> bool:
    """Only a prevote for a value has a polka round, and it is of an earlier round (protocol §5.7)."""
    has_polka_round = vote.step is VoteStep.PREVOTE and vote.block_id is not None
    return -1 <= vote.polka_round < (vote.round if has_polka_round else 0)
