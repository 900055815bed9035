"""The traces can fail: each bug planted here makes at least one of them part from the model, through the same adapter.

What no trace can show is pinned in `test_tendermint` and `test_votes` instead: votes of exactly two thirds (no trace
has them), a lock left for a later polka, a decision on an invalid block, a time-out of another round, a second vote
that adds to the stake that voted.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from blockchain.consensus.tendermint import Action, Tendermint
from blockchain.consensus.votes import Added, StepVotes, VoteBook
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Step, Vote
from tests.consensus.model_check import check_trace
from tests.consensus.model_traces import trace_names
from tests.consensus.without_locks import NoLockForNewValues, NoLockForOldValues


class _SimpleMajority(ValidatorSet):
    def is_quorum(self, stake: int) -> bool:
        return 2 * stake > self.total


class _QuorumToSkip(ValidatorSet):
    def is_honest_minority(self, stake: int) -> bool:
        return self.is_quorum(stake)


def _more_than_half_is_enough(validators: ValidatorSet) -> Tendermint:
    return Tendermint(_SimpleMajority(validators.validators))


def _a_quorum_is_needed_to_skip(validators: ValidatorSet) -> Tendermint:
    return Tendermint(_QuorumToSkip(validators.validators))


class _PolkaOfValidRoundIsNotAskedFor(Tendermint):
    def _prevote_again(self) -> list[Action]:
        candidate = self.proposals.get(self.round)
        if self.step is not Step.PROPOSE or candidate is None or candidate.valid_round < 0:
            return []
        return [self._prevote(candidate)]


class _ValidValueIsForgotten(Tendermint):
    def _follow_polka(self) -> list[Action]:
        """L36 without L42 and L43."""
        valid = self.valid_value, self.valid_round
        actions = super()._follow_polka()
        self.valid_value, self.valid_round = valid
        return actions


class _LatePolkaIsIgnored(Tendermint):
    def _follow_polka(self) -> list[Action]:
        return super()._follow_polka() if self.step is Step.PREVOTE else []


class _LatePolkaLocks(Tendermint):
    def _follow_polka(self) -> list[Action]:
        actions = super()._follow_polka()
        if actions:
            self.locked_value, self.locked_round = self.valid_value, self.valid_round
        return actions


class _NilPolkaIsIgnored(Tendermint):
    def _follow_nil_polka(self) -> list[Action]:
        return []


class _OnlyTheOwnRoundDecides(Tendermint):
    def _decide(self) -> list[Action]:
        return [] if self.book.decided(self.round) is None else super()._decide()


class _PrecommitTimeoutStaysInItsRound(Tendermint):
    def on_timeout(self, step: Step, round: int) -> list[Action]:
        return [] if step is Step.PRECOMMIT else super().on_timeout(step, round)


class _TimeoutsOfPastStepsCount(Tendermint):
    def on_timeout(self, step: Step, round: int) -> list[Action]:
        if step is not Step.PRECOMMIT and self.decision is None:
            self.step = step
        return super().on_timeout(step, round)


class _SecondVotesNeverCount(VoteBook):
    def _add_second(self, vote: Vote, votes: StepVotes, current_round: int) -> Added:
        return Added.CONFLICT


class _NilIsNoValue(VoteBook):
    def is_polka(self, round: int, block_id: Hash32 | None) -> bool:
        return block_id is not None and super().is_polka(round, block_id)


def _with_book(book_of: Callable[[ValidatorSet], VoteBook]) -> Callable[[ValidatorSet], Tendermint]:
    def engine_of(validators: ValidatorSet) -> Tendermint:
        rules = Tendermint(validators)
        rules.book = book_of(validators)
        return rules

    return engine_of


ENGINES: dict[str, Callable[[ValidatorSet], Tendermint]] = {
    "more than half is enough": _more_than_half_is_enough,
    "L22 without the lock": NoLockForNewValues,
    "L28 without the lock": NoLockForOldValues,
    "L28 without the polka": _PolkaOfValidRoundIsNotAskedFor,
    "L36 without L42": _ValidValueIsForgotten,
    "L36 not after a precommit": _LatePolkaIsIgnored,
    "L36 locks after a precommit": _LatePolkaLocks,
    "without L44": _NilPolkaIsIgnored,
    "L49 in one's own round only": _OnlyTheOwnRoundDecides,
    "L55 asks for a quorum": _a_quorum_is_needed_to_skip,
    "without L65": _PrecommitTimeoutStaysInItsRound,
    "L57 and L61 in any step": _TimeoutsOfPastStepsCount,
    "a second vote hides a polka": _with_book(_SecondVotesNeverCount),
    "nil has no polka": _with_book(_NilIsNoValue),
}

BOOKS: dict[str, Callable[[ValidatorSet], VoteBook]] = {
    "more than half is enough": lambda validators: VoteBook(_SimpleMajority(validators.validators)),
    "a quorum is needed to skip": lambda validators: VoteBook(_QuorumToSkip(validators.validators)),
    "nil has no polka": _NilIsNoValue,
}


@pytest.mark.parametrize("bug", ENGINES)
def test_planted_in_the_rules(bug: str) -> None:
    names = [name for name in trace_names() if not name.startswith("votekeeperTest")]
    assert any(_parts(lambda name: check_trace(name, engine_of=ENGINES[bug]), name) for name in names)


@pytest.mark.parametrize("bug", BOOKS)
def test_planted_in_the_vote_book(bug: str) -> None:
    names = trace_names("votekeeperTest")
    assert any(_parts(lambda name: check_trace(name, book_of=BOOKS[bug]), name) for name in names)


def _parts(check: Callable[[str], None], name: str) -> bool:
    try:
        check(name)
    except AssertionError:
        return True
    return False
