"""The shapes of requests and answers, for the OpenAPI document and the tests.

Answers are rendered from views and not passed through these models, which would cost more than the rest of a request;
a test holds every answer against its model, where nothing may be missing or left over.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from blockchain.api import examples
from blockchain.primitives.scalars import INTEGER_MAX
from blockchain.settings import LogLevel

Bytes = Annotated[str, Field(pattern="^([0-9a-f]{2})*$", description="bytes as hex")]
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="32 bytes as hex")]
Key = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="an Ed25519 public key as hex")]
SignatureHex = Annotated[str, Field(pattern="^[0-9a-f]{128}$")]
AddressText = Annotated[str, Field(description="bech32m, pos1…; hex is read too")]
Number = Annotated[int, Field(ge=0, le=INTEGER_MAX, strict=True)]
Positive = Annotated[int, Field(ge=1, le=INTEGER_MAX, strict=True)]
RoundOrNone = Annotated[int, Field(ge=-1, strict=True, description="-1: none")]
TimeMs = Annotated[int, Field(ge=0, strict=True, description="milliseconds since 1970")]


def config_with(example: examples.Example) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


class Part(BaseModel):
    """A piece of an answer; nothing may be left over."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """RFC 9457. `code` is stable; `detail` is for people. Some have further members."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"examples": [examples.PROBLEM]})
    type: str
    title: str
    status: int
    detail: str
    code: str


class PingAnswer(BaseModel):
    model_config = config_with(examples.PING)
    success: Literal["pong!"]


class LiveAnswer(BaseModel):
    model_config = config_with(examples.LIVE)
    status: Literal["live"]


class Check(Part):
    ok: bool
    why: str


class ReadyAnswer(BaseModel):
    model_config = config_with(examples.READY)
    status: Literal["ready"]
    checks: dict[str, Check]


class SyncingAnswer(BaseModel):
    model_config = config_with(examples.SYNCING)
    status: Literal["syncing"]
    checks: dict[str, Check]


class AdminAction(Part):
    method: str
    path: str
    what: str


class AdminAnswer(BaseModel):
    """What the token may do."""

    model_config = config_with(examples.ADMIN)
    actions: list[AdminAction]


class LogLevelAnswer(BaseModel):
    """The least level that is logged."""

    model_config = config_with(examples.LOG_LEVEL)
    level: LogLevel


# ---------------------------------------------------------------------------------------------- transactions


class RecipientAndAmount(Part):
    """The payload of TRANSFER and EXCHANGE."""

    recipient: AddressText
    amount: Positive


class StakePayload(Part):
    """The payload of STAKE; `validator_key` null: the account's own key votes. One that is named has its `proof`."""

    amount: Positive
    validator_key: Key | None = None
    proof: SignatureHex | None = None


class UnstakePayload(Part):
    """The payload of UNSTAKE."""

    amount: Positive


class RotatePayload(Part):
    """The payload of ROTATE; `proof` is the new key's signature."""

    validator_key: Key
    proof: SignatureHex


class PausePayload(Part):
    """The payload of PAUSE."""

    blocks: Positive


class ResumePayload(Part):
    """The payload of RESUME, which is empty."""


KindPayload = RecipientAndAmount | StakePayload | UnstakePayload | RotatePayload | PausePayload | ResumePayload


class SignedTransaction(BaseModel):
    model_config = config_with(examples.SIGNED_TRANSACTION)
    version: Literal[1]
    kind: Literal["EXCHANGE", "TRANSFER", "STAKE", "UNSTAKE", "ROTATE", "PAUSE", "RESUME"]
    sender: AddressText
    nonce: Number
    fee: Number = 0
    expiry: Number | None = None
    payload: KindPayload
    signature: SignatureHex


class PooledTransaction(SignedTransaction):
    model_config = config_with(examples.POOLED_TRANSACTION)
    id: Hash


class SubmissionResult(Part):
    """`id` is null for one that could not be read; `code` and `why` are empty when it was accepted."""

    id: Hash | None
    is_accepted: bool
    code: str
    why: str


class Outcome(Part):
    id: Hash
    state: str
    height: Number | None
    position: Number | None


class SubmissionAnswer(BaseModel):
    """`ids` are those accepted; `results` are in the order of the request; `outcomes` (it waited) in that of `ids`."""

    model_config = config_with(examples.SUBMISSION)
    message: Literal["Received transaction"]
    ids: list[Hash]
    results: list[SubmissionResult]
    outcomes: list[Outcome] | None = None


class Refusal(Part):
    code: str
    why: str
    time_ms: TimeMs


class Stage(Part):
    """One stage in the life of a transaction at this node; what means nothing in it is null."""

    stage: Literal["received", "waiting", "proposed", "final", "refused", "replaced", "evicted", "expired"]
    time_ms: TimeMs
    height: Number | None
    round: Number | None
    code: str | None
    why: str | None


class TransactionAnswer(BaseModel):
    """`refusal` is the last stage of one that was refused, replaced, evicted or expired."""

    model_config = config_with(examples.TRANSACTION)
    id: Hash
    state: Literal["pending", "final", "refused", "replaced", "evicted", "expired"]
    height: Number | None
    position: Number | None
    transaction: SignedTransaction | None
    refusal: Refusal | None
    stages: list[Stage]
