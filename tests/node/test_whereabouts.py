"""What peers are told of a node's place: the height and the round at once, the step alone a moment later."""

from __future__ import annotations

from blockchain.node.messages import Status
from blockchain.node.whereabouts import STEP_MS, Whereabouts
from blockchain.primitives.vote import Step
from blockchain.seams import Effect, SetTimer, TimerKey, TimerKind
from tests.node.gossip_bench import ONE, Bench, sent

WAIT = [SetTimer(TimerKey(TimerKind.STEP), STEP_MS)]


def places(effects: list[Effect]) -> list[tuple[int, int, Step]]:
    return [(status.height, status.round, status.step) for _, status in sent(effects, Status)]


def test_a_round_is_told_at_once() -> None:
    bench = Bench(ONE)
    where = Whereabouts(bench.gossip, bench.peers, bench.engine)
    assert places(where.follow()) == [(1, 0, Step.PROPOSE)]
    assert where.follow() == []
    bench.to_round(1)
    assert places(where.follow()) == [(1, 1, Step.PROPOSE)]


def test_a_step_is_told_once_it_has_lasted() -> None:
    bench = Bench(ONE)
    where = Whereabouts(bench.gossip, bench.peers, bench.engine)
    where.follow()
    rules = bench.engine.current.rules
    rules.step = Step.PREVOTE
    assert where.follow() == WAIT
    rules.step = Step.PRECOMMIT
    assert where.follow() == [], "one timer for both"
    assert where.on_timer() == WAIT, "this one has not lasted yet"
    assert places(where.on_timer()) == [(1, 0, Step.PRECOMMIT)]
    assert where.on_timer() == []


def test_a_step_that_was_passed_is_not_told_any_more() -> None:
    bench = Bench(ONE)
    where = Whereabouts(bench.gossip, bench.peers, bench.engine)
    where.follow()
    bench.engine.current.rules.step = Step.PREVOTE
    assert where.follow() == WAIT
    bench.to_round(1)
    where.follow()
    assert where.on_timer() == []
    bench.engine.current.rules.step = Step.PREVOTE
    assert where.follow() == WAIT, "the next one waits anew"
