"""The shapes of requests and answers, for the OpenAPI document and the tests.

Answers are rendered from views and not passed through these models, which would cost more than the rest of a request;
a test holds every answer against its model, where nothing may be missing or left over.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from blockchain.api import examples
from blockchain.primitives.scalars import INTEGER_MAX

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
    level: Literal["debug", "info", "warning", "error"]


# ---------------------------------------------------------------------------------------------- transactions


class RecipientAndAmount(Part):
    """The payload of TRANSFER and EXCHANGE."""

    recipient: AddressText
    amount: Positive


class StakePayload(Part):
    """The payload of STAKE; `validator_key` null: the account's own key votes."""

    amount: Positive
    validator_key: Key | None = None


class SignedTransaction(BaseModel):
    model_config = config_with(examples.SIGNED_TRANSACTION)
    version: Literal[1]
    kind: Literal["EXCHANGE", "TRANSFER", "STAKE"]
    sender: AddressText
    nonce: Number
    fee: Number = 0
    expiry: Number | None = None
    payload: RecipientAndAmount | StakePayload
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


# ---------------------------------------------------------------------------------------------------- blocks


class PrecommitEntry(Part):
    """`index` is the validator's place in the set of that height."""

    index: Number
    signature: SignatureHex


class CertificatePart(Part):
    height: Number
    round: Number
    block_id: Hash
    precommits: list[PrecommitEntry]


class VotePart(Part):
    height: Number
    round: Number
    step: Literal["prevote", "precommit"]
    block_id: Hash | None
    polka_round: RoundOrNone
    validator: AddressText
    signature: SignatureHex


class ProposalPart(Part):
    height: Number
    round: Number
    valid_round: RoundOrNone
    block_id: Hash
    forger: AddressText
    signature: SignatureHex


class ConflictingVotesPart(Part):
    kind: Literal["votes"]
    first: VotePart
    second: VotePart


class ConflictingProposalsPart(Part):
    kind: Literal["proposals"]
    first: ProposalPart
    second: ProposalPart


class ForgottenLockPart(Part):
    kind: Literal["lock"]
    precommit: VotePart
    prevote: VotePart


class HeaderPart(Part):
    """Every field of the header, so that the id can be computed."""

    id: Hash
    version: Literal[1]
    height: Number
    round: Number
    seed: Hash
    time_ms: TimeMs
    parent: Hash
    forger: AddressText
    vrf_proof: str
    transaction_root: Hash
    state_root: Hash
    validators_hash: Hash
    next_validators_hash: Hash
    evidence_root: Hash
    parent_certificate_hash: Hash
    transaction_count: Number
    evidence_count: Number


class PageBlock(HeaderPart):
    """The header with transactions and evidence."""

    model_config = config_with(examples.BLOCK)
    transactions: list[PooledTransaction]
    evidence: list[ConflictingVotesPart | ConflictingProposalsPart | ForgottenLockPart]


class BlockAnswer(PageBlock):
    model_config = config_with(examples.FULL_BLOCK)
    parent_certificate: CertificatePart
    certificate: CertificatePart


class BlocksAnswer(BaseModel):
    """Lowest height first; `next` is the `before` of the page of older blocks, or null."""

    model_config = config_with(examples.BLOCKS)
    blocks: list[PageBlock]
    next: Positive | None


class GenesisAccountPart(Part):
    address: AddressText
    balance: Number


class GenesisValidatorPart(Part):
    address: AddressText
    stake: Positive
    key: Key | None


class GenesisAnswer(BaseModel):
    model_config = config_with(examples.GENESIS)
    hash: Hash
    account_count: Number
    version: Literal[1]
    chain_id: str
    time_ms: TimeMs
    demo: bool
    engine: str
    ledger: str
    parameters: dict[str, int | None]
    issuer: AddressText | None
    accounts: list[GenesisAccountPart]
    validators: list[GenesisValidatorPart]


# ----------------------------------------------------------------------------------------------------- state


class PoolPart(Part):
    """`ready` is what a block could take now, `threshold` what it takes to make one."""

    pending: Number
    ready: Number
    bytes: Number
    threshold: Number


class SyncPart(Part):
    """How catching up goes: `target` is the head of the furthest peer, `sources` the peers that have the next block."""

    target: Number
    blocks_per_second: float | None
    seconds_left: float | None
    sources: Number
    waiting_for: Annotated[str, Field(description="why nothing moves, or empty")]


class StatusAnswer(BaseModel):
    model_config = config_with(examples.STATUS)
    version: str
    chain_id: str
    genesis_hash: Hash
    node_id: Hash
    height: Number
    head: Hash
    head_time_ms: TimeMs
    best_peer_height: Number
    is_syncing: bool
    is_halted: Annotated[str, Field(description="why, or empty")]
    validator: AddressText | None
    is_active: bool
    peers: Number
    pool: PoolPart
    waiting_for: str
    stalled_ms: Annotated[Number, Field(description="for how long a block is awaited and none became final")]
    sync: SyncPart
    untrusted: Annotated[str, Field(description="why this node does not vote on its chain, or empty")]


class MissingVote(Part):
    validator: AddressText
    stake: Number


class ConsensusAnswer(BaseModel):
    model_config = config_with(examples.CONSENSUS)
    height: Number
    round: Number
    step: Literal["propose", "prevote", "precommit"]
    forger: AddressText
    has_proposal: bool
    locked_round: RoundOrNone
    locked_block: Hash | None
    valid_round: RoundOrNone
    valid_block: Hash | None
    total_stake: Number
    quorum_stake: Number
    prevote_stake: Number
    precommit_stake: Number
    missing_prevotes: list[MissingVote]
    missing_precommits: list[MissingVote]
    online_stake: Number
    offline: Annotated[list[MissingVote], Field(description="members without an announcement for 15 s")]
    waiting_for: str


class AccountAnswer(BaseModel):
    model_config = config_with(examples.ACCOUNT)
    address: AddressText
    public_key: Key
    balance: Number
    nonce: Number
    next_nonce: Number
    stake: Number
    stake_waiting: Number
    validator_key: Key | None


class ValidatorPart(Part):
    address: AddressText
    key: Key
    stake: Positive


class ValidatorsAnswer(BaseModel):
    model_config = config_with(examples.VALIDATORS)
    height: Number
    hash: Hash
    total_stake: Number
    validators: list[ValidatorPart]


class PeerPart(Part):
    """`address` is where the peer says that it listens, `remote` the IP address of the connection."""

    id: Hash
    address: str
    inbound: bool
    height: Number
    round: Number
    remote: str
    agent: str
    score: Number


class DialPart(Part):
    address: str
    attempts: Number
    last_error: str
    is_connected: bool
    last_attempt_ms: Number | None
    next_attempt_ms: Number | None


class BanPart(Part):
    """Either a node id is banned, `peer`, or an `address`: an IPv4 address, or an IPv6 /64."""

    peer: Hash | None
    address: str
    reason: str
    why: str
    seconds_left: Number
    times: Number


class PeersAnswer(BaseModel):
    model_config = config_with(examples.PEERS)
    peers: list[PeerPart]
    dials: list[DialPart]
    bans: list[BanPart]


class LotteryAnswer(BaseModel):
    """The winner owns the lots from `interval[0]` up to, not including, `interval[1]`; `point` is among them."""

    model_config = config_with(examples.LOTTERY)
    genesis_hash: Hash
    height: Number
    round: Number
    seed: Hash
    reference: Hash
    point: Number
    total_stake: Number
    left_out: list[AddressText]
    forger: AddressText
    interval: Annotated[list[Number], Field(min_length=2, max_length=2)]
    validators: list[ValidatorPart]
    vrf_proof: str | None
