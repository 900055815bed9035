"""Why: the timeline and the verdict of heights at which something definite goes wrong, as the nodes saw them."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.node import timeline as timeline_module
from blockchain.node.seen import RoundView, SeenView, WhyView
from blockchain.node.verdict import verdict_of
from blockchain.node.why import LISTED_MAX, view_of, why_of
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address
from blockchain.primitives.vote import Step
from blockchain.seams import SetTimer, TimerKey, TimerKind
from blockchain.simulator.network import Links
from tests.simulator.plays import ALL
from tests.simulator.stage import Stage


def why(stage: Stage, number: int, height: int) -> tuple[WhyView, str]:
    node = stage.world.nodes[number]
    assert node.core is not None
    facts = why_of(node.core, node.store, height)
    assert facts is not None
    view = view_of(facts)
    return view, verdict_of(view, facts.waiting_for)


def seen(stage: Stage, number: int, height: int) -> SeenView:
    view, _ = why(stage, number, height)
    assert view.seen is not None
    return view.seen


def name(stage: Stage, number: int) -> str:
    return format_address(Address(stage.keys[number].public_key))


def others(*but: int) -> list[int]:
    return [number for number in ALL if number not in but]


def grown(heights: int = 1) -> Stage:
    stage = Stage()
    stage.start(*ALL)
    for height in range(1, heights + 1):
        stage.run(2_000)
        stage.pay(stage.forger(0))
        assert stage.run(5_000, lambda height=height: min(stage.heads()) == height)  # type: ignore[misc]
    stage.run(500)
    return stage


def test_a_height_that_went_well() -> None:
    stage = grown(2)
    forger = next(number for number in ALL if name(stage, number) in why(stage, 0, 2)[1])
    view, verdict = why(stage, forger, 2)
    assert view.seen is not None and view.final is not None
    (only,) = view.seen.rounds
    drawn = format_address(view.final.forger)
    assert verdict == f"For 2.0 s nothing was due. Round 0's block by {drawn} became final after 30 ms."
    assert (view.seen.is_whole, view.seen.is_synced, view.seen.rounds_dropped) == (True, False, 0)
    assert only.forger == view.final.forger and only.began_ms == 0 and only.late_ms == 0
    assert view.seen.triggered_ms is not None and only.due_ms == view.seen.triggered_ms + 300
    order = [view.seen.triggered_ms, only.proposed_ms, only.polka_ms, only.locked_ms, view.seen.final_ms]
    assert None not in order and order == sorted(order)  # type: ignore[type-var]
    assert only.prevotes.vote_count == only.precommits.vote_count == 4 and only.prevotes.missing == ()
    assert only.precommits.stake == view.seen.total_stake == 40 and view.seen.quorum_stake == 27
    assert [vote.at_ms for vote in only.prevotes.votes] == sorted(vote.at_ms for vote in only.prevotes.votes)
    assert view.final.passed == () and view.final.signer_count >= 3


def test_a_silent_forger_is_named_and_who_never_voted() -> None:
    stage = grown()
    silent = stage.forger(0)
    stage.crash(silent)
    stage.run(100)
    stage.pay(others(silent)[0])
    assert stage.run(5_000, lambda: sorted(stage.heads())[1] == 2)
    view, verdict = why(stage, others(silent)[1], 2)
    assert view.seen is not None and view.final is not None
    first, second = view.seen.rounds
    assert (first.proposed_ms, first.late_ms) == (None, None)
    assert dict(first.timed_out)[Step.PROPOSE] == first.due_ms
    assert all(vote.is_nil for vote in first.prevotes.votes) and len(first.prevotes.votes) == 3
    assert (view.final.round, len(view.final.passed)) == (1, 1) and second.polka_ms is not None
    assert f"Round 0's forger {name(stage, silent)} was silent. Round 1's block by " in verdict
    assert verdict.endswith(f"{name(stage, silent)} never voted.")
    assert [format_address(one) for one in view.seen.never_voted] == [name(stage, silent)]


def test_a_height_in_progress_says_what_it_waits_for() -> None:
    stage = grown()
    watcher = stage.forger(0)
    two = others(watcher)[:2]
    stage.crash(*two)
    stage.pay(others(*two)[0])
    stage.run(3_000)
    view, verdict = why(stage, watcher, 2)
    assert view.final is None and view.seen is not None and view.seen.final_ms is None
    assert "It is not final yet: " in verdict and " of the 27 needed" in verdict
    assert "the signature" not in verdict and view.seen.refusals == ()
    node = stage.world.nodes[watcher]
    assert node.core is not None and why_of(node.core, node.store, 3) is None


def test_a_block_that_was_taken_over_and_one_that_was_never_seen() -> None:
    stage = grown()
    away = others(stage.forger(0))[0]
    stage.crash(away)
    for height in (2, 3, 4):
        stage.run(500)
        stage.pay(others(away)[0])
        assert stage.run(9_000, lambda height=height: sorted(stage.heads())[1] == height)  # type: ignore[misc]
    stage.start(away)
    assert stage.run(5_000, lambda: min(stage.heads()) == 4)
    view, verdict = why(stage, away, 2)
    assert view.seen is not None and view.seen.is_synced and not view.seen.is_whole
    assert verdict.startswith("This node was started in the middle of it. The others decided it without this node")
    view, verdict = why(stage, away, 3)
    assert view.seen is None and view.final is not None
    assert verdict.startswith(f"This node did not see it live. Its block was built in round {view.final.round} by pos1")
    assert verdict.endswith(f"by 3 precommits; missing: {name(stage, away)}.")


def test_precommits_that_come_after_the_certificate_are_late_by_so_much() -> None:
    stage = grown()
    slow = others(stage.forger(0))[0]
    sending = stage.world.network
    usual = sending.deliveries

    def deliveries(sender: int, receiver: int, size: int, time_ms: int) -> list[int]:
        return [delay + 150 * (sender == slow) for delay in usual(sender, receiver, size, time_ms)]

    sending.deliveries = deliveries  # type: ignore[method-assign]
    stage.pay(stage.forger(0))
    assert stage.run(5_000, lambda: min(stage.heads()) == 2)
    stage.run(1_000)
    watcher = others(slow)[0]
    view, verdict = why(stage, watcher, 2)
    assert view.seen is not None
    late = [vote for vote in view.seen.rounds[-1].precommits.votes if vote.at_ms > (view.seen.final_ms or 0)]
    assert name(stage, slow) in {format_address(vote.validator) for vote in late}
    assert f"; the precommits of {name(stage, slow)} came up to 150 ms later" in verdict or len(late) > 1


def test_a_proposal_after_the_time_out_is_late_by_so_much() -> None:
    stage = Stage(links=Links(delay_ms=(10, 10)))
    stage.start(*ALL)
    stage.run(2_000)
    slow = stage.forger(0)
    usual = stage.world.network.deliveries

    def deliveries(sender: int, receiver: int, size: int, time_ms: int) -> list[int]:
        return [delay + 400 * (sender == slow) for delay in usual(sender, receiver, size, time_ms)]

    stage.world.network.deliveries = deliveries  # type: ignore[method-assign]
    for number in ALL:
        stage.pay(number) if number == 0 else stage.pay_again(number)
    assert stage.run(9_000, lambda: min(stage.heads()) == 1)
    first = seen(stage, others(slow)[0], 1).rounds[0]
    assert first.late_ms is not None and first.late_ms > 0
    _, verdict = why(stage, others(slow)[0], 1)
    assert f"forger {name(stage, slow)} was late: its proposal came {first.late_ms} ms after the time-out" in verdict


def test_no_more_is_kept_than_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline_module, "HEIGHTS_MAX", 3)
    stage = grown(5)
    core = stage.world.nodes[0].core
    assert core is not None and list(core.timeline.heights) == [4, 5, 6]
    monkeypatch.setattr(timeline_module, "SLOTS_MAX", 4 * 3 + 4)
    stage.pay(stage.forger(0))
    assert stage.run(5_000, lambda: min(stage.heads()) == 6)
    assert list(core.timeline.heights) == [6, 7]


def test_the_newest_rounds_of_a_stalled_height_are_kept() -> None:
    stage = grown()
    gone = others(stage.forger(0))[:2]
    stage.crash(*gone)
    core = stage.world.nodes[others(*gone)[0]].core
    assert core is not None
    for round in range(40):
        core.timeline.heights[2].round(round)
    found = core.timeline.heights[2]
    assert list(found.rounds) == list(range(24, 40)) and found.rounds_dropped == 24
    assert found.round(3) is None and found.rounds_dropped == 24
    view, verdict = why(stage, others(*gone)[0], 2)
    assert view.seen is not None and view.seen.rounds_dropped == 24 and "24 earlier rounds decided nothing." in verdict


def test_a_node_that_sees_nothing_of_a_height_keeps_quiet_about_it() -> None:
    stage = grown()
    core = stage.world.nodes[0].core
    assert core is not None
    core.timeline.note(SetTimer(TimerKey(TimerKind.PROPOSE, 9), 1), 5)  # of a height that is not there
    assert list(core.timeline.heights) == [1, 2]


def lost_round(**changes: object) -> str:
    """What is said of a round 0 like this, of a height that round 1 decided."""
    stage = grown()
    view, _ = why(stage, 0, 1)
    assert view.seen is not None and view.final is not None
    good = view.seen.rounds[0]
    lost: RoundView = replace(good, **changes)
    later = replace(good, round=1)
    told = replace(
        view,
        seen=replace(view.seen, rounds=(lost, later), triggered_ms=0),
        final=replace(view.final, round=0, decided_round=1),
    )
    return verdict_of(told, "")


def test_each_way_to_lose_a_round_has_its_sentence() -> None:
    few = seen(grown(), 0, 1).rounds[0].prevotes
    members = [vote.validator for vote in few.votes]
    few = replace(few, missing=tuple(members), missing_count=7)
    assert "proposed what this node did not prevote for: state_root: wrong." in lost_round(rejected="state_root: wrong")
    told = lost_round(polka_ms=None, prevotes=few)
    assert "proposed in time, but prevotes of more than two thirds did not come (none of pos1" in told
    assert "and 3 more)." in told
    assert "had a polka, but not the precommits that decide." in lost_round()
    assert "proposed again in round 1, became final after" in lost_round()
    assert len(members) <= LISTED_MAX
