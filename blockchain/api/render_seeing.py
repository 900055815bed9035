"""What a node saw, as JSON objects: the timeline of a height and its verdict, and what validators did.

Pure, and free to run in a thread. Shares and other floats are rounded here, for people.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from msgspec import Struct

from blockchain.node.record import Missed, Record, RecordFacts, records_of
from blockchain.node.seen import FinalView, RoundView, SeenView, StepView, WhyFacts
from blockchain.node.verdict import verdict_of
from blockchain.node.why import view_of
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.jsonform import JsonObject
from blockchain.primitives.validators import Validator, ValidatorSet

NAMES_MAX: Final = 1_000


class Page(Struct, frozen=True):
    """Which part of a set is asked for."""

    height: int
    chosen: ValidatorSet
    after: Address | None
    limit: int


def validators(page: Page, genesis_hash: Hash32, facts: RecordFacts | None) -> JsonObject:
    members = page.chosen.validators
    start = 0 if page.after is None else bisect_right(members, page.after, key=lambda one: one.address)
    shown = members[start : start + page.limit]
    records = {} if facts is None else records_of(facts, [one.address for one in shown])
    return {
        "height": page.height,
        "hash": page.chosen.hash(genesis_hash).hex(),
        "total_stake": page.chosen.total,
        "count": len(members),
        "window": None if facts is None else _window(facts),
        "validators": [
            {
                **_member(one, page.chosen.total),
                "is_online": None if facts is None else one.address not in facts.offline,
                "record": None if facts is None else _record(records[one.address]),
            }
            for one in shown
        ],
        "next": format_address(shown[-1].address) if start + len(shown) < len(members) else None,
    }


def validator(
    address: Address, chosen: ValidatorSet, facts: RecordFacts, reasons: Mapping[int, Missed]
) -> JsonObject | None:
    """None for one that was no validator in the window, nor is now."""
    record = records_of(facts, [address], reasons)[address]
    one = chosen.get(address)
    if one is None and not record.draws:
        return None
    gone = {"address": format_address(address), "key": None, "stake": 0, "share": 0.0}
    return {
        **(gone if one is None else _member(one, chosen.total)),
        "is_online": one is not None and address not in facts.offline,
        "window": _window(facts),
        "record": _record(record),
        "missed_heights": [
            {"height": each.height, "reason": each.reason, "late_ms": each.late_ms} for each in record.missed
        ],
    }


def _member(one: Validator, total: int) -> JsonObject:
    return {
        "address": format_address(one.address),
        "key": one.key.hex(),
        "stake": one.stake,
        "share": round(one.stake / total, 6),
    }


def _window(facts: RecordFacts) -> JsonObject:
    turns = facts.turns
    return {
        "first": turns[0].height if turns else None,
        "last": turns[-1].height if turns else None,
        "blocks": len(turns),
    }


def _record(record: Record) -> JsonObject:
    signed = record.certificates - record.missed_count
    return {
        "draws": record.draws,
        "expected_wins": round(record.expected, 3),
        "wins": record.wins,
        "p_value": None if record.p_value is None else round(record.p_value, 6),
        "forged": record.forged,
        "let_pass": record.let_pass,
        "certificates": record.certificates,
        "missed": record.missed_count,
        "earned_forging": record.earned_forging,
        "earned_signing": record.earned_signing,
        "lost": record.lost,
        "uptime": round(signed / record.certificates, 6) if record.certificates else None,
    }


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
        "forger": None if one.forger is None else _name(one.forger),
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
            {"validator": _name(vote.validator), "at_ms": vote.at_ms, "is_nil": vote.is_nil} for vote in step.votes
        ],
        "missing": _addresses(step.missing),
    }


def _final(final: FinalView) -> JsonObject:
    return {
        "id": final.id.hex(),
        "round": final.round,
        "decided_round": final.decided_round,
        "time_ms": final.time_ms,
        "forger": _name(final.forger),
        "passed": _addresses(final.passed),
        "signer_count": final.signer_count,
        "unsigned": None if final.unsigned is None else _addresses(final.unsigned),
        "unsigned_count": final.unsigned_count,
    }


@lru_cache(NAMES_MAX)
def _name(address: Address) -> str:
    """Some tens of microseconds each; a timeline names the same few again and again."""
    return format_address(address)


def _addresses(addresses: Sequence[Address]) -> list[str]:
    return [_name(address) for address in addresses]
