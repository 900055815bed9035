"""What a node saw, as JSON objects: the timeline of a height, and the verdict on it. Pure, for any thread."""

from __future__ import annotations

from collections.abc import Sequence

from blockchain.node.seen import FinalView, RoundView, SeenView, StepView, WhyFacts
from blockchain.node.verdict import verdict_of
from blockchain.node.why import view_of
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address
from blockchain.primitives.jsonform import JsonObject


def why(facts: WhyFacts) -> JsonObject:
    view = view_of(facts)
    return {
        "height": view.height,
        "verdict": verdict_of(view, facts.waiting_for),
        "seen": None if view.seen is None else _seen(view.seen),
        "final": None if view.final is None else _final(view.final),
    }


def _seen(seen: SeenView) -> JsonObject:
    return {
        "began_ms": seen.began_ms,
        "is_whole": seen.is_whole,
        "is_synced": seen.is_synced,
        "triggered_ms": seen.triggered_ms,
        "final_ms": seen.final_ms,
        "total_stake": seen.total_stake,
        "quorum_stake": seen.quorum_stake,
        "rounds": [_round(one) for one in seen.rounds],
        "rounds_dropped": seen.rounds_dropped,
        "never_voted": _addresses(seen.never_voted),
        "never_voted_count": seen.never_voted_count,
        "refusals": [{"round": round, "step": step.name.lower(), "why": why} for round, step, why in seen.refusals],
    }


def _round(one: RoundView) -> JsonObject:
    return {
        "round": one.round,
        "forger": None if one.forger is None else format_address(one.forger),
        "began_ms": one.began_ms,
        "due_ms": one.due_ms,
        "proposed_ms": one.proposed_ms,
        "late_ms": one.late_ms,
        "polka_ms": one.polka_ms,
        "locked_ms": one.locked_ms,
        "prevotes": _step(one.prevotes),
        "precommits": _step(one.precommits),
        "timed_out": [{"step": step.name.lower(), "at_ms": at_ms} for step, at_ms in one.timed_out],
        "rejected": one.rejected,
    }


def _step(step: StepView) -> JsonObject:
    return {
        "stake": step.stake,
        "vote_count": step.vote_count,
        "missing_count": step.missing_count,
        "votes": [
            {"validator": format_address(vote.validator), "at_ms": vote.at_ms, "is_nil": vote.is_nil}
            for vote in step.votes
        ],
        "missing": _addresses(step.missing),
    }


def _final(final: FinalView) -> JsonObject:
    return {
        "id": final.id.hex(),
        "round": final.round,
        "decided_round": final.decided_round,
        "time_ms": final.time_ms,
        "forger": format_address(final.forger),
        "passed": _addresses(final.passed),
        "signer_count": final.signer_count,
        "unsigned": None if final.unsigned is None else _addresses(final.unsigned),
        "unsigned_count": final.unsigned_count,
    }


def _addresses(addresses: Sequence[Address]) -> list[str]:
    return [format_address(address) for address in addresses]
