"""Each rule of Algorithm 1 (arXiv:1807.04938), by the paper's lines, and what it must not do.

The node under test is one of four equal validators; the votes that it is handed are anybody's, its own included.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import Struct

from blockchain.consensus.tendermint import (
    Action,
    Candidate,
    CastVote,
    Decide,
    LockedOn,
    RoundStarted,
    ScheduleTimeout,
    Tendermint,
    ValidNow,
)
from blockchain.consensus.votes import Added
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import ConflictingVotes, Step, Vote, VoteStep

A = Hash32(b"\xaa" * 32)
B = Hash32(b"\xbb" * 32)
HEIGHT = 7
ALL = (0, 1, 2, 3)
THREE = (1, 2, 3)  # more than two thirds of four
TWO = (1, 2)  # more than one third of four

PREVOTE, PRECOMMIT = VoteStep.PREVOTE, VoteStep.PRECOMMIT


def address(number: int) -> Address:
    return Address(bytes([number + 1]) * 32)


def validators(*stakes: int) -> ValidatorSet:
    return ValidatorSet(Validator(address(at), PublicKey(address(at)), stake) for at, stake in enumerate(stakes))


def vote(who: int, round: int, step: VoteStep, value: Hash32 | None, polka_round: int = -1) -> Vote:
    return Vote(HEIGHT, round, step, value, polka_round, address(who))


class Node:
    """The rules, with a short way to hand them facts; each answers with the actions."""

    def __init__(self, *stakes: int) -> None:
        self.rules = Tendermint(validators(*(stakes or (1, 1, 1, 1))))

    def start(self, round: int = 0) -> list[Action]:
        return self.rules.start_round(round)

    def propose(self, round: int, value: Hash32, valid_round: int = -1, **checks: bool) -> list[Action]:
        return self.rules.on_proposal(round, Candidate(value, valid_round, **({"is_valid": True} | checks)))

    def prevotes(self, round: int, value: Hash32 | None, who: tuple[int, ...] = THREE) -> list[Action]:
        return self._votes(round, PREVOTE, value, who)

    def precommits(self, round: int, value: Hash32 | None, who: tuple[int, ...] = THREE) -> list[Action]:
        return self._votes(round, PRECOMMIT, value, who)

    def timeout(self, step: Step, round: int) -> list[Action]:
        return self.rules.on_timeout(step, round)

    def _votes(self, round: int, step: VoteStep, value: Hash32 | None, who: tuple[int, ...]) -> list[Action]:
        return [action for one in who for action in self.rules.on_vote(vote(one, round, step, value))[2]]

    @property
    def place(self) -> tuple[int, Step]:
        return self.rules.round, self.rules.step

    @property
    def locked(self) -> tuple[Hash32 | None, int]:
        return self.rules.locked_value, self.rules.locked_round

    @property
    def valid(self) -> tuple[Hash32 | None, int]:
        return self.rules.valid_value, self.rules.valid_round


def begins(round: int, value: Hash32 | None = None, valid_round: int = -1) -> list[Action]:
    return [RoundStarted(round, value, valid_round), ScheduleTimeout(Step.PROPOSE, round)]


def prevoted(round: int, value: Hash32 | None, polka_round: int = -1) -> CastVote:
    return CastVote(round, PREVOTE, value, polka_round)


def precommitted(round: int, value: Hash32 | None) -> CastVote:
    return CastVote(round, PRECOMMIT, value)


def started(round: int = 0) -> Node:
    node = Node()
    node.start(round)
    return node


def locked_on_a() -> Node:
    """In round 0, locked on A, precommitted."""
    node = started()
    node.propose(0, A)
    node.prevotes(0, A)
    assert node.locked == (A, 0) and node.place == (0, Step.PRECOMMIT)
    return node


def locked_on_a_in_round(round: int) -> Node:
    """Locked on A in round 0, in the propose step of a later round, without any vote of the rounds between."""
    node = locked_on_a()
    node.start(round)
    return node


def locked_on_a_in_round_1() -> Node:
    return locked_on_a_in_round(1)


# ------------------------------------------------------------------------------------------------ L11 to L21


def test_l11_nothing_happens_before_the_first_round() -> None:
    """A proposal, all votes and a time-out wait until a round is begun."""
    node = Node()
    assert node.propose(0, A) == [] and node.prevotes(0, A) == [] and node.precommits(0, A) == []
    assert node.timeout(Step.PROPOSE, 0) == []
    assert node.place == (-1, Step.PROPOSE)


def test_l11_a_round_begins_in_the_propose_step() -> None:
    """L12, L13, L21: round and step are set, the propose time-out is asked for."""
    node = Node()
    assert node.start() == begins(0)
    assert node.place == (0, Step.PROPOSE)


def test_l11_what_came_before_the_round_counts_when_it_begins() -> None:
    """Rules are about what has been received, whenever that was."""
    node = started()
    node.propose(1, A)
    assert node.start(1) == [*begins(1), prevoted(1, A)]


def test_l16_the_forger_is_told_the_valid_value() -> None:
    """L16, L19: what had a polka is proposed again, with its round."""
    node = locked_on_a()
    assert node.start(1) == begins(1, A, 0)


def test_l18_the_forger_is_told_that_there_is_none() -> None:
    """L18: without a valid value it makes a new one."""
    assert started().start(1) == begins(1, None, -1)


# ------------------------------------------------------------------------------------------------ L22 to L33


class Free(Struct, frozen=True):
    """A row about a new proposal: what it is, and the prevote for it."""

    sentence: str
    node: Callable[[], Node]
    value: Hash32
    checks: dict[str, bool]
    prevote: Hash32 | None
    polka_round: int = -1


@pytest.mark.parametrize(
    "row",
    [
        Free("L24: a valid value, nothing locked", started, A, {}, A),
        Free("L24: the value that is locked; the prevote tells of the lock", locked_on_a_in_round_1, A, {}, A, 0),
        Free("L26: another value than the locked", locked_on_a_in_round_1, B, {}, None),
        Free("L26: an invalid value", started, A, {"is_valid": False}, None),
        Free("L26: an invalid value, though locked", locked_on_a_in_round_1, A, {"is_valid": False}, None),
        Free("L22: from too far in the future (protocol §4.5)", started, A, {"is_timely": False}, None),
    ],
    ids=lambda row: row.sentence,
)
def test_l22_a_new_proposal(row: Free) -> None:
    node = row.node()
    round = node.rules.round
    assert node.propose(round, row.value, **row.checks) == [prevoted(round, row.prevote, row.polka_round)]
    assert node.place == (round, Step.PREVOTE)


def test_l22_once_a_round() -> None:
    """L27: after the prevote the step is another, and a second proposal of the round is none."""
    node = started()
    node.propose(0, A)
    assert node.propose(0, B) == []
    assert node.rules.proposals[0].block_id == A


def test_l22_not_after_the_propose_timeout() -> None:
    """A proposal that comes too late gets no prevote."""
    node = started()
    node.timeout(Step.PROPOSE, 0)
    assert node.propose(0, A) == []


def test_l22_not_for_another_round() -> None:
    """Proposals of past and of later rounds get no prevote now."""
    node = started(1)
    assert node.propose(0, A) == [] and node.propose(2, A) == []
    assert node.place == (1, Step.PROPOSE)


def test_l22_untimely_costs_the_prevote_and_not_the_lock() -> None:
    """Once others have prevoted for it, the clock has no say any more (protocol §4.5)."""
    node = started()
    node.propose(0, A, is_timely=False)
    assert node.prevotes(0, A) == [LockedOn(0, A), precommitted(0, A)]
    assert node.precommits(0, A) == [Decide(0, A)]


class Again(Struct, frozen=True):
    """A row about a value proposed again in round 2 with a polka in round 0 or 1, for a node locked or not."""

    sentence: str
    locked: tuple[Hash32 | None, int]
    value: Hash32
    valid_round: int
    prevote: Hash32 | None
    is_valid: bool = True
    polka_round: int = -1


@pytest.mark.parametrize(
    "row",
    [
        Again("L30: nothing locked", (None, -1), B, 0, B, polka_round=0),
        Again("L30: locked on another value before the polka", (A, 0), B, 1, B, polka_round=1),
        Again("L30: locked on another value in the polka's round", (A, 1), B, 1, B, polka_round=1),
        Again("L30: the locked value, locked later; the prevote tells of the later", (B, 1), B, 0, B, polka_round=1),
        Again("L32: locked on another value after the polka", (A, 1), B, 0, None),
        Again("L32: invalid", (None, -1), B, 0, None, is_valid=False),
    ],
    ids=lambda row: row.sentence,
)
@pytest.mark.parametrize("is_polka_first", [True, False])
def test_l28_a_value_proposed_again(row: Again, is_polka_first: bool) -> None:
    node = started(2)
    node.rules.locked_value, node.rules.locked_round = row.locked
    if is_polka_first:
        assert node.prevotes(row.valid_round, row.value) == []
        actions = node.propose(2, row.value, row.valid_round, is_valid=row.is_valid)
    else:
        assert node.propose(2, row.value, row.valid_round, is_valid=row.is_valid) == []
        actions = node.prevotes(row.valid_round, row.value)
    assert actions == [prevoted(2, row.prevote, row.polka_round)]
    assert node.place == (2, Step.PREVOTE)


@pytest.mark.parametrize("who, value", [(TWO, A), (THREE, B), (THREE, None)])
def test_l28_waits_for_the_polka(who: tuple[int, ...], value: Hash32 | None) -> None:
    """Too few prevotes, or for something else: no prevote, neither for the value nor for nil."""
    node = started(1)
    node.prevotes(0, value, who)
    assert node.propose(1, A, 0) == []
    assert node.place == (1, Step.PROPOSE)


@pytest.mark.parametrize("valid_round", [1, 2])
def test_l28_the_valid_round_is_an_earlier_one(valid_round: int) -> None:
    """A proposal that says it had a polka in its own round or later is answered by nothing."""
    node = started(1)
    node.prevotes(valid_round, A, TWO)
    assert node.propose(1, A, valid_round) == []
    assert node.prevotes(1, A, THREE) == []


def test_l28_not_in_another_step() -> None:
    """After the prevote for nil of L57 the polka comes too late for this round."""
    node = started(1)
    node.propose(1, A, 0)
    node.timeout(Step.PROPOSE, 1)
    assert node.prevotes(0, A) == []


def test_l28_a_hidden_lock_is_found() -> None:
    """A validator that prevoted nil to this node and A to the others cannot hide the polka that they locked on."""
    node = started(1)
    node.prevotes(0, None, (1,))
    node.prevotes(0, A, (2, 3))
    assert node.propose(1, A, 0) == []
    added, evidence, actions = node.rules.on_vote(vote(1, 0, PREVOTE, A))
    assert added is Added.COUNTED
    assert evidence == [ConflictingVotes(vote(1, 0, PREVOTE, None), vote(1, 0, PREVOTE, A))]
    assert actions == [prevoted(1, A, 0)]


# ------------------------------------------------------------------------------------------------ L34 to L46


def test_l34_prevotes_for_anything_start_the_timeout_once() -> None:
    """More than two thirds, whatever for; the fourth does not start it again."""
    node = started()
    node.propose(0, A)
    assert node.prevotes(0, A, TWO) == []
    assert node.prevotes(0, None, (3,)) == [ScheduleTimeout(Step.PREVOTE, 0)]
    assert node.prevotes(0, None, (0,)) == []


def test_l34_only_in_the_prevote_step() -> None:
    """In the propose step it waits; it is asked for as soon as the step is there."""
    node = started()
    assert node.prevotes(0, A, TWO) + node.prevotes(0, None, (3,)) == []
    assert node.timeout(Step.PROPOSE, 0) == [prevoted(0, None), ScheduleTimeout(Step.PREVOTE, 0)]


def test_l34_exactly_two_thirds_are_not_enough() -> None:
    """Two of three: 3 × 2 = 2 × 3 is not more."""
    node = Node(1, 1, 1)
    node.start()
    node.propose(0, A)
    assert node.prevotes(0, A, (0, 1)) == [] and node.precommits(0, A, (0, 1)) == []
    assert node.prevotes(0, A, (2,)) == [LockedOn(0, A), precommitted(0, A)]


def test_l36_a_polka_locks_and_is_precommitted() -> None:
    """L38 to L43 in the prevote step."""
    node = started()
    node.propose(0, A)
    assert node.prevotes(0, A) == [LockedOn(0, A), precommitted(0, A)]
    assert (node.locked, node.valid, node.place) == ((A, 0), (A, 0), (0, Step.PRECOMMIT))


def test_l36_a_later_polka_moves_the_lock() -> None:
    """L29, L38: unlocked for the polka of B in round 1, locked on it in round 2."""
    node = locked_on_a_in_round(2)
    node.prevotes(1, B)
    assert node.propose(2, B, 1) == [prevoted(2, B, 1)]
    assert node.prevotes(2, B) == [LockedOn(2, B), precommitted(2, B)]
    assert (node.locked, node.valid) == ((B, 2), (B, 2))


def test_l36_a_polka_in_the_precommit_step_sets_the_valid_value_only() -> None:
    """L37 is past, L42 and L43 are not: the polka is too late to lock on."""
    node = started()
    node.propose(0, A)
    node.prevotes(0, A, TWO)
    node.prevotes(0, None, (3,))
    assert node.timeout(Step.PREVOTE, 0) == [precommitted(0, None)]
    assert node.prevotes(0, A, (0,)) == [ValidNow(0, A)]
    assert (node.locked, node.valid, node.place) == ((None, -1), (A, 0), (0, Step.PRECOMMIT))
    assert node.start(1) == begins(1, A, 0)


def test_l36_not_in_the_propose_step() -> None:
    """A polka is followed after one's own prevote; here that and the lock come together."""
    node = started()
    node.prevotes(0, A)
    assert node.locked == (None, -1)
    assert node.propose(0, A) == [prevoted(0, A), LockedOn(0, A), precommitted(0, A)]


def test_l36_waits_for_the_proposal() -> None:
    """A polka for a value that has not come: the time-out runs, nothing is locked, until the block is here."""
    node = started()
    node.timeout(Step.PROPOSE, 0)
    assert node.prevotes(0, A) == [ScheduleTimeout(Step.PREVOTE, 0)]
    assert node.propose(0, A) == [LockedOn(0, A), precommitted(0, A)]


def test_l36_not_for_an_invalid_value() -> None:
    """Even two thirds of the stake cannot make this node lock on what it finds invalid."""
    node = started()
    node.propose(0, A, is_valid=False)
    assert node.prevotes(0, A) == [ScheduleTimeout(Step.PREVOTE, 0)]
    assert (node.locked, node.valid) == ((None, -1), (None, -1))


def test_l36_not_for_a_polka_of_another_round() -> None:
    """A polka of round 0 seen in round 1 neither locks nor changes the valid value, proposed again or not."""
    node = started()
    node.propose(0, A)
    node.start(1)
    assert node.prevotes(0, A) == []
    assert node.propose(1, A, 0) == [prevoted(1, A, 0)]
    assert (node.locked, node.valid) == ((None, -1), (None, -1))


def test_l36_the_first_time_only() -> None:
    """The fourth prevote of the polka changes nothing."""
    assert locked_on_a().prevotes(0, A, (0,)) == []


def test_l44_a_nil_polka_is_precommitted_nil() -> None:
    """L45, L46, in the prevote step; the time-out of L34 is not needed."""
    node = started()
    node.propose(0, A)
    assert node.prevotes(0, None) == [precommitted(0, None)]
    assert (node.place, node.locked) == ((0, Step.PRECOMMIT), (None, -1))


def test_l44_not_in_the_propose_step() -> None:
    """It waits for the node's own prevote."""
    node = started()
    assert node.prevotes(0, None) == []
    assert node.timeout(Step.PROPOSE, 0) == [prevoted(0, None), precommitted(0, None)]


# ------------------------------------------------------------------------------------------------ L47 to L56


def test_l47_precommits_for_anything_start_the_timeout_once() -> None:
    """In any step; the fourth does not start it again."""
    node = started()
    assert node.precommits(0, A, TWO) == []
    assert node.precommits(0, None, (3,)) == [ScheduleTimeout(Step.PRECOMMIT, 0)]
    assert node.precommits(0, None, (0,)) == []
    assert node.place == (0, Step.PROPOSE)


def test_l47_each_round_has_its_own() -> None:
    node = started()
    node.precommits(0, None)
    node.start(1)
    assert node.precommits(1, None) == [ScheduleTimeout(Step.PRECOMMIT, 1)]


@pytest.mark.parametrize("round", [0, 1, 2])
def test_l49_precommits_of_any_round_decide(round: int) -> None:
    """Of a past, of this and of a later round; ours is 1."""
    node = started(1)
    node.propose(round, A)
    actions = node.precommits(round, A)
    assert actions[-1] == Decide(round, A)
    assert node.rules.decision == Decide(round, A)


def test_l49_waits_for_the_proposal_of_that_round() -> None:
    """Precommits alone, or a proposal of another round, do not decide."""
    node = started()
    node.precommits(0, A)
    assert node.propose(1, A) == []
    assert node.propose(0, A) == [Decide(0, A)]


@pytest.mark.parametrize("value", [B, None])
def test_l49_not_for_another_value(value: Hash32 | None) -> None:
    node = started()
    node.propose(0, A)
    node.precommits(0, value)
    assert node.rules.decision is None


def test_l49_not_for_an_invalid_value() -> None:
    """Two thirds of the stake cannot make this node decide what it finds invalid."""
    node = started()
    node.propose(0, A, is_valid=False)
    assert node.precommits(0, A) == [ScheduleTimeout(Step.PRECOMMIT, 0)]
    assert node.rules.decision is None


def test_l49_nothing_comes_out_after_a_decision() -> None:
    node = locked_on_a()
    node.precommits(0, A)
    assert node.propose(1, B) == [] and node.prevotes(1, B) == [] and node.precommits(1, B) == []
    assert node.timeout(Step.PRECOMMIT, 0) == [] and node.timeout(Step.PREVOTE, 0) == []
    assert node.rules.decision == Decide(0, A) and node.place == (0, Step.PRECOMMIT)


def test_l55_more_than_a_third_in_a_later_round_are_followed() -> None:
    """Two of four, by any votes."""
    node = started()
    assert node.prevotes(3, A, (1,)) == []
    assert node.precommits(3, None, (2,)) == begins(3)
    assert node.place == (3, Step.PROPOSE)


def test_l55_one_validator_counts_once() -> None:
    """Both votes of one validator are not a third."""
    node = started()
    assert node.prevotes(3, A, (1,)) + node.precommits(3, A, (1,)) == []


def test_l55_exactly_a_third_is_not_followed() -> None:
    """One of three may be faulty: 3 × 1 is not more than 3."""
    node = Node(1, 1, 1)
    node.start()
    assert node.prevotes(3, A, (1,)) == []
    assert node.prevotes(3, A, (2,)) == begins(3)


def test_l55_votes_of_different_later_rounds_do_not_add_up() -> None:
    node = started()
    assert node.prevotes(2, A, (1,)) + node.prevotes(3, A, (2,)) == []


def test_l55_the_highest_such_round() -> None:
    """Votes waited before the height was begun: straight to the last round that a third is in."""
    node = Node(1, 1, 1, 1, 1)
    for round, who in ((2, (0, 1)), (4, (2, 3))):
        node.prevotes(round, A, who)
    assert node.start() == [*begins(0), *begins(4)]


def test_l55_past_rounds_are_not_gone_back_to() -> None:
    node = started(4)
    assert node.prevotes(3, A) == []
    assert node.place == (4, Step.PROPOSE)


def test_l55_keeps_the_lock() -> None:
    """A skipped round changes neither lock nor valid value."""
    node = locked_on_a()
    assert node.prevotes(5, B, TWO) == begins(5, A, 0)
    assert (node.locked, node.valid) == ((A, 0), (A, 0))


# ------------------------------------------------------------------------------------------------ L57 to L67


def test_l57_no_proposal_in_time_is_a_prevote_for_nil() -> None:
    node = started()
    assert node.timeout(Step.PROPOSE, 0) == [prevoted(0, None)]
    assert node.place == (0, Step.PREVOTE)


def test_l57_the_lock_stays() -> None:
    node = locked_on_a_in_round(1)
    assert node.timeout(Step.PROPOSE, 1) == [prevoted(1, None)]
    assert node.locked == (A, 0)


def test_l61_no_polka_in_time_is_a_precommit_for_nil() -> None:
    node = started()
    node.timeout(Step.PROPOSE, 0)
    assert node.timeout(Step.PREVOTE, 0) == [precommitted(0, None)]
    assert node.place == (0, Step.PRECOMMIT)


def test_l65_no_decision_in_time_is_the_next_round() -> None:
    node = locked_on_a()
    assert node.timeout(Step.PRECOMMIT, 0) == begins(1, A, 0)
    assert node.place == (1, Step.PROPOSE)


@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PREVOTE])
def test_l65_in_any_step(step: Step) -> None:
    """L47 and L65 name no step."""
    node = started()
    if step is Step.PREVOTE:
        node.timeout(Step.PROPOSE, 0)
    assert node.timeout(Step.PRECOMMIT, 0) == begins(1)


@pytest.mark.parametrize("step", list(Step))
@pytest.mark.parametrize("round", [0, 2])
def test_a_timeout_of_another_round_changes_nothing(step: Step, round: int) -> None:
    node = started(1)
    assert node.timeout(step, round) == []
    assert node.place == (1, Step.PROPOSE)


def test_a_timeout_of_another_step_changes_nothing() -> None:
    """L58, L62: the step must be the one that it was started for."""
    node = started()
    assert node.timeout(Step.PREVOTE, 0) == []
    node.timeout(Step.PROPOSE, 0)
    assert node.timeout(Step.PROPOSE, 0) == []
    node.timeout(Step.PREVOTE, 0)
    assert node.timeout(Step.PROPOSE, 0) == [] and node.timeout(Step.PREVOTE, 0) == []


# ------------------------------------------------------------------------------------------------ coming back


def restored(round: int, step: Step) -> Node:
    """As the engine restores it: variables, proposals and votes, put back without a rule applied."""
    node = Node()
    node.rules.round, node.rules.step = round, step
    node.rules.locked_value, node.rules.locked_round = A, 0
    node.rules.valid_value, node.rules.valid_round = A, 0
    return node


def test_resume_in_the_propose_step_begins_the_round_again() -> None:
    """Its forger may not have proposed, and the time-out is gone with the process."""
    assert restored(2, Step.PROPOSE).rules.resume() == begins(2, A, 0)


@pytest.mark.parametrize("step", [Step.PREVOTE, Step.PRECOMMIT])
def test_resume_in_a_later_step_asks_for_nothing_anew(step: Step) -> None:
    node = restored(2, step)
    assert node.rules.resume() == []
    assert node.place == (2, step) and node.locked == (A, 0)


def test_resume_starts_timeouts_again() -> None:
    """More than two thirds of votes were restored: their time-outs run again."""
    node = restored(2, Step.PREVOTE)
    for who, value in ((1, A), (2, None), (3, B)):
        node.rules.book.add(vote(who, 2, PREVOTE, value), 2)
        node.rules.book.add(vote(who, 2, PRECOMMIT, value), 2)
    assert node.rules.resume() == [ScheduleTimeout(Step.PREVOTE, 2), ScheduleTimeout(Step.PRECOMMIT, 2)]


def test_resume_follows_a_polka_that_was_restored() -> None:
    """Stopped between the prevotes and the precommit: goes on where it was."""
    node = restored(2, Step.PREVOTE)
    node.rules.proposals[2] = Candidate(A, 0, is_valid=True)
    for who in THREE:
        node.rules.book.add(vote(who, 2, PREVOTE, A), 2)
    assert node.rules.resume() == [LockedOn(2, A), precommitted(2, A)]


def test_a_lock_that_was_restored_holds() -> None:
    """L26 after a restart: the lock binds as before."""
    node = restored(2, Step.PROPOSE)
    node.rules.resume()
    assert node.propose(2, B) == [prevoted(2, None)]


# ------------------------------------------------------------------------------------------------ votes


@pytest.mark.parametrize(
    "again, added",
    [(vote(1, 0, PREVOTE, A), Added.KNOWN), (vote(1, 0, PREVOTE, B), Added.CONFLICT)],
)
def test_a_vote_that_does_not_count_moves_nothing(again: Vote, added: Added) -> None:
    node = started()
    node.rules.on_vote(vote(1, 0, PREVOTE, A))
    result, evidence, actions = node.rules.on_vote(again)
    assert (result, len(evidence), actions) == (added, int(added is Added.CONFLICT), [])


def test_a_second_vote_does_not_add_to_the_stake_that_voted() -> None:
    """L34 and L47 count validators: five votes of four validators of seven are not two thirds, though all count."""
    for step in (PREVOTE, PRECOMMIT):
        node = Node(*[1] * 7)
        node.start()
        node.timeout(Step.PROPOSE, 0)
        for one in (vote(0, 0, step, None), *(vote(who, 0, step, A) for who in THREE)):
            assert node.rules.on_vote(one)[2] == []
        added, _, actions = node.rules.on_vote(vote(0, 0, step, A))
        assert (added, actions) == (Added.COUNTED, [])
        assert node.rules.on_vote(vote(4, 0, step, None))[2] == [ScheduleTimeout(Step(step), 0)]
