"""A node that starts again: from its round record, and with what its signer remembers (protocol §5.6)."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from blockchain.consensus.evidence import author_of
from blockchain.consensus.height import PROPOSED_ROUNDS_MAX, RECORDED_ROUNDS_MAX
from blockchain.consensus.signing import position_of
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.vote import Proposal, Step, Vote
from blockchain.seams import (
    Broadcast,
    HeadMoved,
    HeightBegun,
    PoolChanged,
    ProveVrf,
    Sign,
    Signed,
    SignerRegained,
    SigningRecord,
    SignRefused,
    Started,
    Write,
)
from tests.consensus.bench import (
    HEIGHT,
    SET,
    WHO,
    App,
    Bench,
    asked,
    block_of,
    due,
    events,
    locked,
    of,
    proposal_of,
    record_of,
    signed,
    started,
    vote_of,
)
from tests.samples import BLOCK_A, PRECOMMIT, PREVOTE

BLOCK = block_of()
OTHER = block_of(salt=1)
V = BLOCK.id
ME = 3


def restart(bench: Bench, effects: list[Any], record: SigningRecord) -> tuple[Bench, list[Any]]:
    """A new engine from what the last write of `effects` made durable, and what its start does."""
    again = Bench(bench.me)
    stored = record_of(effects)
    again.engine.restore(stored, {block_id: bench.engine.current.blocks[block_id] for block_id in stored.block_ids()})
    return again, again.give(Started((record,)))


def remembers(message: Any) -> SigningRecord:
    step = Step.PROPOSE if isinstance(message, Proposal) else Step(message.step)
    return SigningRecord(PublicKey(author_of(message)), message.height, message.round, step, signed(message))


def test_a_node_resumes_in_the_recorded_place_with_its_lock() -> None:
    bench, effects = locked()
    prevote, precommit = record_of(effects).asked
    again, started_again = restart(bench, effects, remembers(prevote))
    rules = again.engine.current.rules
    assert again.place == (HEIGHT, 0, Step.PRECOMMIT)
    assert (rules.locked_value, rules.locked_round, rules.valid_value, rules.valid_round) == (V, 0, V, 0)
    assert rules.book.is_polka(0, V)
    assert Broadcast(signed(prevote)) in started_again
    assert asked(started_again) == [precommit], "it was asked for and never signed"
    assert again.engine.current.proposals == {0: proposal_of(BLOCK)} and again.app.checked == [V]


def test_a_node_resumes_in_its_round_with_the_lock_and_the_valid_value_of_an_earlier_one() -> None:
    """Nothing in the round in progress shows them: only the record does."""
    bench, effects = locked()
    bench.sign(effects)
    bench.to_round(1)
    [nil] = asked(effects := bench.timeout(Step.PROPOSE, 1))
    again, _ = restart(bench, effects, remembers(nil))
    rules = again.engine.current.rules
    assert again.place == (HEIGHT, 1, Step.PREVOTE)
    assert (rules.locked_value, rules.locked_round, rules.valid_value, rules.valid_round) == (V, 0, V, 0)
    assert asked(again.to_round(ME))[-1] == Proposal(HEIGHT, ME, 0, V, WHO[ME])


def test_a_precommit_is_on_the_disk_before_the_signer_writes_over_it() -> None:
    """Others may need it to end its round: who has gone on to the next one cannot sign it again."""
    bench, effects = locked()
    bench.sign(effects)
    bench.to_round(1)
    effects = bench.timeout(Step.PROPOSE, 1)
    nil = vote_of(ME, PREVOTE, None, round=1)
    assert kinds(effects) == [Write, Sign] and [signed(message) for message in asked(effects)] == [nil]
    _, started_again = restart(bench, effects, remembers(asked(effects)[0]))
    assert [Broadcast(vote) in started_again for vote in (vote_of(ME, PRECOMMIT, V), nil)] == [True, True]


def kinds(effects: list[Any]) -> list[type]:
    return [type(effect) for effect in effects if isinstance(effect, Sign | Write)]


def in_the_next_round_without_an_answer() -> tuple[Bench, Vote, Vote]:
    """Others go on while the signer is slow: the precommit and the next prevote, both asked for and written down."""
    bench, effects = locked()
    bench.to_round(1)
    effects = bench.timeout(Step.PROPOSE, 1)
    _, precommit, nil = record_of(effects).asked
    assert isinstance(precommit, Vote) and isinstance(nil, Vote) and kinds(effects) == [Write]
    return bench, precommit, nil


def test_nothing_is_asked_of_the_signer_until_the_record_holds_the_precommit_that_it_gives() -> None:
    bench, precommit, nil = in_the_next_round_without_an_answer()
    effects = bench.give(Signed(signed(precommit)))
    assert Broadcast(signed(precommit)) in effects and kinds(effects) == [Write, Sign] and asked(effects) == [nil]
    _, started_again = restart(bench, effects, remembers(nil))
    assert Broadcast(signed(precommit)) in started_again


def test_a_precommit_that_is_refused_holds_nothing_up() -> None:
    bench, precommit, nil = in_the_next_round_without_an_answer()
    assert asked(bench.give(SignRefused(precommit, "the disk is full"))) == [nil]
    bench, precommit, _ = in_the_next_round_without_an_answer()
    bench.engine.voice.silence(HEIGHT)
    assert asked(bench.give(SignRefused(precommit, "the disk is full"))) == []


def test_a_signer_that_is_back_is_asked_for_one_precommit_at_a_time() -> None:
    """Its answers may be lost with the next connection, and its record holds the last of them alone."""
    bench, precommit, nil = in_the_next_round_without_an_answer()
    record = remembers(replace(precommit, step=PREVOTE))
    for _ in range(2):
        assert asked(bench.give(SignerRegained(record))) == [precommit]
    assert asked(bench.give(PoolChanged())) == []
    assert asked(bench.give(Signed(signed(precommit)))) == [nil]


def test_a_node_that_starts_again_asks_for_one_precommit_at_a_time() -> None:
    bench, effects = locked()
    bench.to_round(1)
    effects = bench.timeout(Step.PROPOSE, 1)
    prevote, precommit, nil = record_of(effects).asked
    again, started_again = restart(bench, effects, remembers(prevote))
    assert asked(started_again) == [precommit]
    effects = again.give(Signed(signed(precommit)))
    assert kinds(effects) == [Write, Sign] and asked(effects) == [nil]
    assert signed(precommit) in record_of(effects).signed


def test_a_precommit_that_the_signer_alone_holds_is_written_down_before_it_is_asked_for_more() -> None:
    """Its answer was lost with the connection, or with the process before."""
    bench, precommit, nil = in_the_next_round_without_an_answer()
    bench.give(SignRefused(precommit, "lost"))
    effects = bench.give(SignerRegained(remembers(precommit)))
    assert kinds(effects) == [Write, Sign] and asked(effects) == [nil]
    assert signed(precommit) in record_of(effects).signed
    bench, effects = locked()
    bench.to_round(1)
    _, started_again = restart(bench, bench.timeout(Step.PROPOSE, 1), remembers(precommit))
    assert kinds(started_again) == [Write, Sign] and asked(started_again) == [nil]
    assert signed(precommit) in record_of(started_again).signed


def test_what_the_signer_alone_remembers_counts_as_just_received() -> None:
    bench, effects = locked()
    _, precommit = record_of(effects).asked
    again, started_again = restart(bench, effects, remembers(precommit))
    assert Broadcast(signed(precommit)) in started_again and asked(started_again) == []
    assert again.engine.current.rules.book.of(0).precommits.stake_for(V) == 1
    again.precommits(V, who=[0, 1])
    assert len(again.app.final) == 1


def test_the_body_of_a_lock_is_still_there_to_decide_with_and_to_propose_again() -> None:
    bench, effects = locked()
    again, _ = restart(bench, effects, remembers(record_of(effects).asked[1]))
    proposed = again.to_round(3)
    assert asked(proposed)[-1] == Proposal(HEIGHT, 3, 0, V, WHO[ME])


def test_what_both_remember_counts_once() -> None:
    bench, effects = locked()
    prevote, _ = record_of(effects).asked
    again, started_again = restart(bench, effects, remembers(prevote))
    assert again.engine.current.signed == [signed(prevote)]
    assert started_again.count(Broadcast(signed(prevote))) == 1


def test_a_forger_that_starts_again_sends_its_proposal_again() -> None:
    bench = due(me=0)
    bench.give(PoolChanged())
    effects = bench.prove()
    [unsigned] = asked(effects)
    again, started_again = restart(bench, effects, remembers(unsigned))
    assert Broadcast(proposal_of(BLOCK), BLOCK) in started_again
    assert asked(started_again) == [Vote(HEIGHT, 0, PREVOTE, V, -1, WHO[0])]
    again.app.is_due = True
    assert of(ProveVrf, again.give(PoolChanged())) == [], "and makes no other"


def test_a_forger_whose_proposal_was_not_signed_asks_for_the_same_one() -> None:
    bench = due(me=0)
    bench.give(PoolChanged())
    effects = bench.prove()
    again, started_again = restart(bench, effects, SigningRecord(PublicKey(WHO[0])))
    assert asked(started_again) == [Proposal(HEIGHT, 0, -1, V, WHO[0])]
    assert Broadcast(proposal_of(BLOCK), BLOCK) in again.give(Signed(proposal_of(BLOCK)))


def test_its_own_proposal_is_in_the_record_of_its_vote() -> None:
    bench = due(me=0)
    bench.give(PoolChanged())
    effects = bench.give(Signed(signed(asked(bench.prove())[0])))
    record = record_of(effects)
    assert record.proposals == () and record.signed == (proposal_of(BLOCK),)
    again, _ = restart(bench, effects, remembers(record.asked[-1]))
    assert again.engine.current.rules.proposals[0].block_id == V
    assert again.place == (HEIGHT, 0, Step.PREVOTE)


def test_a_block_that_is_no_longer_good_is_not_good_after_a_restart() -> None:
    bench, effects = locked()
    again = Bench(bench.me)
    again.app.bad.add(V)
    again.engine.restore(record_of(effects), {V: BLOCK})
    assert not again.engine.current.rules.proposals[0].is_valid


def test_a_record_of_another_height_is_not_taken_up() -> None:
    bench, effects = locked()
    with pytest.raises(AssertionError):
        Bench(app=App(height=HEIGHT + 1)).engine.restore(record_of(effects), dict(bench.engine.current.blocks))


# ------------------------------------------------------------ the signer's record fell back by one (decision 0002)


def proposed() -> tuple[Bench, list[Any]]:
    bench = due(me=0)
    bench.give(PoolChanged())
    return bench, bench.prove()


def prevoted() -> tuple[Bench, list[Any]]:
    bench = started()
    return bench, bench.propose(BLOCK)


def prevoted_nil() -> tuple[Bench, list[Any]]:
    bench = started()
    return bench, bench.timeout(Step.PROPOSE)


def precommitted_nil() -> tuple[Bench, list[Any]]:
    bench = started()
    bench.sign(bench.propose(BLOCK))
    return bench, bench.prevotes(None, who=[0, 1, 2])


@pytest.mark.parametrize("signing", [proposed, prevoted, prevoted_nil, locked, precommitted_nil])
def test_a_store_ahead_of_the_record_asks_for_the_same_again_and_for_no_other(signing: Any) -> None:
    """What left is in the store. The signer has forgotten it, and would sign another one in its place."""
    bench, effects = signing()
    *before, last = record_of(effects).asked
    record = remembers(before[-1]) if before else SigningRecord(PublicKey(WHO[bench.me]))
    again, said = restart(bench, effects, record)
    assert asked(said)[0] == last
    again.app.is_due = True
    said += again.give(PoolChanged())
    said += again.prove()
    said += again.propose(OTHER)
    said += again.prevotes(None, who=[1, 2])
    said += again.timeout(Step.PROPOSE)
    said += again.prevotes(V, who=[0, 1, 2])
    said += again.timeout(Step.PREVOTE)
    said += again.give(Signed(signed(last)))
    said += again.to_round(2)
    said += again.timeout(Step.PROPOSE, 2)
    signings = [message for message in asked(said) if isinstance(message, Proposal | Vote)]
    there = [message for message in signings if position_of(message) == position_of(last)]
    assert {*there} == {last} and len(signings) > 1


# ------------------------------------------------------------ what was signed while its record was being written


def fresh(record: SigningRecord, me: int = ME) -> tuple[Bench, list[Any]]:
    """A start on a store that knows nothing of the height."""
    bench = Bench(me)
    return bench, bench.give(Started((record,)))


@pytest.mark.parametrize("value", [V, None])
def test_a_prevote_that_the_signer_alone_knows_is_sent_and_goes_on_from_there(value: Any) -> None:
    prevote = vote_of(ME, PREVOTE, value, round=2)
    bench, effects = fresh(remembers(prevote))
    assert bench.place == (HEIGHT, 2, Step.PREVOTE)
    assert Broadcast(prevote) in effects and asked(effects) == []
    again = block_of(2, 2)
    assert asked(bench.propose(again, 2)) == [], "its vote of this round is cast"
    effects = bench.prevotes(again.id, who=[0, 1, 2], round=2)
    assert [signed(message) for message in asked(effects)] == [vote_of(ME, PRECOMMIT, again.id, round=2)]
    assert record_of(effects).block_ids() <= {again.id}, "the body of the other is lost, and no record refers to it"


def test_the_proposal_that_it_prevoted_comes_again_and_is_locked_on() -> None:
    bench, _ = fresh(remembers(vote_of(ME, PREVOTE, V)))
    bench.propose(BLOCK)
    effects = bench.prevotes(V, who=[0, 1])
    record = record_of(effects)
    assert (record.locked_value, record.locked_round) == (V, 0) and record.signed == (vote_of(ME, PREVOTE, V),)
    assert asked(effects) == [record.asked[-1]]


def test_a_proposal_whose_body_is_lost_is_not_sent_and_no_other_is_made_in_its_round() -> None:
    bench, effects = fresh(remembers(proposal_of(BLOCK)), me=0)
    bench.app.is_due = True
    assert of(Broadcast, effects) == [] and of(ProveVrf, [*effects, *bench.give(PoolChanged())]) == []
    assert [signed(message) for message in asked(bench.timeout(Step.PROPOSE))] == [vote_of(0, PREVOTE, None)]


def test_a_proposal_whose_body_is_lost_comes_back_from_a_peer() -> None:
    bench, _ = fresh(remembers(proposal_of(BLOCK)), me=0)
    assert [signed(message) for message in asked(bench.propose(BLOCK))] == [vote_of(0, PREVOTE, V)]


def test_the_lock_of_the_store_holds_in_a_later_round_that_the_signer_alone_knows() -> None:
    bench, effects = locked()
    later = remembers(vote_of(ME, PREVOTE, None, round=2))
    again, started_again = restart(bench, effects, replace(later, precommit_round=0, precommit_value=V))
    rules = again.engine.current.rules
    assert again.place == (HEIGHT, 2, Step.PREVOTE)
    assert (rules.locked_value, rules.locked_round) == (V, 0) and asked(started_again) == []
    assert asked(again.to_round(3))[-1] == Proposal(HEIGHT, 3, 0, V, WHO[ME])


@pytest.mark.parametrize(("round", "value"), [(0, OTHER.id), (1, V)])
def test_a_store_that_does_not_know_the_signers_lock_is_silent(round: int, value: Any) -> None:
    bench, effects = locked()
    later = remembers(vote_of(ME, PREVOTE, None, round=2))
    again, started_again = restart(bench, effects, replace(later, precommit_round=round, precommit_value=value))
    assert asked(started_again) == [] and asked(again.to_round(4)) == []


def test_another_signature_in_a_place_of_the_record_silences() -> None:
    stored = started()
    written = stored.propose(BLOCK)
    again, started_again = restart(stored, written, remembers(vote_of(ME, PREVOTE, OTHER.id)))
    assert asked([*started_again, *again.prevotes(V, who=[0, 1, 2]), *again.to_round(1)]) == []


# ------------------------------------------------------------------------------------------------ silence


@pytest.mark.parametrize("ahead", [0, 3])
def test_a_store_behind_the_signers_record_does_not_vote_up_to_that_height(ahead: int) -> None:
    app = App()
    bench = Bench(ME, app)
    bench.start(remembers(vote_of(ME, PRECOMMIT, OTHER.id, height=HEIGHT + ahead)))
    assert asked(bench.propose(BLOCK)) == []
    app.height = HEIGHT + ahead
    assert asked(bench.give(HeadMoved())) == []
    app.height = HEIGHT + ahead + 1
    bench.give(HeadMoved())
    assert asked(bench.timeout(Step.PROPOSE)) != []


def test_a_store_behind_the_signers_record_sends_what_it_has_again_and_asks_for_nothing() -> None:
    bench, effects = locked()
    prevote, _ = record_of(effects).asked
    again, started_again = restart(bench, effects, remembers(vote_of(ME, PRECOMMIT, None)))
    assert Broadcast(signed(prevote)) in started_again and asked(started_again) == []
    assert asked(again.to_round(1)) == []


def test_a_restored_copy_of_the_store_asks_for_no_signature_that_it_remembers() -> None:
    bench, effects = locked()
    later = vote_of(ME, PREVOTE, None, round=2)
    _, started_again = restart(bench, effects, remembers(later))
    assert asked(started_again) == []


def test_a_signers_record_of_the_past_silences_nobody() -> None:
    bench = Bench()
    bench.start(remembers(vote_of(ME, PRECOMMIT, BLOCK_A, height=HEIGHT - 1)))
    assert len(asked(bench.propose(BLOCK))) == 1


def test_a_node_without_a_key_starts_without_a_record() -> None:
    bench = Bench(me=None)
    assert events(HeightBegun, bench.give(Started())) != []


def test_a_mute_start_says_nothing_and_asks_for_nothing_until_it_speaks() -> None:
    bench, effects = locked()
    prevote, precommit = record_of(effects).asked
    again = Bench(bench.me)
    stored = record_of(effects)
    again.engine.restore(stored, {block_id: bench.engine.current.blocks[block_id] for block_id in stored.block_ids()})
    again.engine.voice.mute()
    quiet = again.give(Started((remembers(prevote),)))
    assert of(Broadcast, quiet) == [] and asked(quiet) == []
    again.engine.voice.unmute()
    loud = again.give(PoolChanged())
    assert [effect.message for effect in of(Broadcast, loud)] == [signed(prevote)]
    assert asked(loud) == [precommit]


def test_the_record_of_a_long_height_keeps_the_newest_rounds_and_those_behind_the_lock() -> None:
    current = started().engine.current
    current.signed = [vote_of(ME, PREVOTE, None, round=number) for number in range(RECORDED_ROUNDS_MAX + 10)]
    current.rules.round, current.rules.locked_round = RECORDED_ROUNDS_MAX + 9, 2
    kept = [message.round for message in current.record().signed]
    assert kept == [2, *range(10, RECORDED_ROUNDS_MAX + 10)]


def test_bodies_of_rounds_long_past_go_but_those_behind_a_lock_or_near_a_decision() -> None:
    """A stalled height goes on for long, and each round may bring a body of megabytes."""
    bench, _ = locked()  # on V, in round 0
    blocks = {number: block_of(number, number % len(SET)) for number in (1, 2, 3)}
    for number, block in blocks.items():
        bench.to_round(number)
        bench.propose(block, number)
    bench.precommits(blocks[2].id, who=[0, 1], round=2)  # more than a third
    bench.precommits(None, who=[0, 1], round=3)
    bench.to_round(PROPOSED_ROUNDS_MAX + 10)
    current = bench.engine.current
    assert sorted(current.proposals) == sorted(current.rules.proposals) == [0, 2]
    assert current.blocks.keys() == {V, blocks[2].id}
    assert bench.propose(blocks[1], 1) == [], "and does not come back"
    late = block_of(70, 70 % len(SET))
    assert Broadcast(proposal_of(late, 70), late) in bench.propose(late, 70)
    bench.precommits(blocks[2].id, who=[2], round=2)
    assert [final[0].id for final in bench.app.final] == [blocks[2].id]
