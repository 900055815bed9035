"""The shapes of what a node saw: the timeline of a height, what each validator did; see `schemas`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from blockchain.api import examples_seeing
from blockchain.api.schemas import AddressText, Hash, Key, Number, Part, TimeMs, config_with
from blockchain.api.schemas_state import ValidatorPart

AfterMs = Annotated[int, Field(ge=0, strict=True, description="milliseconds after `began_ms`")]
StepName = Literal["propose", "prevote", "precommit"]


class VotePart(Part):
    validator: AddressText
    at_ms: AfterMs
    is_nil: bool


class StepPart(Part):
    """`votes` are the last 100 in the order in which they came, `missing` the first 100; the counts are of all."""

    stake: Number
    vote_count: Number
    missing_count: Number
    votes: list[VotePart]
    missing: list[AddressText]


class TimeOutPart(Part):
    step: StepName
    at_ms: AfterMs


class RoundPart(Part):
    """`due_ms` is when the propose time-out ends, `late_ms` how much later the proposal came."""

    round: Number
    forger: AddressText | None
    began_ms: AfterMs | None
    due_ms: AfterMs | None
    proposed_ms: AfterMs | None
    late_ms: Number | None
    polka_ms: AfterMs | None
    locked_ms: AfterMs | None
    prevotes: StepPart
    precommits: StepPart
    timed_out: list[TimeOutPart]
    rejected: Annotated[str, Field(description="why this node did not prevote for the block, or empty")]


class SignatureRefusalPart(Part):
    round: Number
    step: StepName
    why: str


class SeenPart(Part):
    """What this node saw while the height was in progress. `is_whole`: from its beginning on."""

    began_ms: TimeMs
    is_whole: bool
    is_synced: bool
    triggered_ms: Annotated[AfterMs | None, Field(description="when a block came to be due here")]
    final_ms: AfterMs | None
    total_stake: Number
    quorum_stake: Number
    rounds: Annotated[list[RoundPart], Field(description="the newest 16")]
    rounds_dropped: Number
    never_voted: Annotated[list[AddressText], Field(description="in any of these rounds; 100 at most")]
    never_voted_count: Number
    refusals: Annotated[list[SignatureRefusalPart], Field(description="signatures that this node's signer refused")]


class FinalPart(Part):
    """What the store tells. `unsigned` is null where this node was not told the set of the height."""

    id: Hash
    round: Number
    decided_round: Number
    time_ms: TimeMs
    forger: AddressText
    passed: Annotated[list[AddressText], Field(description="drawn in the rounds before, of the first 16")]
    signer_count: Number
    unsigned: list[AddressText] | None
    unsigned_count: Number


class WhyAnswer(BaseModel):
    """`seen` is null of a height that this node did not see in progress, `final` of the one in progress."""

    model_config = config_with(examples_seeing.WHY)
    height: Number
    verdict: str
    seen: SeenPart | None
    final: FinalPart | None


class WindowPart(Part):
    """The blocks over which is counted; null where there are none yet."""

    first: Number | None
    last: Number | None
    blocks: Number


class RecordPart(Part):
    """What a validator did over the window. `wins` are draws of round 0, whether or not the block came.

    `p_value` is how often chance alone is as far off, by the exact binomial test with the mean share, two-sided.
    `earned_forging` and `earned_signing` are rewards, `lost` is stake lost as penalties, in the smallest unit.
    `uptime` is the part of the certificates, in the bodies of the next blocks, that it is in.
    """

    draws: Number
    expected_wins: Annotated[float, Field(ge=0)]
    wins: Number
    p_value: Annotated[float | None, Field(ge=0, le=1)]
    forged: Number
    let_pass: Number
    certificates: Number
    missed: Number
    earned_forging: Number
    earned_signing: Number
    lost: Number
    uptime: Annotated[float | None, Field(ge=0, le=1)]


class ValidatorEntry(ValidatorPart):
    """`share` is of the lottery. `is_online` and `record` are null of another height than the one in progress."""

    share: Annotated[float, Field(ge=0, le=1)]
    is_online: bool | None
    record: RecordPart | None


class ValidatorsAnswer(BaseModel):
    model_config = config_with(examples_seeing.VALIDATORS)
    height: Number
    hash: Hash
    total_stake: Number
    count: Number
    window: WindowPart | None
    validators: list[ValidatorEntry]
    next: AddressText | None


class MissedPart(Part):
    """Empty: this node did not see the height live, or has forgotten it. `late_ms` is after its own certificate."""

    height: Number
    reason: Literal["offline", "silent", "nil", "late", "left_out", ""]
    late_ms: Number | None


class ValidatorAnswer(BaseModel):
    """Of one that has left the set since, `stake` is 0 and `key` null. `missed_heights` are the newest 100."""

    model_config = config_with(examples_seeing.VALIDATOR)
    address: AddressText
    key: Key | None
    stake: Number
    share: Annotated[float, Field(ge=0, le=1)]
    is_online: bool
    window: WindowPart
    record: RecordPart
    missed_heights: list[MissedPart]
