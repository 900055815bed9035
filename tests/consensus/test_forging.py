"""The forger's turn: when it proposes and what, and what it waits for first."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.vote import Certificate, Proposal, Step, Vote
from blockchain.seams import (
    Broadcast,
    PoolChanged,
    Proposed,
    ProveVrf,
    SetTimer,
    Signed,
    TimerFired,
    TimerKey,
    TimerKind,
    VrfProved,
)
from tests.consensus.bench import (
    HEIGHT,
    NOW,
    PROOF,
    SEED,
    WHO,
    App,
    Bench,
    asked,
    block_of,
    due,
    events,
    of,
    proposal_of,
    started,
    timers,
    vote_of,
)
from tests.samples import BLOCK_A, BLOCK_B, GENESIS_HASH, PRECOMMIT, PREVOTE, keys_in_order

BLOCK = block_of()
V = BLOCK.id


# ------------------------------------------------------------------------------------------------ proposing


def test_a_forger_has_its_proof_made_at_once_and_proposes_when_the_trigger_comes_to_hold() -> None:
    bench = Bench(0)
    effects = bench.start()
    assert of(ProveVrf, effects) == [ProveVrf(HEIGHT, 0, SEED, PublicKey(WHO[0]))] and asked(effects) == []
    assert timers(bench.prove()) == [] and bench.app.built == []
    bench.app.is_due = True
    effects = bench.give(PoolChanged())
    assert timers(effects) == [(TimerKind.PROPOSE, 0, 3_000)]
    assert bench.app.built == [(0, PROOF, bench.app.parent_certificate, NOW)]
    assert asked(effects) == [Proposal(HEIGHT, 0, -1, V, WHO[0])]
    assert bench.give(PoolChanged()) == [], "once"


def test_a_forger_whose_proof_takes_longer_proposes_when_it_comes() -> None:
    bench = started(me=0)
    bench.app.is_due = True
    effects = bench.give(PoolChanged())
    assert asked(effects) == [] and timers(effects) == [(TimerKind.PROPOSE, 0, 3_000)]
    assert asked(bench.prove()) == [Proposal(HEIGHT, 0, -1, V, WHO[0])]


def test_a_proposal_leaves_when_it_is_signed_and_the_forgers_own_vote_follows() -> None:
    bench = due(me=0)
    bench.give(PoolChanged())
    wanted = bench.prove()
    assert of(Broadcast, wanted) == []
    effects = bench.give(Signed(proposal_of(BLOCK)))
    assert events(Proposed, effects) == [Proposed(HEIGHT, 0, -1, V)]
    assert of(Broadcast, effects) == [Broadcast(proposal_of(BLOCK), BLOCK)]
    assert asked(effects) == [Vote(HEIGHT, 0, PREVOTE, V, -1, WHO[0])]


def test_the_proof_of_a_height_is_asked_for_once() -> None:
    bench = due(me=0)
    bench.give(PoolChanged())
    later = bench.to_round(4)
    assert of(ProveVrf, later) == [] and bench.place == (HEIGHT, 4, Step.PROPOSE)
    assert asked(bench.prove()) == [Proposal(HEIGHT, 4, -1, block_of(4, 0).id, WHO[0])]


def test_a_proof_of_another_height_is_dropped() -> None:
    bench = due(me=0)
    bench.give(PoolChanged())
    bench.give(VrfProved(HEIGHT - 1, 0, PROOF))
    assert bench.app.built == []


def test_who_is_not_drawn_proposes_nothing() -> None:
    bench = due(me=1)
    assert of(ProveVrf, bench.give(PoolChanged())) == []
    bench.prove()
    assert bench.app.built == []


def test_a_forger_whose_time_is_over_proposes_nothing() -> None:
    bench = due(me=0)
    bench.give(PoolChanged())
    bench.timeout(Step.PROPOSE)
    bench.prove()
    assert bench.app.built == []


def test_a_forger_proposes_its_valid_value_again_without_a_trigger_or_a_proof() -> None:
    bench = started(me=1)
    bench.sign([*bench.propose(BLOCK), *bench.prevotes(V, who=[0, 2, 3])])
    effects = bench.to_round(1)
    assert asked(effects) == [Proposal(HEIGHT, 1, 0, V, WHO[1])]
    assert bench.app.built == [] and of(ProveVrf, effects) == []
    effects = bench.give(Signed(proposal_of(BLOCK, 1, 0)))
    assert of(Broadcast, effects) == [Broadcast(proposal_of(BLOCK, 1, 0), BLOCK)]


# ------------------------------------------------------------------------------------------------ commit wait


def waiting(precommits: int = 3, **parameters: Any) -> Bench:
    """A forger whose parent's certificate lacks the precommit of validator 3, or of more."""
    app = App()
    app.parent_certificate = replace(app.parent_certificate, precommits=app.parent_certificate.precommits[:precommits])
    bench = Bench(0, app, **parameters)
    bench.start()
    bench.prove()
    app.is_due = True
    return bench


def test_a_forger_waits_for_missing_precommits() -> None:
    bench = waiting()
    effects = bench.give(PoolChanged())
    assert (TimerKind.COMMIT_WAIT, 0, 400) in timers(effects) and bench.app.built == []
    assert of(SetTimer, bench.give(PoolChanged())) == []
    bench.give(TimerFired(TimerKey(TimerKind.COMMIT_WAIT, HEIGHT)))
    assert len(bench.app.built[0][2].precommits) == 3


def test_the_last_missing_precommit_ends_the_wait() -> None:
    bench = waiting()
    bench.give(PoolChanged())
    late = vote_of(3, PRECOMMIT, BLOCK_A, height=HEIGHT - 1)
    effects = bench.vote(late)
    assert of(Broadcast, effects) == [Broadcast(late)]
    assert bench.app.built[0][2] == bench.engine.commit
    assert [entry.index for entry in bench.engine.commit.precommits] == [0, 1, 2, 3]


def test_without_a_wait_or_with_all_precommits_nothing_is_waited_for() -> None:
    for bench in (waiting(commit_wait_ms=0), waiting(precommits=4)):
        effects = bench.give(PoolChanged())
        assert len(bench.app.built) == 1
        assert TimerKind.COMMIT_WAIT not in [kind for kind, _, _ in timers(effects)]


def test_nobody_waits_for_those_who_are_away() -> None:
    bench = waiting(precommits=2)
    bench.away.update(WHO[2:])
    effects = bench.give(PoolChanged())
    assert len(bench.app.built) == 1
    assert TimerKind.COMMIT_WAIT not in [kind for kind, _, _ in timers(effects)]


def test_one_who_is_slow_is_waited_for_whoever_is_away() -> None:
    bench = waiting(precommits=2)
    bench.away.add(WHO[3])
    effects = bench.give(PoolChanged())
    assert (TimerKind.COMMIT_WAIT, 0, 400) in timers(effects) and bench.app.built == []
    bench.vote(vote_of(2, PRECOMMIT, BLOCK_A, height=HEIGHT - 1))
    assert len(bench.app.built) == 1, "the slow one was the last that was worth a wait"
    assert [entry.index for entry in bench.app.built[0][2].precommits] == [0, 1, 2]


def test_one_who_comes_back_is_waited_for_at_once() -> None:
    bench = waiting()
    bench.away.add(WHO[3])
    bench.sign(bench.give(PoolChanged()))
    built = block_of().id
    bench.prevotes(built, who=[1, 2])
    bench.precommits(built, who=[0, 1, 2])
    assert bench.place == (HEIGHT + 1, 0, Step.PROPOSE)
    bench.away.clear()
    bench.app.is_due = True
    effects = bench.give(PoolChanged())
    assert (TimerKind.COMMIT_WAIT, 0, 400) in timers(effects) and asked(effects) == []


def test_genesis_needs_no_precommits() -> None:
    app = App(height=1)
    app.parent_certificate = Certificate(0, 0, GENESIS_HASH, ())
    bench = Bench(0, app)
    bench.start()
    bench.prove()
    app.is_due = True
    bench.give(PoolChanged())
    assert len(app.built) == 1


def test_nobody_can_sign_a_certificate_of_genesis() -> None:
    """One validator that did would make every forger of block 1 carry the wrong certificate."""
    app = App(height=1)
    app.parent_certificate = Certificate(0, 0, GENESIS_HASH, ())
    bench = Bench(0, app)
    bench.start()
    assert bench.vote(vote_of(1, PRECOMMIT, GENESIS_HASH, height=0)) == []
    assert bench.engine.commit == app.parent_certificate


@pytest.mark.parametrize(
    "late",
    [
        vote_of(3, PRECOMMIT, BLOCK_B, height=HEIGHT - 1),
        vote_of(3, PRECOMMIT, None, height=HEIGHT - 1),
        vote_of(3, PREVOTE, BLOCK_A, height=HEIGHT - 1),
        vote_of(3, PRECOMMIT, BLOCK_A, height=HEIGHT - 1, round=1),
        vote_of(2, PRECOMMIT, BLOCK_A, height=HEIGHT - 1),
        vote_of(3, PRECOMMIT, BLOCK_A, height=HEIGHT - 2),
        vote_of(3, PRECOMMIT, BLOCK_A, height=HEIGHT + 1),
        replace(vote_of(3, PRECOMMIT, BLOCK_A, height=HEIGHT - 1), validator=keys_in_order(5)[0].public_key),
    ],
    ids=["another block", "nil", "a prevote", "another round", "there", "an older height", "a later one", "a stranger"],
)
def test_other_votes_do_not_enter_the_heads_certificate(late: Vote) -> None:
    bench = waiting()
    before = bench.engine.commit
    assert Broadcast(late) not in bench.vote(late)
    assert bench.engine.commit == before
