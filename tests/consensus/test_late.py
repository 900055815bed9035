"""What is kept of a height that took more than one round, and what late votes and certificates prove with it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.consensus import late
from blockchain.consensus.late import LateVotes, contradicted, kept_prevotes
from blockchain.consensus.votes import VoteBook
from blockchain.errors import ForkFound
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Certificate, CommitSignature, ConflictingVotes, Evidence, ForgottenLock, Vote
from blockchain.seams import Effect, Halt, HeadMoved, OffenceSeen, ProposalReceived
from tests.consensus.bench import HEIGHT, PEER, SET, SIGNATURE, App, Bench, block_of, of, proposal_of, vote_of
from tests.samples import BLOCK_A, BLOCK_B, PRECOMMIT, PREVOTE

BLOCK = block_of()
V = BLOCK.id


def certificate(block_id: Hash32, round: int = 0, who: tuple[int, ...] = (0, 1, 2)) -> Certificate:
    return Certificate(HEIGHT, round, block_id, tuple(CommitSignature(at, SIGNATURE) for at in who))


def seen(effects: list[Effect]) -> list[Evidence]:
    return [effect.evidence for effect in effects if isinstance(effect, OffenceSeen)]


def started() -> Bench:
    bench = Bench(me=None)
    bench.start()
    return bench


# ------------------------------------------------------------------------------------------------ what is kept


def test_of_a_height_of_one_round_nothing_is_kept() -> None:
    bench = started()
    bench.propose(BLOCK)
    bench.prevotes(V)
    bench.precommits(V)
    assert bench.app.final and bench.app.kept == {}


def test_of_a_height_that_took_more_rounds_all_prevotes_are_kept() -> None:
    bench = started()
    bench.prevotes(None, who=(0,))
    bench.to_round(1)
    block = block_of(1, 1)
    bench.propose(block, 1)
    bench.prevotes(block.id, round=1)
    bench.precommits(block.id, round=1)
    kept = bench.app.kept[HEIGHT]
    assert [(vote.round, vote.block_id) for vote in kept] == [(1, block.id)] * 3 + [(0, None)]


def test_a_round_that_only_others_came_to_counts_too() -> None:
    bench = started()
    bench.propose(BLOCK)
    ahead = vote_of(3, PREVOTE, None, round=1)
    bench.vote(ahead)
    bench.precommits(V)
    assert bench.app.kept[HEIGHT] == (ahead,)


def test_prevotes_are_kept_when_others_decided_the_height() -> None:
    bench = started()
    bench.prevotes(None, who=(0,))
    bench.to_round(1)
    assert bench.engine.keep_prevotes() == [] and len(bench.app.kept[HEIGHT]) == 1
    bench.app.height = HEIGHT + 1
    bench.give(HeadMoved())
    assert bench.engine.keep_prevotes() == [] and list(bench.app.kept) == [HEIGHT]


def test_of_too_many_the_newest_rounds_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late, "KEPT_PREVOTES_MAX", 3)
    book = VoteBook(SET)
    for round in range(3):
        for who in range(2):
            book.add(vote_of(who, PREVOTE, None, round=round), 3)
    assert [vote.round for vote in kept_prevotes(book, 3)] == [2, 2, 1]


# ------------------------------------------------------------------------------------------------ what shows later


def decided() -> Bench:
    """At the next height, after a decision in round 0; validator 3 has said nothing but a prevote for another block."""
    bench = started()
    bench.propose(BLOCK)
    bench.prevotes(V)
    bench.vote(vote_of(3, PREVOTE, BLOCK_A, round=1))
    bench.precommits(V)
    assert bench.engine.current.height == HEIGHT + 1
    return bench


def test_a_late_vote_that_contradicts_another_is_evidence() -> None:
    bench = decided()
    late_one = vote_of(0, PREVOTE, BLOCK_B)
    assert seen(bench.vote(late_one)) == [ConflictingVotes(vote_of(0, PREVOTE, V), late_one)]


def test_a_late_precommit_shows_a_lock_that_was_forgotten() -> None:
    bench = decided()
    lock = vote_of(3, PRECOMMIT, V)
    effects = bench.vote(lock)
    assert seen(effects) == [ForgottenLock(lock, vote_of(3, PREVOTE, BLOCK_A, round=1))]
    assert len(bench.engine.commit.precommits) == 4, "it is in the certificate all the same"


def test_votes_of_earlier_heights_are_nothing() -> None:
    assert decided().vote(vote_of(0, PREVOTE, BLOCK_B, height=HEIGHT - 1)) == []


def test_after_a_restart_or_a_jump_the_certificate_and_what_was_kept_are_known() -> None:
    bench = Bench(me=None)
    bench.app.kept[HEIGHT - 1] = (vote_of(3, PREVOTE, BLOCK_B, round=1, height=HEIGHT - 1),)
    again = Bench(me=None, app=bench.app)
    lock = vote_of(3, PRECOMMIT, BLOCK_A, height=HEIGHT - 1)
    double = vote_of(0, PRECOMMIT, BLOCK_B, height=HEIGHT - 1)
    again.start()
    own = vote_of(0, PRECOMMIT, BLOCK_A, height=HEIGHT - 1)
    assert seen(again.vote(double)) == [ConflictingVotes(own, double)]
    assert seen(again.vote(lock)) == [], "that one stands in the certificate: it was held against it before"
    again.app.height = HEIGHT + 5
    again.app.parent_certificate = Certificate(HEIGHT + 4, 0, BLOCK_A, certificate(BLOCK_A).precommits)
    again.give(HeadMoved())
    late_one = vote_of(3, PRECOMMIT, BLOCK_B, height=HEIGHT + 4)
    assert seen(again.vote(late_one)) == []
    double = vote_of(1, PRECOMMIT, BLOCK_B, height=HEIGHT + 4)
    assert len(seen(again.vote(double))) == 1


def test_a_certificate_is_held_against_the_prevotes_of_its_height() -> None:
    forgot = vote_of(1, PREVOTE, BLOCK_B, round=2)
    kept = [forgot, vote_of(0, PREVOTE, BLOCK_B, round=2, polka=0), vote_of(3, PREVOTE, BLOCK_B, round=2)]
    [found] = contradicted(certificate(BLOCK_A), kept, SET)
    assert found == ForgottenLock(vote_of(1, PRECOMMIT, BLOCK_A), forgot)


def test_the_next_blocks_certificate_is_held_against_the_precommits_that_came_here() -> None:
    """Who precommits nil to some and the block to the others is in it, and some have its nil."""
    bench = started()
    bench.propose(BLOCK)
    bench.precommits(None, who=(3,))
    bench.precommits(V)
    block = block_of(height=HEIGHT + 1)
    block = replace(block, block=replace(block.block, parent_certificate=certificate(V, who=(0, 1, 2, 3))))
    bench.give(ProposalReceived(proposal_of(block, height=HEIGHT + 1), block, PEER))
    last = [bench.vote(vote_of(who, PRECOMMIT, block.id, height=HEIGHT + 1)) for who in range(3)][-1]
    assert seen(last) == [ConflictingVotes(vote_of(3, PRECOMMIT, None), vote_of(3, PRECOMMIT, V))]


def test_at_a_fork_the_prevotes_of_the_head_are_kept_whatever_its_rounds() -> None:
    bench = decided()
    bench.app.kept.clear()
    bench.app.fork = ForkFound(HEIGHT, b"two certificates")
    block = block_of(height=HEIGHT + 1)
    effects = bench.give(ProposalReceived(proposal_of(block, height=HEIGHT + 1), block, PEER))
    assert of(Halt, effects)
    assert len(bench.app.kept[HEIGHT]) == 4


def test_a_fork_of_which_nothing_is_known_keeps_nothing() -> None:
    bench = Bench(me=None)
    assert of(Halt, bench.engine.on_fork(ForkFound(HEIGHT - 1, b"two certificates")))
    assert bench.app.kept == {}


def test_late_votes_of_a_height_without_any() -> None:
    app = App(height=1)
    app.parent_certificate = Certificate(0, 0, BLOCK_A, ())
    empty = LateVotes.of_head(app)
    assert empty.add(vote_of(0, PREVOTE, BLOCK_A, height=0)) == []


# ------------------------------------------------------------------------------------------------ what is held


def test_a_vote_that_was_counted_is_held_at_its_height_and_at_the_next() -> None:
    """What comes again from each of many peers must cost no signature again."""
    bench = started()
    bench.propose(BLOCK)
    early, other = vote_of(0, PREVOTE, V), vote_of(0, PREVOTE, BLOCK_A)
    assert not bench.engine.holds(early)
    bench.prevotes(V)
    assert bench.engine.holds(early) and not bench.engine.holds(other)
    bench.precommits(V)
    assert bench.app.final and bench.engine.current.height == HEIGHT + 1
    late = vote_of(3, PRECOMMIT, V)
    assert bench.engine.holds(early) and bench.engine.holds(vote_of(0, PRECOMMIT, V)) and not bench.engine.holds(late)
    bench.vote(late)
    assert bench.engine.holds(late) and bench.engine.commit.precommits[-1].index == 3


def synced(known: Vote, round: int = 0) -> Bench:
    """At the next height: the block came with a peer's certificate; here a vote of validator 3 had come before."""
    bench = started()
    bench.propose(BLOCK)
    bench.vote(known)
    bench.app.finalize(BLOCK, certificate(V, round), 0, 0)
    bench.give(HeadMoved())
    return bench


def test_a_known_precommit_that_the_heads_certificate_lacks_enters_it_at_once() -> None:
    """Its voter would count as absent, though this node knows better (protocol §4.4)."""
    known = vote_of(3, PRECOMMIT, V)
    bench = synced(known)
    assert bench.engine.commit == certificate(V, who=(0, 1, 2, 3))
    assert bench.engine.holds(known)


@pytest.mark.parametrize(
    "known",
    [vote_of(3, PRECOMMIT, None), vote_of(3, PRECOMMIT, BLOCK_B), vote_of(3, PREVOTE, V)],
    ids=["nil", "another block", "a prevote"],
)
def test_no_other_known_vote_enters_it(known: Vote) -> None:
    assert synced(known).engine.commit == certificate(V)


def test_a_known_precommit_of_another_round_does_not_enter_it() -> None:
    assert synced(vote_of(3, PRECOMMIT, V), round=1).engine.commit == certificate(V, round=1)


def test_a_vote_of_another_height_is_held_by_nobody() -> None:
    bench = started()
    assert not bench.engine.holds(vote_of(0, PREVOTE, V, height=HEIGHT + 1))
