"""The verdict on a height, in sentences for people: what held it up, and who.

Pure functions from the view of its timeline (`why.py`) to text. Nothing is guessed: where this node saw nothing, it
says so, and "silent" means that no proposal came *here*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from blockchain.node.reader import NAMED_MAX
from blockchain.node.seen import FinalView, RoundView, SeenView, StepView, WhyView
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address

LONG_MS: Final = 1_000  # that nothing was due is told of when it took longer
ROUNDS_TOLD_MAX: Final = 4  # of a stalled height: the last ones


def verdict_of(view: WhyView, waiting_for: str) -> str:
    """`waiting_for`: what the height in progress waits for, in words."""
    seen, final = view.seen, view.final
    if seen is None:
        return (
            f"This node did not see it live. {_stored(final)}" if final is not None else "Nothing was seen of it yet."
        )
    told = [*_begun(seen), *_lost_rounds(seen, final)]
    told.append(f"It is not final yet: {waiting_for}." if final is None else _decided(seen, final))
    if seen.never_voted and not seen.is_synced and (final is not None or len(seen.rounds) > 1):
        told.append(f"{_named(seen.never_voted, seen.never_voted_count)} never voted.")
    return " ".join(told)


def _stored(final: FinalView) -> str:
    passed = f" after {_named(final.passed, final.round)} had let a turn pass" if final.passed else ""
    told = (
        f"Its block was built in round {final.round} by {format_address(final.forger)}{passed}, and decided in round "
    )
    told += f"{final.decided_round} by {final.signer_count} precommits"
    if final.unsigned is None:
        return f"{told}; who was missing is not known here."
    return f"{told}; missing: {_named(final.unsigned, final.unsigned_count)}." if final.unsigned else f"{told}, all."


def _begun(seen: SeenView) -> list[str]:
    told = [] if seen.is_whole else ["This node was started in the middle of it."]
    if _due_since(seen) >= LONG_MS:
        told.append(f"For {_duration(_due_since(seen))} nothing was due.")
    return told


def _due_since(seen: SeenView) -> int:
    """When a block came to be due, here or at the first who proposed one."""
    proposed = [one.proposed_ms for one in seen.rounds if one.proposed_ms is not None]
    return min([*proposed, *([] if seen.triggered_ms is None else [seen.triggered_ms])], default=0)


def _lost_rounds(seen: SeenView, final: FinalView | None) -> list[str]:
    """A sentence for each round that did not decide, of the last ones."""
    if seen.is_synced or not seen.rounds:
        return []
    end = seen.rounds[-1].round if final is None else final.decided_round
    lost = [one for one in seen.rounds if one.round < end and one.forger is not None]
    skipped = len(lost) - len(lost[-ROUNDS_TOLD_MAX:]) + seen.rounds_dropped
    before = [f"{skipped} earlier rounds decided nothing."] if skipped else []
    return [*before, *(_lost(one) for one in lost[-ROUNDS_TOLD_MAX:])]


def _lost(one: RoundView) -> str:
    assert one.forger is not None
    who = f"Round {one.round}'s forger {format_address(one.forger)}"
    if one.proposed_ms is None:
        return f"{who} was silent."
    if one.rejected:
        return f"{who} proposed what this node did not prevote for: {one.rejected}."
    if one.late_ms:
        return f"{who} was late: its proposal came {_duration(one.late_ms)} after the time-out."
    if one.polka_ms is None:
        return f"{who} proposed in time, but prevotes of more than two thirds did not come{_without(one.prevotes)}."
    return f"The block of {who.lower()} had a polka, but not the precommits that decide{_without(one.precommits)}."


def _without(step: StepView) -> str:
    return f" (none of {_named(step.missing, step.missing_count)})" if step.missing else ""


def _decided(seen: SeenView, final: FinalView) -> str:
    forger = format_address(final.forger)
    if seen.is_synced or seen.final_ms is None:
        return f"The others decided it without this node, which took the block of {forger} over from a peer."
    again = "" if final.round == final.decided_round else f", proposed again in round {final.decided_round},"
    passed_ms = max(seen.final_ms - _due_since(seen), 0)
    return (
        f"Round {final.round}'s block by {forger}{again} became final after {_duration(passed_ms)}{_late(seen, final)}."
    )


def _late(seen: SeenView, final: FinalView) -> str:
    """Whose precommits came after the certificate was there."""
    final_ms = seen.final_ms or 0
    decided = (one for one in seen.rounds if one.round == final.decided_round)
    late = [vote for one in decided for vote in one.precommits.votes if vote.at_ms > final_ms]
    if not late:
        return ""
    named = _named([vote.validator for vote in late], len(late))
    return f"; the precommits of {named} came up to {_duration(late[-1].at_ms - final_ms)} later"


def _named(addresses: Sequence[Address], count: int) -> str:
    named = ", ".join(format_address(address) for address in addresses[:NAMED_MAX])
    more = count - min(len(addresses), NAMED_MAX)
    return f"{named} and {more} more" if more > 0 else named


def _duration(ms: int) -> str:
    return f"{ms} ms" if ms < LONG_MS else f"{ms / 1000:.1f} s"
