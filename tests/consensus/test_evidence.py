"""What two messages of one validator prove against it, and what a correct one may well have signed (protocol §5.8)."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.consensus.evidence import accused, author_of, contradicts, messages_of
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import ConflictingProposals, ConflictingVotes, Evidence, ForgottenLock, Proposal, Vote
from tests.samples import BLOCK_A, BLOCK_B, PRECOMMIT, PREVOTE

WHO, OTHER = Address(b"w" * 32), Address(b"o" * 32)
PREVOTED = Vote(7, 2, PREVOTE, BLOCK_A, -1, WHO)
PRECOMMITTED = Vote(7, 1, PRECOMMIT, BLOCK_B, -1, WHO)
PROPOSED = Proposal(7, 2, -1, BLOCK_A, WHO)


@pytest.mark.parametrize(
    ("evidence", "expected"),
    [
        (ConflictingVotes(PREVOTED, replace(PREVOTED, block_id=BLOCK_B)), True),
        (ConflictingVotes(PREVOTED, replace(PREVOTED, block_id=None)), True),
        (ConflictingVotes(PREVOTED, replace(PREVOTED, polka_round=0)), False),  # the same value
        (ConflictingVotes(PREVOTED, replace(PREVOTED, block_id=BLOCK_B, round=3)), False),
        (ConflictingVotes(PREVOTED, replace(PREVOTED, block_id=BLOCK_B, step=PRECOMMIT)), False),
        (ConflictingVotes(PREVOTED, replace(PREVOTED, block_id=BLOCK_B, height=8)), False),
        (ConflictingVotes(PREVOTED, replace(PREVOTED, block_id=BLOCK_B, validator=OTHER)), False),
        (ConflictingProposals(PROPOSED, replace(PROPOSED, block_id=BLOCK_B)), True),
        (ConflictingProposals(PROPOSED, replace(PROPOSED, valid_round=1)), True),
        (ConflictingProposals(PROPOSED, replace(PROPOSED, block_id=BLOCK_B, height=8)), False),
        (ConflictingProposals(PROPOSED, replace(PROPOSED, block_id=BLOCK_B, forger=OTHER)), False),
        (ConflictingProposals(PROPOSED, PROPOSED), False),
        (ConflictingProposals(PROPOSED, replace(PROPOSED, block_id=BLOCK_B, round=3)), False),
        (ForgottenLock(PRECOMMITTED, PREVOTED), True),
        (ForgottenLock(PRECOMMITTED, replace(PREVOTED, height=8)), False),
        (ForgottenLock(PRECOMMITTED, replace(PREVOTED, validator=OTHER)), False),
        (ForgottenLock(PRECOMMITTED, replace(PREVOTED, polka_round=1)), False),  # a polka since: it may
        (ForgottenLock(PRECOMMITTED, replace(PREVOTED, block_id=BLOCK_B)), False),  # what it is locked on
        (ForgottenLock(PRECOMMITTED, replace(PREVOTED, block_id=None)), False),
        (ForgottenLock(PRECOMMITTED, replace(PREVOTED, round=1)), False),  # not later
        (ForgottenLock(replace(PRECOMMITTED, block_id=None), PREVOTED), False),  # nil locks nothing
        (ForgottenLock(replace(PRECOMMITTED, step=PREVOTE), PREVOTED), False),
    ],
)
def test_what_contradicts(evidence: Evidence, expected: bool) -> None:
    assert contradicts(evidence) is expected


@pytest.mark.parametrize(
    "evidence",
    [
        ConflictingVotes(PREVOTED, replace(PREVOTED, block_id=None)),
        ConflictingProposals(PROPOSED, replace(PROPOSED, block_id=BLOCK_B)),
        ForgottenLock(PRECOMMITTED, PREVOTED),
    ],
)
def test_whom_it_accuses(evidence: Evidence) -> None:
    assert accused(evidence) == (7, WHO)
    assert {author_of(message) for message in messages_of(evidence)} == {WHO}
    assert messages_of(evidence)[0] != messages_of(evidence)[1]
