"""Events: what happened, as values. Logs, metrics and the event stream are readers of this one stream."""

from __future__ import annotations

from msgspec import Struct

from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.vote import Step
from blockchain.seams.inputs import PeerId


class NodeStarted(Struct, frozen=True, tag="node_started"):
    height: int
    head: Hash32
    validator: Address | None


class PeerJoined(Struct, frozen=True, tag="peer_connected"):
    peer: PeerId
    address: str
    inbound: bool


class PeerLeft(Struct, frozen=True, tag="peer_disconnected"):
    peer: PeerId


class PeerPenalized(Struct, frozen=True, tag="peer_penalized"):
    peer: PeerId
    reason: str
    why: str


class ClockOff(Struct, frozen=True, tag="clock_off"):
    """The peers' clocks say another time than this node's: by their median, `offset_ms` is theirs less this one's."""

    offset_ms: int
    allowed_ms: int
    peers: int


class TransactionAccepted(Struct, frozen=True, tag="transaction_accepted"):
    id: Hash32
    sender: Address
    nonce: int
    kind: str


class TransactionsAccepted(Struct, frozen=True, tag="transactions_accepted"):
    """Several that came together; one alone is told of in full."""

    transaction_ids: tuple[Hash32, ...]


class TransactionRefused(Struct, frozen=True, tag="transaction_refused"):
    id: Hash32
    refusal: str
    why: str


class TransactionsDeclined(Struct, frozen=True, tag="transactions_declined"):
    """Of peers, in the last second: how many did not enter the pool, in all and by code."""

    count: int
    refusals: tuple[tuple[str, int], ...]


class HeightBegun(Struct, frozen=True, tag="height_begun"):
    height: int
    validators: int
    stake: int


class ForgerDrawn(Struct, frozen=True, tag="forger_drawn"):
    height: int
    round: int
    forger: Address


class Proposed(Struct, frozen=True, tag="proposed"):
    """This node proposed; `valid_round` ≥ 0 says that it proposed an earlier value again."""

    height: int
    round: int
    valid_round: int
    block_id: Hash32


class RoundTimedOut(Struct, frozen=True, tag="round_timed_out"):
    height: int
    round: int
    step: Step


class Locked(Struct, frozen=True, tag="locked"):
    height: int
    round: int
    block_id: Hash32


class BlockRejected(Struct, frozen=True, tag="block_rejected"):
    height: int
    round: int
    block_id: Hash32
    why: str


class ProposalUntimely(Struct, frozen=True, tag="proposal_untimely"):
    """A new block whose time is further ahead of this node's clock than allowed: one of the two clocks is wrong."""

    height: int
    round: int
    forger: Address
    ahead_ms: int
    allowed_ms: int


class BlockFinalized(Struct, frozen=True, tag="block_final"):
    """`decided_round` is the certificate's; `round` the one that this node was in when it learnt of it."""

    height: int
    round: int
    decided_round: int
    block_id: Hash32
    forger: Address
    transaction_ids: tuple[Hash32, ...]
    block_time_ms: int
    final_ms: int  # wall time at which this node learnt of it
    synced: bool = False


class EvidenceFound(Struct, frozen=True, tag="evidence_found"):
    kind: str
    height: int
    validator: Address


class SignatureRefused(Struct, frozen=True, tag="signature_refused"):
    height: int
    round: int
    step: Step
    why: str


class SyncProgressed(Struct, frozen=True, tag="sync_progressed"):
    """How far catching up has come: about once a second, and at its end. None: not known, or nothing left."""

    height: int
    target: int
    sources: int  # peers that say they have the next block
    blocks_per_second: float | None
    seconds_left: float | None


class StoreDamaged(Struct, frozen=True, tag="store_damaged"):
    """A block that was asked for cannot be read; the node goes on without it."""

    why: str


class Halted(Struct, frozen=True, tag="halted"):
    why: str


class TrustMissing(Struct, frozen=True, tag="trust_missing"):
    """This node follows without voting: its chain is older than stake is bound."""

    why: str


class Trusted(Struct, frozen=True, tag="trusted"):
    """The chain holds the checkpoint: this node votes again."""

    height: int
    block_id: Hash32


class SigningBegun(Struct, frozen=True, tag="signing_begun"):
    """This validator has looked whether anybody else signs with its key, and signs from this height on."""

    height: int


class SigningStopped(Struct, frozen=True, tag="signing_stopped"):
    """This validator signs nothing until it is started again: its key is used elsewhere, or was (protocol §5.6)."""

    why: str


NodeEvent = (
    NodeStarted
    | PeerJoined
    | PeerLeft
    | PeerPenalized
    | ClockOff
    | TransactionAccepted
    | TransactionsAccepted
    | TransactionRefused
    | TransactionsDeclined
    | HeightBegun
    | ForgerDrawn
    | Proposed
    | RoundTimedOut
    | Locked
    | BlockRejected
    | ProposalUntimely
    | BlockFinalized
    | EvidenceFound
    | SignatureRefused
    | SyncProgressed
    | StoreDamaged
    | Halted
    | TrustMissing
    | Trusted
    | SigningBegun
    | SigningStopped
)
