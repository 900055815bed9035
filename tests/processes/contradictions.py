"""Whether a validator ever contradicted itself: by what its signer gave and what it sent, over all its lives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from blockchain.consensus.evidence import is_forgotten_lock
from blockchain.consensus.signing import position_of
from blockchain.primitives.vote import Proposal, Vote, VoteStep


def check_said(said: Iterable[Proposal | Vote]) -> None:
    """Raises AssertionError for two messages for one place, or a prevote against a lock."""
    by_place: dict[tuple[int, int, int], Proposal | Vote] = {}
    for one in said:
        before = by_place.setdefault(position_of(one), one)
        assert before == one, "two messages for one place"
    votes = [one for one in by_place.values() if isinstance(one, Vote)]
    locks = defaultdict(list)
    for vote in votes:
        if vote.step is VoteStep.PRECOMMIT and vote.block_id is not None:
            locks[vote.height].append(vote)
    for prevote in (vote for vote in votes if vote.step is VoteStep.PREVOTE):
        for precommit in locks[prevote.height]:
            assert not is_forgotten_lock(precommit, prevote), "a prevote against its lock"
