"""The signer's rule: a table of what is allowed and refused, and a property over random requests and restarts."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from blockchain.consensus.signing import (
    after_signing,
    check_record,
    check_request,
    last_position,
    merge,
    position_of,
    step_of,
)
from blockchain.errors import SigningRefused
from blockchain.primitives.crypto import Address, Hash32, PublicKey, Signature
from blockchain.primitives.vote import Proposal, Step, Vote, VoteStep
from blockchain.seams import SigningRecord

ME = Address(b"\x11" * 32)
A = Hash32(b"\xaa" * 32)
B = Hash32(b"\xbb" * 32)
C = Hash32(b"\xcc" * 32)
SIGNATURE = Signature(b"\x77" * 64)

Message = Vote | Proposal


def proposal(height: int, round_number: int, block_id: Hash32 = A, valid_round: int = -1) -> Proposal:
    return Proposal(height, round_number, valid_round, block_id, ME)


def prevote(height: int, round_number: int, block_id: Hash32 | None = A, polka_round: int = -1) -> Vote:
    return Vote(height, round_number, VoteStep.PREVOTE, block_id, polka_round, ME)


def precommit(height: int, round_number: int, block_id: Hash32 | None = A) -> Vote:
    return Vote(height, round_number, VoteStep.PRECOMMIT, block_id, -1, ME)


def signed(message: Message) -> Message:
    return replace(message, signature=SIGNATURE)


def record_after(*messages: Message) -> SigningRecord:
    record = SigningRecord(PublicKey(ME))
    for message in messages:
        assert check_request(record, message) is None
        record = after_signing(record, signed(message))
    return record


# ------------------------------------------------------------------------------------------------- positions

# Around (5, 2, prevote): each pair differs from it in one place, so that each comparison is held from both sides.
ABOVE = [
    ("the next step", precommit(5, 2)),
    ("the next round", prevote(5, 3)),
    ("the next round, an earlier step", proposal(5, 3)),
    ("the next height", prevote(6, 2)),
    ("the next height, an earlier round and step", proposal(6, 0)),
]
BELOW = [
    ("an earlier step", proposal(5, 2)),
    ("an earlier round", prevote(5, 1)),
    ("an earlier round, a later step", precommit(5, 1)),
    ("a lower height", prevote(4, 2)),
    ("a lower height, a later round and step", precommit(4, 9)),
]


@pytest.mark.parametrize("what, message", ABOVE, ids=[what for what, _ in ABOVE])
def test_signs_what_is_above_the_record(what: str, message: Message) -> None:
    assert check_request(record_after(prevote(5, 2)), message) is None


@pytest.mark.parametrize("what, message", BELOW, ids=[what for what, _ in BELOW])
def test_refuses_what_is_below_the_record(what: str, message: Message) -> None:
    with pytest.raises(SigningRefused, match="is below height 5, round 2, prevote") as refusal:
        check_request(record_after(prevote(5, 2)), message)
    assert f"height {message.height}, round {message.round}, {step_of(message).name.lower()}" in str(refusal.value)


@pytest.mark.parametrize(
    "last, other",
    [
        (prevote(5, 2, A), prevote(5, 2, B)),
        (prevote(5, 2, A), prevote(5, 2, None)),
        (prevote(5, 2, None), prevote(5, 2, A)),
        (prevote(5, 2, A), prevote(5, 2, A, polka_round=1)),
        (prevote(5, 2, A), replace(prevote(5, 2, A), validator=Address(b"\x12" * 32))),
        (precommit(5, 2, A), precommit(5, 2, B)),
        (precommit(5, 2, None), precommit(5, 2, A)),
        (proposal(5, 2, A), proposal(5, 2, B)),
        (proposal(5, 2, A), proposal(5, 2, A, valid_round=1)),
    ],
)
def test_refuses_another_message_at_the_same_place(last: Message, other: Message) -> None:
    with pytest.raises(SigningRefused, match="another message for height 5, round 2"):
        check_request(record_after(last), other)


@pytest.mark.parametrize("message", [proposal(5, 2), prevote(5, 2), prevote(5, 2, None), precommit(5, 2)])
def test_gives_the_last_message_again(message: Message) -> None:
    record = record_after(message)
    assert check_request(record, message) == signed(message)
    assert check_request(record, replace(message, signature=Signature(b"\x01" * 64))) == signed(message)


def test_gives_only_the_last_message_again() -> None:
    record = record_after(prevote(5, 2), precommit(5, 2))
    with pytest.raises(SigningRefused, match="is below"):
        check_request(record, prevote(5, 2))


def test_a_fresh_key_signs_the_first_proposal_of_the_chain_but_nothing_for_genesis() -> None:
    assert check_request(SigningRecord(PublicKey(ME)), proposal(1, 0)) is None
    for message in (proposal(0, 0), proposal(0, 1), prevote(0, 0), precommit(0, 3)):
        with pytest.raises(SigningRefused, match="genesis"):
            check_request(SigningRecord(PublicKey(ME)), message)


# ----------------------------------------------------------------------------------------------------- locks

LOCKED_ON_A_AT_2 = (prevote(5, 2, A), precommit(5, 2, A))


@pytest.mark.parametrize(
    "what, message",
    [
        ("another value, no polka", prevote(5, 3, B)),
        ("another value, the polka just too early", prevote(5, 3, B, polka_round=1)),
        ("another value, many rounds later", prevote(5, 9, B, polka_round=1)),
        ("the same value, without the lock that it follows from", prevote(5, 3, A)),
        ("the same value, the polka just too early", prevote(5, 3, A, polka_round=1)),
    ],
)
def test_refuses_a_prevote_that_forgets_the_precommit(what: str, message: Vote) -> None:
    with pytest.raises(SigningRefused, match="precommitted aaaaaaaaaaaaaaaa in round 2 of height 5"):
        check_request(record_after(*LOCKED_ON_A_AT_2), message)


@pytest.mark.parametrize(
    "what, message",
    [
        ("another value, a polka of the very round", prevote(5, 3, B, polka_round=2)),
        ("another value, a later polka", prevote(5, 4, B, polka_round=3)),
        ("the same value, with its lock", prevote(5, 3, A, polka_round=2)),
        ("nil needs no polka", prevote(5, 3, None)),
        ("the lock binds prevotes only: a proposal", proposal(5, 3, B)),
        ("the lock binds prevotes only: a precommit", precommit(5, 3, B)),
        ("the lock ends with its height", prevote(6, 0, B)),
        ("the lock ends with its height, whatever the round", prevote(6, 3, B)),
    ],
)
def test_signs_what_the_precommit_does_not_forbid(what: str, message: Message) -> None:
    assert check_request(record_after(*LOCKED_ON_A_AT_2), message) is None


def test_a_precommit_for_nil_binds_nothing() -> None:
    assert check_request(record_after(precommit(5, 2, None)), prevote(5, 3, B)) is None


def test_a_precommit_for_nil_does_not_lift_an_earlier_one() -> None:
    record = record_after(*LOCKED_ON_A_AT_2, prevote(5, 3, None), precommit(5, 3, None))
    with pytest.raises(SigningRefused, match="in round 2 of height 5"):
        check_request(record, prevote(5, 4, B, polka_round=1))
    assert check_request(record, prevote(5, 4, B, polka_round=2)) is None


def test_a_later_precommit_takes_the_place_of_the_earlier_one() -> None:
    record = record_after(*LOCKED_ON_A_AT_2, prevote(5, 4, B, polka_round=3), precommit(5, 4, B))
    with pytest.raises(SigningRefused, match="precommitted bbbbbbbbbbbbbbbb in round 4"):
        check_request(record, prevote(5, 5, C, polka_round=3))
    assert check_request(record, prevote(5, 5, C, polka_round=4)) is None


def test_a_precommit_at_round_0_binds_too() -> None:
    record = record_after(prevote(5, 0, A), precommit(5, 0, A))
    with pytest.raises(SigningRefused, match="in round 0"):
        check_request(record, prevote(5, 1, B))
    assert check_request(record, prevote(5, 1, B, polka_round=0)) is None


def test_a_prevote_for_the_newest_lock_cannot_be_accused_by_an_older_one() -> None:
    record = record_after(prevote(5, 1, A), precommit(5, 1, A), prevote(5, 2, B, polka_round=1), precommit(5, 2, B))
    with pytest.raises(SigningRefused, match="shows no polka"):
        check_request(record, prevote(5, 3, B, polka_round=0))  # beside the precommit for A at 1: ForgottenLock


# ---------------------------------------------------------------------------------------------------- records


@pytest.mark.parametrize(
    "message, step",
    [(proposal(5, 2), Step.PROPOSE), (prevote(5, 2), Step.PREVOTE), (precommit(5, 2), Step.PRECOMMIT)],
)
def test_the_record_is_of_the_last_message(message: Message, step: Step) -> None:
    record = record_after(message)
    assert (record.height, record.round, record.step) == (5, 2, step) == position_of(message)
    assert type(record.step) is Step
    assert record.message == signed(message)


@pytest.mark.parametrize(
    "what, messages, expected",
    [
        ("nothing yet", (), (-1, None)),
        ("a prevote locks nothing", (prevote(5, 2, A),), (-1, None)),
        ("a proposal locks nothing", (proposal(5, 2, A),), (-1, None)),
        ("a precommit", (precommit(5, 2, A),), (2, A)),
        ("a precommit for nil", (precommit(5, 2, None),), (-1, None)),
        ("kept in a later round", (precommit(5, 2, A), prevote(5, 3, None)), (2, A)),
        ("kept over a precommit for nil", (precommit(5, 2, A), precommit(5, 3, None)), (2, A)),
        ("replaced by a later one", (precommit(5, 2, A), precommit(5, 3, B)), (3, B)),
        ("gone at a new height", (precommit(5, 2, A), proposal(6, 0)), (-1, None)),
        ("gone at a new height by a precommit for nil", (precommit(5, 2, A), precommit(6, 0, None)), (-1, None)),
        ("replaced at a new height", (precommit(5, 2, A), precommit(6, 0, B)), (0, B)),
    ],
)
def test_the_record_remembers_the_last_precommit_for_a_value_of_its_height(
    what: str, messages: tuple[Message, ...], expected: tuple[int, Hash32 | None]
) -> None:
    record = record_after(*messages)
    assert (record.precommit_round, record.precommit_value) == expected


@pytest.mark.parametrize("message", [prevote(5, 2, B), proposal(5, 2), precommit(4, 9)])
def test_a_record_never_goes_back(message: Message) -> None:
    record = record_after(prevote(5, 2))
    with pytest.raises(AssertionError, match="below the record"):
        after_signing(record, signed(message))


# ------------------------------------------------------------------------------------------------ the property


class World:
    """A key, its record, and everything that ever left it."""

    def __init__(self) -> None:
        self.record = SigningRecord(PublicKey(ME))
        self.left: list[Message] = []

    def ask(self, message: Message, crash: bool) -> None:
        """Ask for a signature; with `crash`, the process dies when the record is written and nothing has left."""
        try:
            again = check_request(self.record, message)
        except SigningRefused:
            return
        if again is None:
            again = signed(message)
            self.record = after_signing(self.record, again)
            if crash:
                return
        assert again == signed(message)
        self.left.append(again)


def conflict(first: Message, second: Message) -> bool:
    """Two different messages for one (height, round, step) (protocol §5.8 a, b)."""
    return position_of(first) == position_of(second) and first != second


def forgotten_lock(first: Message, second: Message) -> bool:
    """What `ForgottenLock` accuses (protocol §5.8 c)."""
    return (
        isinstance(first, Vote)
        and isinstance(second, Vote)
        and (first.step, second.step) == (VoteStep.PRECOMMIT, VoteStep.PREVOTE)
        and first.height == second.height
        and first.block_id is not None
        and second.block_id is not None
        and first.block_id != second.block_id
        and second.round > first.round
        and second.polka_round < first.round
    )


# Few places and values, so that requests meet each other again and again.
HEIGHTS = st.integers(1, 2)
ROUNDS = st.integers(0, 4)
VALUES = st.sampled_from([A, B])
MESSAGES = st.one_of(
    st.builds(prevote, HEIGHTS, ROUNDS, VALUES, st.integers(-1, 3)),
    st.builds(precommit, HEIGHTS, ROUNDS, VALUES),
    st.builds(prevote, HEIGHTS, ROUNDS, st.none()),
    st.builds(precommit, HEIGHTS, ROUNDS, st.none()),
    st.builds(proposal, HEIGHTS, ROUNDS, VALUES, st.integers(-1, 3)),
)
REQUESTS = st.lists(st.tuples(MESSAGES, st.booleans()), max_size=30)
IN_ORDER = REQUESTS.map(lambda requests: sorted(requests, key=lambda request: position_of(request[0])))


@given(st.one_of(REQUESTS, IN_ORDER))
@example([(precommit(1, 1, A), False), (precommit(1, 2, B), False), (prevote(1, 3, B), False)])
@example([(prevote(1, 0, A), True), (prevote(1, 0, B), False), (prevote(1, 0, A), False)])
@settings(max_examples=400, deadline=None, derandomize=True)
def test_nothing_that_leaves_a_key_can_ever_be_held_against_it(requests: list[tuple[Message, bool]]) -> None:
    world = World()
    for message, crash in requests:
        world.ask(message, crash)
    for first in world.left:
        for second in world.left:
            assert not conflict(first, second)
            assert not forgotten_lock(first, second)


@given(st.one_of(REQUESTS, IN_ORDER))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_prevote_for_nil_is_always_allowed_upwards(requests: list[tuple[Message, bool]]) -> None:
    world = World()
    for message, crash in requests:
        world.ask(message, crash)
    record = world.record
    assert check_request(record, prevote(max(record.height, 1), record.round + 1, None)) is None


# ------------------------------------------------------------------------------------------------- two records


def records(*messages: Message) -> list[SigningRecord]:
    """The record after each of them, and before the first."""
    return [record_after(*messages[:count]) for count in range(len(messages) + 1)]


def test_records_of_one_past_merge_into_the_later_one() -> None:
    past = records(proposal(4, 0), precommit(4, 0, A), prevote(4, 1, None), precommit(4, 2, B), prevote(5, 0))
    for index, one in enumerate(past):
        for other in past[: index + 1]:
            assert merge(one, other) == merge(other, one) == one


def test_the_later_lock_of_a_height_is_kept_whichever_record_has_it() -> None:
    locked = record_after(precommit(4, 1, A))
    later = record_after(prevote(4, 3, None))
    merged = replace(later, precommit_round=1, precommit_value=A)
    assert merge(locked, later) == merge(later, locked) == merged
    check_record(merged)
    assert merge(locked, record_after(prevote(5, 0, None))).precommit_round == -1


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        (
            record_after(prevote(4, 1, A)),
            record_after(prevote(4, 1, B)),
            "two different messages are signed for height 4",
        ),
        (
            record_after(precommit(4, 1, A), prevote(4, 2, None)),
            record_after(precommit(4, 1, B), precommit(4, 2, None)),
            "two different values are precommitted in round 1 of height 4",
        ),
    ],
)
def test_records_that_contradict_each_other_do_not_merge(one: SigningRecord, other: SigningRecord, why: str) -> None:
    for pair in ((one, other), (other, one)):
        with pytest.raises(SigningRefused, match=why):
            merge(*pair)


def test_another_signature_of_the_same_message_is_no_contradiction() -> None:
    ours = record_after(prevote(4, 1, A))
    assert ours.message is not None
    theirs = replace(ours, message=replace(ours.message, signature=Signature(b"\x78" * 64)))
    assert merge(ours, theirs) == ours


@given(messages=st.lists(st.sampled_from([proposal, prevote, precommit]), max_size=6), data=st.data())
def test_a_record_that_keeps_the_rules_is_possible(messages: list[object], data: st.DataObject) -> None:
    record = SigningRecord(PublicKey(ME))
    for make in messages:
        place = data.draw(st.integers(1, 2)), data.draw(st.integers(0, 2))
        message = make(*place, data.draw(st.sampled_from([A, B])))  # type: ignore[operator]
        try:
            check_request(record, message)
        except SigningRefused:
            continue
        record = after_signing(record, signed(message)) if position_of(message) > last_position(record) else record
        check_record(record)


@pytest.mark.parametrize(
    "impossible",
    [
        replace(record_after(prevote(4, 1)), precommit_round=0),
        replace(record_after(prevote(4, 1)), precommit_value=A),
        replace(record_after(prevote(4, 1)), precommit_round=1, precommit_value=A),
        replace(record_after(precommit(4, 1, None)), precommit_round=2, precommit_value=A),
        replace(record_after(precommit(4, 1, A)), precommit_value=B),
        replace(record_after(precommit(4, 1, A)), precommit_round=-1, precommit_value=None),
        replace(SigningRecord(PublicKey(ME)), precommit_round=0, precommit_value=A),
    ],
)
def test_a_record_that_no_such_key_can_have(impossible: SigningRecord) -> None:
    with pytest.raises(SigningRefused, match="its last precommit"):
        check_record(impossible)
