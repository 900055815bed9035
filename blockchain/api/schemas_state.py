"""The shapes of where the node and its chain stand: status, agreement, accounts, peers, lottery; see `schemas`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from blockchain.api import examples
from blockchain.api.schemas import (
    AddressText,
    Bytes,
    Hash,
    Key,
    Number,
    Part,
    Positive,
    RoundOrNone,
    TimeMs,
    config_with,
)
from blockchain.api.schemas_blocks import CertificatePart


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


class NetworkPart(Part):
    """What the peers say of this node; nothing of agreement depends on it."""

    clock_offset_ms: Annotated[
        int | None, Field(description="how far their clocks are ahead of this node's, by the median of three or more")
    ]
    clock_peers: Annotated[Number, Field(description="peers whose clocks are known")]
    reachable: Annotated[
        Literal["yes", "no", "unknown"], Field(description="whether peers reached this node where it says it listens")
    ]
    reachable_why: str


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
    keys: Annotated[list[Hash], Field(description="the validator keys that it holds, whether they count or not")]
    peers: Number
    pool: PoolPart
    waiting_for: str
    stalled_ms: Annotated[Number, Field(description="for how long a block is awaited and none became final")]
    sync: SyncPart
    untrusted: Annotated[str, Field(description="why this node does not vote on its chain, or empty")]
    silent: Annotated[
        str,
        Field(description="why it signs nothing: it listens, its key is used elsewhere, its signer is away; or empty"),
    ]
    network: NetworkPart


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


class UnbondingPart(Part):
    """Paid out with the first block at `release_height` or later whose time is `release_ms` or later."""

    amount: Positive
    leaves: Annotated[Number, Field(description="the first height whose set is without it")]
    release_height: Number
    release_ms: Annotated[TimeMs | None, Field(description="null until it has left its set")]


class PausePart(Part):
    """From height `start` up to, not including, `until`."""

    start: Number
    until: Number


class AccountAnswer(BaseModel):
    model_config = config_with(examples.ACCOUNT)
    address: AddressText
    public_key: Key
    balance: Annotated[Number, Field(description="what can be spent")]
    nonce: Number
    next_nonce: Number
    stake: Annotated[Number, Field(description="what counts in the set of the height in progress")]
    staked: Annotated[Number, Field(description="what is bonded: it counts, or will after the chain's delay")]
    waiting: Annotated[Number, Field(description="what waits for its turn to be bonded")]
    unbonding: list[UnbondingPart]
    validator_key: Annotated[Key | None, Field(description="the newest; one before it signs up to its height")]
    validator_key_from: Annotated[
        Number | None, Field(description="the height from which the newest key signs; 0: from genesis on")
    ]
    is_out: Annotated[bool, Field(description="whether evidence put it out for good")]
    suspension: Annotated[Number | None, Field(description="the height from which it holds; 0: it is due")]
    pause: PausePart | None


class ValidatorPart(Part):
    address: AddressText
    key: Key
    stake: Positive


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
    clock_offset_ms: Annotated[int | None, Field(description="how far its clock is ahead of this node's")]
    clock_error_ms: Annotated[Number | None, Field(description="the most that this is off by")]
    dialled_back: Annotated[
        Literal["reached", "no_address", "not_near", "no_answer", "other_node", "busy"] | None,
        Field(description="what became of its dial of this node"),
    ]


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
    """The winner owns the lots from `interval[0]` up to, not including, `interval[1]`; `point` is among them.

    `header` and `parent_header` are canonical bytes, null where there is none (yet); `certificate` is the newer one's.
    """

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
    header: Bytes | None
    parent_header: Bytes | None
    certificate: CertificatePart | None
