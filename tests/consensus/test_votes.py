"""The vote book: what counts, what is evidence, what is kept of later rounds, and how little that is."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockchain.consensus.votes import Added, RoundVotes, VoteBook
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import ConflictingVotes, Evidence, ForgottenLock, Vote, VoteStep

A = Hash32(b"\xaa" * 32)
B = Hash32(b"\xbb" * 32)
C = Hash32(b"\xcc" * 32)
NIL = None
PREVOTE, PRECOMMIT = VoteStep.PREVOTE, VoteStep.PRECOMMIT
STEPS = [PREVOTE, PRECOMMIT]


def address(number: int) -> Address:
    return Address(bytes([number + 1]) * 32)


def book_of(*stakes: int) -> VoteBook:
    return VoteBook(
        ValidatorSet(Validator(address(at), PublicKey(address(at)), each) for at, each in enumerate(stakes))
    )


def vote(who: int, round: int, step: VoteStep, value: Hash32 | None, polka_round: int = -1) -> Vote:
    return Vote(7, round, step, value, polka_round, address(who))


def add_all(book: VoteBook, *votes: Vote, current_round: int = 0) -> list[Evidence]:
    return [evidence for each in votes for evidence in book.add(each, current_round)[1]]


# ------------------------------------------------------------------------------------------------ counting


@pytest.mark.parametrize("step", STEPS)
def test_stake_is_counted_for_its_value_and_step(step: VoteStep) -> None:
    book = book_of(5, 10, 20, 40)
    add_all(book, vote(0, 0, step, A), vote(1, 0, step, NIL), vote(2, 0, step, A), vote(3, 0, step, B))
    counted, other = book.of(0).of(step), book.of(0).of(VoteStep(3 - step))
    assert (counted.stake_for(A), counted.stake_for(NIL), counted.stake_for(B), counted.stake_for(C)) == (25, 10, 40, 0)
    assert counted.stake == book.stake_in_round(0) == 75
    assert counted.voters == {A: 0b0101, NIL: 0b0010, B: 0b1000}
    assert other.stake == 0 and not other.votes


def test_a_validator_with_both_votes_is_counted_once_in_the_round() -> None:
    book = book_of(5, 10)
    add_all(book, vote(0, 0, PREVOTE, A), vote(0, 0, PRECOMMIT, A), vote(1, 0, PRECOMMIT, A))
    assert book.stake_in_round(0) == 15


def test_asking_keeps_nothing() -> None:
    book = book_of(1)
    assert book.of(3).stake == 0 and book.stake_in_round(3) == 0 and not book.is_polka(3, A)
    assert book.rounds == {}


@pytest.mark.parametrize("voters, is_reached", [((0, 1), False), ((0, 1, 2), True)])
def test_a_quorum_is_more_than_two_thirds(voters: tuple[int, ...], is_reached: bool) -> None:
    """Stakes 1, 3, 1 and 1: four of six are exactly two thirds."""
    book = book_of(1, 3, 1, 1)
    for who in voters:
        add_all(book, vote(who, 0, PREVOTE, A), vote(who, 0, PRECOMMIT, A))
    assert book.is_polka(0, A) is is_reached
    assert book.polka(0) == book.decided(0) == (A if is_reached else None)


def test_a_proposal_is_disputed_where_more_than_a_third_prevoted_another() -> None:
    book = book_of(1, 1, 1, 1)
    add_all(book, vote(0, 0, PREVOTE, B), vote(1, 0, PREVOTE, NIL), vote(2, 0, PREVOTE, NIL), vote(1, 1, PREVOTE, B))
    assert not book.is_disputed(0, A), "one of four may lie, and nil is no other proposal"
    add_all(book, vote(3, 0, PREVOTE, B))
    assert book.is_disputed(0, A) and not book.is_disputed(0, B) and not book.is_disputed(1, A)


def test_nil_is_a_polka_and_never_a_decision() -> None:
    book = book_of(1, 1, 1)
    for who in range(3):
        add_all(book, vote(who, 0, PREVOTE, NIL), vote(who, 0, PRECOMMIT, NIL))
    assert book.is_polka(0, NIL)
    assert book.polka(0) is None and book.decided(0) is None


def test_votes_for_different_values_make_no_polka() -> None:
    book = book_of(1, 1, 1, 1)
    add_all(book, vote(0, 0, PREVOTE, A), vote(1, 0, PREVOTE, A), vote(2, 0, PREVOTE, B), vote(3, 0, PREVOTE, B))
    assert book.polka(0) is None


# ------------------------------------------------------------------------------------------------ second votes


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("first, second", [(A, B), (A, NIL), (NIL, A)])
def test_two_different_votes_are_evidence(step: VoteStep, first: Hash32 | None, second: Hash32 | None) -> None:
    book = book_of(1, 1, 1, 1)
    one, other = vote(0, 0, step, first), vote(0, 0, step, second)
    assert book.add(one, 0) == (Added.COUNTED, [])
    assert book.add(other, 0) == (Added.CONFLICT, [ConflictingVotes(one, other)])
    assert (book.of(0).of(step).stake_for(first), book.of(0).of(step).stake_for(second)) == (1, 0)


def test_the_same_vote_again_is_known() -> None:
    book = book_of(1, 1)
    book.add(vote(0, 0, PREVOTE, A), 0)
    assert book.add(vote(0, 0, PREVOTE, A), 0) == (Added.KNOWN, [])
    assert book.of(0).prevotes.stake == book.of(0).prevotes.stake_for(A) == 1


def test_the_same_value_with_another_polka_round_is_no_evidence() -> None:
    """Two bytes for one value contradict nobody; the second does not count."""
    book = book_of(1, 1)
    book.add(vote(0, 2, PREVOTE, A, polka_round=1), 2)
    assert book.add(vote(0, 2, PREVOTE, A, polka_round=0), 2) == (Added.CONFLICT, [])
    assert book.of(2).prevotes.stake == 1


@pytest.mark.parametrize("who_differs", [(0, 1, PREVOTE), (1, 0, PREVOTE), (0, 0, PRECOMMIT)])
def test_another_validator_round_or_step_is_no_conflict(who_differs: tuple[int, int, VoteStep]) -> None:
    who, round, step = who_differs
    book = book_of(1, 1)
    book.add(vote(0, 0, PREVOTE, A), 1)
    assert book.add(vote(who, round, step, B, polka_round=0), 1) == (Added.COUNTED, [])


@pytest.mark.parametrize("step", STEPS)
def test_a_second_vote_counts_where_more_than_a_third_voted_so_first(step: VoteStep) -> None:
    """As in the paper; else the equivocator hides from this node the quorum that others have seen."""
    book = book_of(1, 1, 1, 1)
    first, second = vote(0, 0, step, NIL), vote(0, 0, step, A)
    add_all(book, first, vote(1, 0, step, A), vote(2, 0, step, A))
    assert book.add(second, 0) == (Added.COUNTED, [ConflictingVotes(first, second)])
    votes = book.of(0).of(step)
    assert (votes.stake_for(A), votes.stake_for(NIL), votes.stake) == (3, 1, 3)
    assert list(votes.votes.values()) == [first, vote(1, 0, step, A), vote(2, 0, step, A), second]
    assert votes.firsts[address(0)] == first
    assert book.add(second, 0) == (Added.KNOWN, [])
    assert book.is_polka(0, A) is (step is PREVOTE)


def test_a_second_vote_that_came_too_soon_counts_when_it_comes_again() -> None:
    """One of three is exactly a third."""
    book = book_of(1, 1, 1)
    add_all(book, vote(0, 0, PREVOTE, NIL), vote(1, 0, PREVOTE, A))
    assert book.add(vote(0, 0, PREVOTE, A), 0)[0] is Added.CONFLICT
    book.add(vote(2, 0, PREVOTE, A), 0)
    assert book.add(vote(0, 0, PREVOTE, A), 0)[0] is Added.COUNTED
    assert book.is_polka(0, A)


def test_a_second_vote_of_a_later_round_waits_for_the_round() -> None:
    book = book_of(1, 1, 1, 1)
    add_all(book, vote(0, 3, PREVOTE, NIL), vote(1, 3, PREVOTE, A), vote(2, 3, PREVOTE, A))
    assert book.add(vote(0, 3, PREVOTE, A), 2)[0] is Added.CONFLICT
    assert book.add(vote(0, 3, PREVOTE, A), 3)[0] is Added.COUNTED


@given(st.lists(st.tuples(st.integers(0, 6), st.sampled_from([NIL, A, B, C])), max_size=60))
def test_a_validator_has_at_most_three_votes_in_one_place(given_votes: list[tuple[int, Hash32 | None]]) -> None:
    """And every stake in the book is that of the votes in it."""
    book = book_of(1, 2, 3, 4, 5, 6, 7)
    for who, value in given_votes:
        book.add(vote(who, 0, PREVOTE, value), 0)
    prevotes = book.of(0).prevotes
    counted = list(prevotes.votes.values())
    assert all(sum(each.validator == address(who) for each in counted) <= 3 for who in range(7))
    for value in (NIL, A, B, C):
        stakes = [book.validators.stake_of(each.validator) for each in counted if each.block_id == value]
        assert prevotes.stake_for(value) == sum(stakes)
    assert prevotes.stake == sum(book.validators.stake_of(who) for who in prevotes.firsts)


# ------------------------------------------------------------------------------------------------ later rounds


def test_two_votes_of_later_rounds_are_kept_a_validator() -> None:
    """Both of its latest round; those of the round before go, those of rounds that have come stay."""
    book = book_of(1, 1)
    add_all(book, vote(0, 1, PREVOTE, A), vote(0, 4, PREVOTE, A), vote(0, 4, PRECOMMIT, A), current_round=2)
    assert set(book.rounds) == {1, 4} and book.stake_in_round(4) == 1
    assert book.add(vote(0, 5, PREVOTE, B), 2)[0] is Added.COUNTED
    assert set(book.rounds) == {1, 5}
    assert (book.stake_in_round(4), book.stake_in_round(5)) == (0, 1)


def test_a_vote_of_an_earlier_later_round_comes_too_early() -> None:
    book = book_of(1, 1)
    book.add(vote(0, 5, PREVOTE, A), 2)
    assert book.add(vote(0, 4, PREVOTE, A), 2) == (Added.TOO_EARLY, [])
    assert set(book.rounds) == {5}
    assert book.add(vote(0, 4, PREVOTE, A), 4)[0] is Added.COUNTED, "it counts when its round has come"
    assert book.add(vote(0, 1, PREVOTE, A), 2)[0] is Added.COUNTED, "and past rounds always do"


def test_forgetting_one_validator_leaves_the_others() -> None:
    book = book_of(1, 10, 100)
    add_all(book, vote(0, 3, PREVOTE, A), vote(1, 3, PREVOTE, A), vote(1, 3, PRECOMMIT, B), vote(2, 3, PRECOMMIT, B))
    book.add(vote(1, 4, PREVOTE, A), 0)
    assert book.stake_in_round(3) == 101
    assert book.of(3).prevotes.stakes == {A: 1} and book.of(3).prevotes.stake == 1
    assert book.of(3).precommits.stake_for(B) == 100 and book.of(3).precommits.stake == 100
    assert book.of(3).prevotes.voters == {A: 0b001} and book.of(3).precommits.voters == {B: 0b100}


def test_memory_is_bounded_by_validators_whatever_one_sends() -> None:
    book = book_of(1, 1)
    for round in range(1, 1000):
        book.add(vote(0, round, PREVOTE, A), 0)
    assert list(book.rounds) == list(book._latest_stakes) == [999]
    assert book.stake_from(0) == 1


def test_rounds_after_are_highest_first() -> None:
    book = book_of(1, 1, 1, 1)
    add_all(book, *(vote(who, round, PREVOTE, A) for who, round in enumerate((4, 0, 6, 2))), current_round=2)
    assert book.rounds_after(2) == [6, 4]
    assert book.rounds_after(6) == []


def test_stake_from_counts_each_by_its_latest_round() -> None:
    book = book_of(1, 10, 100, 1000)
    add_all(book, vote(0, 0, PREVOTE, A), vote(1, 1, PREVOTE, A), vote(2, 2, PRECOMMIT, NIL), current_round=2)
    assert [book.stake_from(round) for round in range(4)] == [111, 110, 100, 0]
    add_all(book, vote(0, 2, PREVOTE, A), vote(1, 0, PREVOTE, A), current_round=2)
    assert [book.stake_from(round) for round in range(4)] == [111, 111, 101, 0]


def test_removing_from_a_round_what_is_not_there() -> None:
    """A validator that only prevoted has no precommit to forget."""
    votes = RoundVotes()
    votes.add(vote(0, 3, PRECOMMIT, A), 5, 0)
    votes.remove(address(0), 5, 0)
    assert votes.stake == votes.precommits.stake == 0 and not votes.voted(address(0))


# ------------------------------------------------------------------------------------------------ forgotten locks


@pytest.mark.parametrize("is_precommit_first", [True, False])
def test_a_forgotten_lock_is_evidence_in_either_order(is_precommit_first: bool) -> None:
    """Protocol §5.8 c: a precommit for A at 1, and a prevote for B at 3 that claims no polka since 1."""
    precommit, prevote = vote(0, 1, PRECOMMIT, A), vote(0, 3, PREVOTE, B, polka_round=0)
    order = [precommit, prevote] if is_precommit_first else [prevote, precommit]
    assert add_all(book_of(1, 1), *order, current_round=3) == [ForgottenLock(precommit, prevote)]


@pytest.mark.parametrize("is_precommit_first", [True, False])
@pytest.mark.parametrize(
    "precommit, prevote",
    [
        (vote(0, 1, PRECOMMIT, A), vote(0, 3, PREVOTE, A)),
        (vote(0, 1, PRECOMMIT, A), vote(0, 3, PREVOTE, NIL)),
        (vote(0, 1, PRECOMMIT, NIL), vote(0, 3, PREVOTE, B)),
        (vote(0, 1, PRECOMMIT, A), vote(0, 3, PREVOTE, B, polka_round=1)),
        (vote(0, 1, PRECOMMIT, A), vote(0, 3, PREVOTE, B, polka_round=2)),
        (vote(0, 1, PRECOMMIT, A), vote(0, 1, PREVOTE, B)),
        (vote(0, 3, PRECOMMIT, A), vote(0, 1, PREVOTE, B)),
        (vote(0, 1, PRECOMMIT, A), vote(1, 3, PREVOTE, B)),
    ],
    ids=["same value", "nil prevote", "nil precommit", "polka at", "polka after", "same round", "before", "other"],
)
def test_what_is_no_forgotten_lock(precommit: Vote, prevote: Vote, is_precommit_first: bool) -> None:
    order = [precommit, prevote] if is_precommit_first else [prevote, precommit]
    assert add_all(book_of(1, 1), *order, current_round=3) == []


def test_every_pair_is_found_whatever_the_order() -> None:
    """Two locks and two prevotes that forget one or both of them."""
    votes = [
        vote(0, 0, PRECOMMIT, A),
        vote(0, 1, PRECOMMIT, B),
        vote(0, 2, PREVOTE, C, polka_round=0),
        vote(0, 3, PREVOTE, C),
    ]
    expected = {(0, 3), (1, 2), (1, 3)}
    for order in permutations(votes):
        found = add_all(book_of(1, 1), *order, current_round=3)
        pairs = {(each.precommit.round, each.prevote.round) for each in found if isinstance(each, ForgottenLock)}
        assert pairs == expected and len(found) == 3


def test_what_was_forgotten_of_a_later_round_accuses_nobody() -> None:
    """Its votes are gone from the book, so they are not evidence either until they come again."""
    precommit, prevote = vote(0, 4, PRECOMMIT, A), vote(0, 7, PREVOTE, B)
    book = book_of(1, 1)
    assert add_all(book, precommit, vote(0, 5, PRECOMMIT, NIL), prevote, current_round=2) == []
    assert add_all(book, precommit, current_round=7) == [ForgottenLock(precommit, prevote)]
