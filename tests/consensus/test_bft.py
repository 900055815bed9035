"""The engine around the algorithm: the trigger, blocks, signatures, records, evidence, the head's certificate.

The bench plays three other validators of one stake each, and a signer that answers when the test lets it.
"""

from __future__ import annotations

from typing import Any

import pytest

from blockchain.consensus.bft import PROPOSALS_AHEAD_MAX
from blockchain.consensus.evidence import accused
from blockchain.errors import ForkFound, InvalidCertificate
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import (
    Announcement,
    Certificate,
    CommitSignature,
    ConflictingProposals,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Step,
    Vote,
)
from blockchain.seams import (
    Batch,
    BlockRejected,
    Broadcast,
    Emit,
    ForgerDrawn,
    Halt,
    Halted,
    HeadMoved,
    HeightBegun,
    Locked,
    OffenceSeen,
    Penalize,
    PoolChanged,
    ProposalReceived,
    ProposalUntimely,
    ProveVrf,
    RoundTimedOut,
    Sign,
    SignatureRefused,
    Signed,
    SignRefused,
    TimerFired,
    TimerKey,
    TimerKind,
    Write,
)
from tests.consensus.bench import (
    HEIGHT,
    NOW,
    PEER,
    SET,
    SIGNATURE,
    WHO,
    Bench,
    asked,
    block_of,
    due,
    events,
    of,
    proposal_of,
    record_of,
    rounds,
    signed,
    started,
    timers,
    vote_of,
)
from tests.samples import BLOCK_B, PRECOMMIT, PREVOTE, certificate_of, keys_in_order

BLOCK = block_of()
OTHER = block_of(salt=1)
V = BLOCK.id
ME = 3


# ------------------------------------------------------------------------------------------------ beginning


def test_a_height_begins_with_its_set_and_its_first_forger() -> None:
    effects = Bench().start()
    assert events(HeightBegun, effects) == [HeightBegun(HEIGHT, 4, 4)]
    assert events(ForgerDrawn, effects) == [ForgerDrawn(HEIGHT, 0, WHO[0])]
    assert len(effects) == 2, "with nothing to do it asks for nothing and no timer runs"


def test_a_node_finds_its_validator_by_key() -> None:
    assert Bench(me=2).engine.validator == WHO[2]
    assert Bench(me=None).engine.validator is None


# ------------------------------------------------------------------------------------------------ the trigger


def test_a_round_with_nothing_to_do_waits() -> None:
    for me in (ME, 0, None):
        bench = started(me)
        assert [bench.give(PoolChanged()) for _ in range(3)] == [[], [], []]


def test_the_propose_timer_runs_once_the_trigger_holds() -> None:
    bench = due()
    assert timers(bench.give(PoolChanged())) == [(TimerKind.PROPOSE, 0, 3_000)]
    assert bench.give(PoolChanged()) == []


def test_a_block_is_awaited_once_there_is_a_reason_and_from_then_on() -> None:
    bench = started()
    assert not bench.engine.is_block_awaited
    bench.prevotes(None, who=[0])
    assert not bench.engine.is_block_awaited
    bench.prevotes(None, who=[1])
    assert bench.engine.is_block_awaited

    bench = due()
    assert bench.engine.is_block_awaited
    bench.timeout(Step.PROPOSE)
    bench.app.is_due = False
    assert bench.engine.is_block_awaited, "in step prevote"


def test_the_propose_timer_runs_where_a_third_has_voted() -> None:
    """Stakes of 1 each: one vote is less than a third of four, two are more."""
    bench = started()
    assert timers(bench.prevotes(None, who=[0])) == []
    assert timers(bench.prevotes(None, who=[1])) == [(TimerKind.PROPOSE, 0, 3_000)]


def test_votes_of_a_later_round_are_a_reason_too() -> None:
    bench = started()
    assert timers(bench.prevotes(None, who=[0], round=5)) == []
    assert rounds(bench.prevotes(None, who=[1], round=6)) == []
    assert bench.place == (HEIGHT, 0, Step.PROPOSE)
    assert bench.engine.current.unarmed_round == -1


def test_votes_of_an_earlier_round_are_no_reason() -> None:
    bench = started()
    bench.to_round(2)
    assert timers(bench.prevotes(None, who=[0, 1, 2], round=0)) == []


def test_a_valid_proposal_is_a_reason_and_an_invalid_one_is_none() -> None:
    for is_bad in (False, True):
        bench = started()
        if is_bad:
            bench.app.bad.add(V)
        bench.propose(BLOCK)
        assert bool(timers(bench.to_round(1))) is not is_bad


def test_a_valid_value_is_a_reason() -> None:
    bench = started()
    bench.propose(BLOCK)
    bench.prevotes(V)
    assert bench.engine.current.rules.valid_value == V
    assert (TimerKind.PROPOSE, 1, 3_500) in timers(bench.to_round(1))


@pytest.mark.parametrize(
    "step, base, delta", [(Step.PROPOSE, 3_000, 500), (Step.PREVOTE, 1_000, 500), (Step.PRECOMMIT, 1_000, 500)]
)
def test_time_outs_grow_with_the_round_up_to_their_maximum(step: Step, base: int, delta: int) -> None:
    for round, delay in [(1, base + delta), (3, base + 3 * delta), (100, 5_000)]:
        bench = due(timeout_max_ms=5_000)
        seen = bench.to_round(round)
        if step is Step.PROPOSE:
            assert timers(seen)[-1] == (TimerKind.PROPOSE, round, delay)
        elif step is Step.PREVOTE:
            bench.timeout(Step.PROPOSE, round)
            split = bench.prevotes(V, who=[0, 1], round=round) + bench.prevotes(None, who=[2], round=round)
            assert (TimerKind.PREVOTE, round, delay) in timers(split)
        else:
            split = bench.precommits(V, who=[0, 1], round=round) + bench.precommits(None, who=[2], round=round)
            assert (TimerKind.PRECOMMIT, round, delay) in timers(split)


def test_a_timer_of_another_height_round_or_step_is_dropped() -> None:
    bench = due()
    for key in [
        TimerKey(TimerKind.PROPOSE, HEIGHT - 1, 0),
        TimerKey(TimerKind.PROPOSE, HEIGHT + 1, 0),
        TimerKey(TimerKind.PRECOMMIT, HEIGHT, 1),
        TimerKey(TimerKind.PREVOTE, HEIGHT, 0),
        TimerKey(TimerKind.STATUS, HEIGHT, 0),
    ]:
        effects = bench.give(TimerFired(key))
        assert asked(effects) == [] and events(RoundTimedOut, effects) == []


def test_a_time_out_is_told_and_votes_nil() -> None:
    effects = due().timeout(Step.PROPOSE)
    assert events(RoundTimedOut, effects) == [RoundTimedOut(HEIGHT, 0, Step.PROPOSE)]
    assert asked(effects) == [Vote(HEIGHT, 0, PREVOTE, None, -1, WHO[ME])]


# ------------------------------------------------------------------------------------------------ proposals received


def test_a_good_proposal_is_passed_on_and_voted_for() -> None:
    bench = started()
    effects = bench.propose(BLOCK)
    assert of(Broadcast, effects) == [Broadcast(proposal_of(BLOCK), BLOCK)]
    assert asked(effects) == [Vote(HEIGHT, 0, PREVOTE, V, -1, WHO[ME])]
    assert bench.app.checked == [V]


def test_an_invalid_block_gets_nil_and_its_peer_no_blame() -> None:
    bench = started()
    bench.app.bad.add(V)
    effects = bench.propose(BLOCK)
    assert asked(effects) == [Vote(HEIGHT, 0, PREVOTE, None, -1, WHO[ME])]
    [rejected] = events(BlockRejected, effects)
    assert rejected.block_id == V and "state_root" in rejected.why
    assert of(Penalize, effects) == []


def test_a_proposal_of_somebody_who_was_not_drawn_is_its_peers_fault() -> None:
    bench = started()
    [effect] = bench.propose(BLOCK, forger=1)
    assert isinstance(effect, Penalize) and (effect.peer, effect.reason) == (PEER, "wrong_forger")
    assert bench.engine.current.proposals == {}
    assert bench.propose(BLOCK, forger=1, peer=None) == []


@pytest.mark.parametrize("height", [HEIGHT - 1, HEIGHT + 1])
def test_a_proposal_of_another_height_is_dropped(height: int) -> None:
    assert started().give(ProposalReceived(proposal_of(BLOCK, height=HEIGHT), BLOCK, PEER)) != []
    assert started().give(ProposalReceived(proposal_of(BLOCK, height=height), BLOCK, PEER)) == []


def test_proposals_of_the_next_rounds_are_kept_and_later_ones_are_not() -> None:
    bench = started()
    for round in range(PROPOSALS_AHEAD_MAX + 3):
        bench.propose(block_of(round, round % 4), round)
    assert sorted(bench.engine.current.proposals) == list(range(PROPOSALS_AHEAD_MAX + 1))


@pytest.mark.parametrize("ahead, value", [(5_000, V), (5_001, None)])
def test_a_block_ahead_of_the_clock_gets_nil(ahead: int, value: Hash32 | None) -> None:
    block = block_of(time_ms=NOW + ahead)
    effects = started().propose(block)
    assert asked(effects) == [Vote(HEIGHT, 0, PREVOTE, None if value is None else block.id, -1, WHO[ME])]
    assert of(Broadcast, effects) != []
    told = [] if value is not None else [ProposalUntimely(HEIGHT, 0, block.header.forger, ahead, 5_000)]
    assert events(ProposalUntimely, effects) == told
    assert events(BlockRejected, effects) == []


@pytest.mark.parametrize("later_ms, is_voted_for", [(1, True), (2, False)])
def test_clocks_that_were_set_back_do_not_stop_the_chain(later_ms: int, is_voted_for: bool) -> None:
    """The head is an hour ahead of them; the earliest block on it gets votes all the same."""
    bench = started()
    bench.app.parent_time_ms = NOW + 3_600_000
    block = block_of(time_ms=bench.app.parent_time_ms + later_ms)
    value = block.id if is_voted_for else None
    assert asked(bench.propose(block)) == [Vote(HEIGHT, 0, PREVOTE, value, -1, WHO[ME])]


def test_the_clock_says_nothing_about_a_block_proposed_again() -> None:
    block = block_of(time_ms=NOW + 60_000)
    bench = started()
    bench.prevotes(block.id, round=0)
    bench.to_round(1)
    assert asked(bench.propose(block, 1, 0)) == [Vote(HEIGHT, 1, PREVOTE, block.id, 0, WHO[ME])]


def test_the_clock_can_cost_a_prevote_and_never_a_lock() -> None:
    block = block_of(time_ms=NOW + 60_000)
    bench = started()
    bench.sign(bench.propose(block))
    effects = bench.prevotes(block.id)
    assert events(Locked, effects) == [Locked(HEIGHT, 0, block.id)]
    assert asked(effects) == [Vote(HEIGHT, 0, PRECOMMIT, block.id, -1, WHO[ME])]


MISFITS = {
    "a block of another round": (block_of(1, 0), 0, -1),
    "a block of an earlier round as new": (block_of(0, 1), 1, -1),
    "a block of another forger": (block_of(0, 1), 0, -1),
    "again in its own round": (block_of(0, 0), 0, 0),
    "again from a later round": (block_of(0, 0), 0, 1),
    "again, built after the round in which it was valid": (block_of(1, 1), 2, 0),
}


@pytest.mark.parametrize("block, round, valid_round", MISFITS.values(), ids=MISFITS.keys())
def test_a_block_that_does_not_fit_its_proposal_is_invalid(block: Any, round: int, valid_round: int) -> None:
    bench = started()
    bench.to_round(round)
    effects = bench.propose(block, round, valid_round)
    assert [event.block_id for event in events(BlockRejected, effects)] == [block.id]
    assert block.id not in bench.app.checked
    assert not bench.engine.current.rules.proposals[round].is_valid


def test_a_block_proposed_again_is_voted_for_with_the_polka_that_justifies_it() -> None:
    bench = started()
    bench.prevotes(V, round=0)
    bench.to_round(2)
    effects = bench.propose(BLOCK, 2, 0)
    assert asked(effects) == [Vote(HEIGHT, 2, PREVOTE, V, 0, WHO[ME])]


# ------------------------------------------------------------------------------------------------ evidence


def evidence_of(effects: list[Any]) -> list[Evidence]:
    """What the engine has seen; it keeps and tells nothing of it: that is the core's."""
    assert not any(write.batch.evidence for write in of(Write, effects))
    return [effect.evidence for effect in of(OffenceSeen, effects)]


def test_two_proposals_of_one_round_are_evidence() -> None:
    bench = started()
    bench.propose(BLOCK)
    expected = ConflictingProposals(proposal_of(BLOCK), proposal_of(OTHER))
    effects = bench.propose(OTHER)
    assert evidence_of(effects) == [expected] and accused(expected) == (HEIGHT, WHO[0])
    assert effects == [OffenceSeen(expected)]
    assert bench.propose(OTHER) == effects, "as often as it is seen"
    assert bench.engine.current.rules.proposals[0].block_id == V


def test_one_block_with_two_valid_rounds_is_evidence_too() -> None:
    bench = started()
    bench.to_round(2)
    bench.propose(BLOCK, 2, 0)
    assert len(evidence_of(bench.propose(BLOCK, 2, 1))) == 1


def test_the_same_proposal_again_is_nothing_new() -> None:
    bench = started()
    bench.propose(BLOCK)
    assert bench.propose(BLOCK) == []


@pytest.mark.parametrize("step", [PREVOTE, PRECOMMIT])
def test_two_votes_of_one_place_are_evidence(step: Any) -> None:
    bench = started()
    one, other = vote_of(0, step, V), vote_of(0, step, None)
    assert of(Broadcast, bench.vote(one)) == [Broadcast(one)]
    expected = ConflictingVotes(one, other)
    effects = bench.vote(other)
    assert evidence_of(effects) == [expected] and accused(expected) == (HEIGHT, WHO[0])
    assert evidence_of(bench.vote(other)) == [expected], "as often as it is seen"
    assert evidence_of(bench.vote(one)) == []


def test_a_forgotten_lock_is_evidence() -> None:
    bench = started()
    lock, later = vote_of(0, PRECOMMIT, V), vote_of(0, PREVOTE, OTHER.id, round=1)
    bench.vote(lock)
    bench.to_round(1)
    effects = bench.vote(later)
    assert evidence_of(effects) == [ForgottenLock(lock, later)]
    assert accused(ForgottenLock(lock, later)) == (HEIGHT, WHO[0])
    assert Broadcast(later) in effects, "the vote counts all the same"


def test_each_kind_and_each_validator_is_accused() -> None:
    bench = started()
    told = []
    for who in (0, 1):
        for value in (V, None):
            told += evidence_of(bench.vote(vote_of(who, PREVOTE, value)))
    assert [accused(evidence)[1] for evidence in told] == [WHO[0], WHO[1]]


# ------------------------------------------------------------------------------------------------ signing


def test_the_record_is_written_while_a_prevote_is_signed() -> None:
    bench = started()
    effects = bench.propose(BLOCK)
    kinds = [type(effect) for effect in effects if isinstance(effect, Write | Sign)]
    assert kinds == [Sign, Write]
    [write] = of(Write, effects)
    record = record_of(effects)
    assert (record.height, record.round, record.step) == (HEIGHT, 0, Step.PREVOTE)
    assert record.asked == tuple(asked(effects)) and record.signed == ()
    assert record.proposals == (proposal_of(BLOCK),)
    assert write.batch.round_blocks == ((V, BLOCK.raw),)


def test_a_lock_is_written_with_the_prevotes_behind_it_before_the_precommit() -> None:
    bench = started()
    bench.sign(bench.propose(BLOCK))
    effects = bench.prevotes(V, who=[0, 1])
    assert [type(effect) for effect in effects if isinstance(effect, Write | Sign)] == [Write, Sign]
    record = record_of(effects)
    assert (record.locked_value, record.locked_round, record.valid_value, record.valid_round) == (V, 0, V, 0)
    assert {vote.validator for vote in record.prevotes} == {WHO[0], WHO[1], WHO[ME]}
    assert record.signed == (signed(record.asked[0]),) and len(record.asked) == 2
    assert of(Write, effects)[0].batch.round_blocks == (), "the body is there already"


def test_a_vote_counts_and_leaves_when_it_is_signed() -> None:
    bench = started()
    [unsigned] = asked(bench.propose(BLOCK))
    assert bench.engine.current.rules.book.of(0).prevotes.stake == 0
    effects = bench.give(Signed(signed(unsigned)))
    assert of(Broadcast, effects) == [Broadcast(signed(unsigned))]
    assert bench.engine.current.rules.book.of(0).prevotes.stake == 1
    assert bench.give(Signed(signed(unsigned))) == [], "once"


@pytest.mark.parametrize(
    "answer",
    [vote_of(ME, PREVOTE, OTHER.id), vote_of(ME, PREVOTE, V, round=1), vote_of(ME, PREVOTE, V, height=HEIGHT - 1)],
)
def test_a_signature_that_was_not_asked_for_here_is_dropped(answer: Vote) -> None:
    bench = started()
    bench.propose(BLOCK)
    assert bench.give(Signed(answer)) == []


def test_a_signature_of_a_height_that_is_over_is_dropped() -> None:
    bench = started()
    [unsigned] = asked(bench.propose(BLOCK))
    bench.precommits(V)
    assert bench.place[0] == HEIGHT + 1
    assert bench.give(Signed(signed(unsigned))) == []


def test_a_refusal_is_told_and_the_node_stays_silent_in_that_step() -> None:
    bench = started()
    [unsigned] = asked(bench.propose(BLOCK))
    assert isinstance(unsigned, Vote)
    effects = bench.give(SignRefused(unsigned, "another node has this key"))
    assert effects[:1] == [Emit(SignatureRefused(HEIGHT, 0, Step.PREVOTE, "another node has this key"))]
    refused = bench.give(SignRefused(proposal_of(BLOCK), "no"))
    assert events(SignatureRefused, refused)[0].step is Step.PROPOSE
    assert asked(bench.precommits(V)) == [], "and follows the others all the same"
    assert bench.place[0] == HEIGHT + 1


def test_answers_about_announcements_are_not_the_engines() -> None:
    bench = started()
    announcement = Announcement(WHO[ME], 1, NOW)
    assert bench.give(Signed(announcement)) == [] == bench.give(SignRefused(announcement, "no"))


@pytest.mark.parametrize("is_follower", [True, False])
def test_who_must_not_sign_follows_without_voting(is_follower: bool) -> None:
    bench = started(me=None if is_follower else ME)
    if not is_follower:
        bench.engine.voice.halt()
    effects = bench.propose(BLOCK) + bench.prevotes(V) + bench.precommits(V)
    assert asked(effects) == [] and len(bench.app.final) == 1


def test_a_halted_forger_proposes_nothing() -> None:
    bench = due(me=0)
    bench.engine.voice.halt()
    assert of(ProveVrf, bench.give(PoolChanged())) == []


# ------------------------------------------------------------------------------------------------ deciding


def test_a_decision_makes_the_block_final_and_begins_the_next_height() -> None:
    bench = started()
    bench.sign(bench.propose(BLOCK))
    bench.sign(bench.prevotes(V, who=[0, 1]))
    effects = bench.precommits(V, who=[1, 0])
    [(block, certificate, round)] = bench.app.final
    assert (block, round) == (BLOCK, 0)
    assert (certificate.height, certificate.round, certificate.block_id) == (HEIGHT, 0, V)
    assert [entry.index for entry in certificate.precommits] == [0, 1, ME]
    assert bench.place == (HEIGHT + 1, 0, Step.PROPOSE)
    last_vote, final = Broadcast(vote_of(0, PRECOMMIT, V)), of(Write, effects)[-1]
    assert effects.index(last_vote) < effects.index(final)
    assert events(HeightBegun, effects)[0].height == HEIGHT + 1
    assert bench.engine.commit == certificate


def test_a_past_round_decides_and_the_round_is_told() -> None:
    bench = started()
    bench.propose(BLOCK)
    bench.to_round(3)
    bench.precommits(V, round=0)
    [(_, certificate, round)] = bench.app.final
    assert (certificate.round, round) == (0, 3)


def test_precommits_before_the_proposal_decide_when_it_comes() -> None:
    bench = started()
    assert bench.app.final == [] and bench.precommits(V)
    bench.propose(BLOCK)
    assert len(bench.app.final) == 1


def test_a_certificate_holds_votes_for_its_block_only() -> None:
    bench = started()
    bench.propose(BLOCK)
    bench.precommits(None, who=[3])
    bench.precommits(V)
    assert [entry.index for entry in bench.app.final[0][1].precommits] == [0, 1, 2]


def test_late_precommits_complete_the_heads_certificate() -> None:
    bench = started(me=None)
    bench.propose(BLOCK)
    bench.precommits(V)
    late = vote_of(3, PRECOMMIT, V)
    assert of(Broadcast, bench.vote(late)) == [Broadcast(late)]
    assert bench.engine.commit.precommits[-1] == CommitSignature(3, SIGNATURE)
    assert bench.vote(late) == []
    assert len(bench.app.parent_certificate.precommits) == 3, "what is stored stays as it was written"


def decided_without(precommit_is_asked: bool = True) -> tuple[Bench, Vote]:
    """A node that sees the decision of the three others, and its own precommit, whose signature takes its time."""
    bench = started()
    bench.sign(bench.propose(BLOCK))
    if precommit_is_asked:
        [unsigned] = asked(bench.prevotes(V, who=[0, 1]))
        assert signed(unsigned) == vote_of(ME, PRECOMMIT, V)
    bench.precommits(V)
    assert bench.place[0] == HEIGHT + 1
    return bench, vote_of(ME, PRECOMMIT, V)


def test_ones_own_precommit_that_is_signed_after_the_decision_completes_the_certificate() -> None:
    """Else its voter counts as absent, and the next forger waits for it in vain (protocol §4.4)."""
    bench, own = decided_without()
    assert of(Broadcast, bench.give(Signed(own))) == [Broadcast(own)]
    assert [entry.index for entry in bench.engine.commit.precommits] == [0, 1, 2, ME]
    assert bench.give(Signed(own)) == [], "once"


def test_a_late_answer_that_was_not_asked_for_or_comes_to_a_mute_node_is_dropped() -> None:
    bench, own = decided_without(precommit_is_asked=False)
    assert bench.give(Signed(own)) == []
    bench, own = decided_without()
    bench.engine.voice.mute()
    assert bench.give(Signed(own)) == []
    assert len(bench.engine.commit.precommits) == 3


def test_nothing_of_the_old_height_is_kept() -> None:
    bench = started()
    bench.propose(BLOCK)
    old = bench.engine.current
    bench.precommits(V)
    assert bench.engine.current is not old and bench.engine.current.blocks == {}


def test_a_head_that_moved_begins_the_height_after_it() -> None:
    bench = started()
    bench.propose(BLOCK)
    bench.app.height += 5
    bench.app.parent_certificate = Certificate(HEIGHT + 4, 0, BLOCK_B, ())
    effects = bench.give(HeadMoved())
    assert bench.place == (HEIGHT + 5, 0, Step.PROPOSE)
    assert events(HeightBegun, effects)[0].height == HEIGHT + 5
    assert bench.engine.commit.block_id == BLOCK_B


def test_a_seal_is_a_certificate_of_that_very_block() -> None:
    keys = dict(enumerate(keys_in_order(4)))
    engine = started().engine
    engine.verify_seal(BLOCK, certificate_of(keys, HEIGHT, V), SET)
    for bad in (
        certificate_of(keys, HEIGHT, OTHER.id),
        certificate_of(keys, HEIGHT + 1, V),
        certificate_of({0: keys[0], 1: keys[1]}, HEIGHT, V),
    ):
        with pytest.raises(InvalidCertificate):
            engine.verify_seal(BLOCK, bad, SET)


def test_a_fork_is_kept_told_and_ends_all_signing() -> None:
    bench = started()
    bench.app.fork = ForkFound(HEIGHT - 1, b"two certificates")
    effects = bench.propose(BLOCK)
    assert Write(Batch(evidence=(b"two certificates",), halted=str(bench.app.fork))) in effects
    assert [type(effect) for effect in effects if isinstance(effect, Write | Halt)] == [Write, Halt]
    assert len(events(Halted, effects)) == 1 and asked(effects) == []
