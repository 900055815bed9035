"""Why a height took as long as it did, or is not final: its timeline as this node saw it, with what the store tells.

Pure functions from the core, and the store as readers see it, to a view; the verdict on it is `verdict.py`'s. Of a
height that this node did not see in progress the store still tells who was drawn, who built the block and who signed.
"""

from __future__ import annotations

from typing import Final

from blockchain.node.ahead import Finals
from blockchain.node.core import Core
from blockchain.node.reader import certificate_of, consensus_of, validators_at
from blockchain.node.seen import FinalView, RoundView, SeenView, StepView, VoteSeen, WhyFacts, WhyView
from blockchain.node.timeline import ROUNDS_MAX, HeightSeen, StepSeen
from blockchain.primitives.block import decode_block
from blockchain.primitives.crypto import Address
from blockchain.primitives.validators import ValidatorSet
from blockchain.seams import FinalBlock

LISTED_MAX: Final = 100  # votes of one step, those that came last; and as many of those that are missing


def why_of(core: Core, store: Finals, height: int) -> WhyFacts | None:
    """None for a height that is neither final here nor in progress."""
    stored = store.block(height)
    if stored is None and height != core.chain.height:
        return None
    seen = core.timeline.heights.get(height)
    return WhyFacts(
        height=height,
        seen=None if seen is None else seen.copied(),
        stored=stored,
        members=None if stored is None else _members(core, store, height),
        draws=core.chain.selection.forgers,
        waiting_for="" if stored is not None else consensus_of(core).waiting_for,
    )


def _members(core: Core, store: Finals, height: int) -> ValidatorSet | None:
    try:
        return validators_at(core, store, height)
    except LookupError:  # a store of an earlier format was not told it
        return None


def view_of(facts: WhyFacts) -> WhyView:
    """Pure: for any thread."""
    return WhyView(
        height=facts.height,
        seen=None if facts.seen is None else _seen_view(facts.seen),
        final=None if facts.stored is None else _final_view(facts, facts.stored),
    )


def _final_view(facts: WhyFacts, stored: FinalBlock) -> FinalView:
    header = decode_block(stored.raw).header
    certificate = certificate_of(stored)
    unsigned: tuple[Address, ...] | None = None
    passed: tuple[Address, ...] = ()
    if facts.members is not None:
        signers = {entry.index for entry in certificate.precommits}
        unsigned = tuple(one.address for at, one in enumerate(facts.members.validators) if at not in signers)
        forgers = facts.draws(header.seed, header.height, facts.members)
        passed = tuple(forgers.forger(round) for round in range(min(header.round, ROUNDS_MAX)))
    return FinalView(
        id=stored.id,
        round=header.round,
        decided_round=certificate.round,
        time_ms=header.time_ms,
        forger=header.forger,
        passed=passed,
        signer_count=len(certificate.precommits),
        unsigned=None if unsigned is None else unsigned[:LISTED_MAX],
        unsigned_count=len(unsigned or ()),
    )


def _seen_view(seen: HeightSeen) -> SeenView:
    members = seen.members
    voters = seen.voters()
    silent = tuple(one.address for at, one in enumerate(members.validators) if at not in voters)
    return SeenView(
        began_ms=seen.began_ms,
        is_whole=seen.is_whole,
        is_synced=seen.is_synced,
        triggered_ms=seen.triggered,
        final_ms=seen.final,
        total_stake=members.total,
        quorum_stake=members.quorum_stake,
        rounds=tuple(_round_view(seen, number) for number in sorted(seen.rounds)),
        rounds_dropped=seen.rounds_dropped,
        never_voted=silent[:LISTED_MAX],
        never_voted_count=len(silent),
        refusals=tuple(seen.refusals),
    )


def _round_view(seen: HeightSeen, number: int) -> RoundView:
    found = seen.rounds[number]
    return RoundView(
        round=number,
        forger=found.forger,
        began_ms=found.began,
        due_ms=found.due,
        proposed_ms=found.proposed,
        late_ms=None if found.proposed is None or found.due is None else max(found.proposed - found.due, 0),
        polka_ms=found.polka,
        locked_ms=found.locked,
        prevotes=_step_view(seen.members, found.prevotes),
        precommits=_step_view(seen.members, found.precommits),
        timed_out=tuple(sorted(found.timed_out.items(), key=lambda item: item[1])),
        rejected=found.rejected,
    )


def _step_view(members: ValidatorSet, step: StepSeen) -> StepView:
    voters = step.voters()
    missing = [one.address for index, one in enumerate(members.validators) if index not in voters]
    latest = ((index, step.came(index)) for index in step.latest(LISTED_MAX))
    return StepView(
        stake=sum(members.validators[index].stake for index in voters),
        vote_count=len(voters),
        missing_count=len(missing),
        votes=tuple(
            VoteSeen(members.validators[index].address, at_ms, step.is_nil(index))
            for index, at_ms in latest
            if at_ms is not None
        ),
        missing=tuple(missing[:LISTED_MAX]),
    )
