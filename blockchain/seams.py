"""The vocabulary between the rooms: inputs, effects, events, and the protocols that join them.

The engine and the core are state machines: an *input* goes in, a list of *effects* comes out, and a driver (the
runtime, or the simulator) performs them in order, all of one input's before the next input; a `Write` is durable
before the next effect runs. What happened is a value too, a `NodeEvent`: logs, metrics and the event stream are
readers of that one stream. Nothing here does anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import NewType, Protocol

from msgspec import Struct

from blockchain.primitives.block import Header, VerifiedBlock
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.transaction import Transaction, VerifiedTransaction
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, Evidence, Proposal, Signable, Step, Vote

PeerId = NewType("PeerId", bytes)  # the node id of a connected peer: its Ed25519 public key, 32 bytes
Token = NewType("Token", int)  # ties a submission to the reply that its driver waits for


# ---------------------------------------------------------------------------------------------------- timers


class TimerKind(Enum):
    """What a timer is for; the driver treats all alike."""

    PROPOSE = "propose"
    PREVOTE = "prevote"
    PRECOMMIT = "precommit"
    COMMIT_WAIT = "commit_wait"
    BLOCK_WAIT = "block_wait"
    HEARTBEAT = "heartbeat"
    STATUS = "status"
    ANNOUNCE = "announce"
    SYNC = "sync"
    PEERS = "peers"


class TimerKey(Struct, frozen=True):
    """A timer's name. Setting one that is set already replaces it; an old one that fires is recognised and dropped."""

    kind: TimerKind
    height: int = 0
    round: int = 0


# ---------------------------------------------------------------------------------------------------- inputs


class Started(Struct, frozen=True):
    """The first input. `record` is what the signer remembers (None: this node has no validator key)."""

    record: SigningRecord | None = None
    instance: int = 0  # drawn by the driver at start; tells two processes with one key apart


class ProposalReceived(Struct, frozen=True):
    """A proposal whose signature is the drawn forger's, with its block, body and transactions verified."""

    proposal: Proposal
    block: VerifiedBlock
    peer: PeerId | None = None


class VoteReceived(Struct, frozen=True):
    """A vote of a member of the set of its height, its signature good."""

    vote: Vote
    peer: PeerId | None = None


class TransactionsSubmitted(Struct, frozen=True):
    """Transactions from a client of this node; answered by a `Reply` with the same token, once they are durable."""

    token: Token
    transactions: tuple[VerifiedTransaction, ...]


class PeerConnected(Struct, frozen=True):
    peer: PeerId
    address: str = ""  # where the peer says it listens, "host:port", or ""
    inbound: bool = False


class PeerDisconnected(Struct, frozen=True):
    peer: PeerId


class TimerFired(Struct, frozen=True):
    key: TimerKey


class Signed(Struct, frozen=True):
    """The answer to `Sign`: the same message with its signature."""

    message: Signable


class VrfProved(Struct, frozen=True):
    """The answer to `ProveVrf`."""

    height: int
    round: int
    proof: bytes


class SignRefused(Struct, frozen=True):
    """The signer would not sign: its record forbids it, or it cannot be reached."""

    message: Signable
    why: str


class PoolChanged(Struct, frozen=True):
    """What the forger could put into a block changed: look at the trigger again."""


class HeadMoved(Struct, frozen=True):
    """The chain advanced without this engine deciding (sync): begin the height after the head."""


EngineInput = (
    Started
    | ProposalReceived
    | VoteReceived
    | TimerFired
    | Signed
    | VrfProved
    | SignRefused
    | PoolChanged
    | HeadMoved
)


# ---------------------------------------------------------------------------------------------------- effects


class FinalBlock(Struct, frozen=True):
    """A block as the store keeps it: canonical bytes, the certificate that made it final, and its transactions' ids."""

    height: int
    id: Hash32
    raw: bytes
    certificate: bytes
    transaction_ids: tuple[Hash32, ...]


class RefusedTransaction(Struct, frozen=True):
    """Why a transaction that had been acknowledged left the pool without becoming final."""

    id: Hash32
    code: str
    why: str
    time_ms: int


class Batch(Struct, frozen=True, kw_only=True):
    """One atomic change of the store; the order of the fields is the order in which they are applied."""

    block: FinalBlock | None = None  # height = head + 1
    state: tuple[tuple[bytes, bytes | None], ...] = ()  # changed state records; None deletes
    clear_round: bool = False  # forget the round record and blocks of the height that became final
    round_record: bytes | None = None  # replaces the record of the height in progress
    round_blocks: tuple[tuple[Hash32, bytes], ...] = ()  # bodies that the record refers to
    pending_added: tuple[tuple[Hash32, bytes], ...] = ()
    pending_removed: tuple[Hash32, ...] = ()
    refused: tuple[RefusedTransaction, ...] = ()
    evidence: tuple[bytes, ...] = ()


class Write(Struct, frozen=True):
    """Make a batch durable before the next effect runs."""

    batch: Batch


class Send(Struct, frozen=True):
    """One frame to each of these peers; a peer that is gone, or too slow, is not an error here."""

    peers: tuple[PeerId, ...]
    frame: bytes


class Broadcast(Struct, frozen=True):
    """An engine's word for "everybody should have this". The core's gossip turns it into `Send`; no driver sees it."""

    message: Proposal | Vote | Evidence
    block: VerifiedBlock | None = None


class SetTimer(Struct, frozen=True):
    """Ask for `TimerFired(key)` after `delay_ms` on a monotonic clock."""

    key: TimerKey
    delay_ms: int


class Sign(Struct, frozen=True):
    """Ask the signer for the signature of a structured message; answered by `Signed` or `SignRefused`."""

    message: Signable


class ProveVrf(Struct, frozen=True):
    """Ask the signer for the VRF proof over (genesis hash, seed, height); answered by `VrfProved`."""

    height: int
    round: int
    seed: Hash32


class Penalize(Struct, frozen=True):
    """A peer broke a rule; the runtime keeps the score. `disconnect`: at once."""

    peer: PeerId
    reason: str
    why: str
    disconnect: bool = True


class Dial(Struct, frozen=True):
    """Addresses learnt from peers ("host:port") that are worth trying."""

    addresses: tuple[str, ...]


class Reply(Struct, frozen=True):
    """The answer to a submission: for each transaction its id and, when refused, a code and why ("" accepted)."""

    token: Token
    results: tuple[SubmissionResult, ...]


class SubmissionResult(Struct, frozen=True):
    id: Hash32
    code: str = ""
    why: str = ""


class Halt(Struct, frozen=True):
    """Something that must never happen did: stop voting, say so, keep the evidence."""

    why: str


class Emit(Struct, frozen=True):
    """Something happened that readers may want to know."""

    event: NodeEvent


Effect = Write | Send | Broadcast | SetTimer | Sign | ProveVrf | Penalize | Dial | Reply | Halt | Emit


# ---------------------------------------------------------------------------------------------------- events


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


class TransactionAccepted(Struct, frozen=True, tag="transaction_accepted"):
    id: Hash32
    sender: Address
    nonce: int
    kind: str


class TransactionRefused(Struct, frozen=True, tag="transaction_refused"):
    id: Hash32
    refusal: str
    why: str


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
    height: int
    target: int
    peer: PeerId


class Halted(Struct, frozen=True, tag="halted"):
    why: str


NodeEvent = (
    NodeStarted
    | PeerJoined
    | PeerLeft
    | PeerPenalized
    | TransactionAccepted
    | TransactionRefused
    | HeightBegun
    | ForgerDrawn
    | Proposed
    | RoundTimedOut
    | Locked
    | BlockRejected
    | BlockFinalized
    | EvidenceFound
    | SignatureRefused
    | SyncProgressed
    | Halted
)


# ---------------------------------------------------------------------------------------------------- the signer


class SigningRecord(Struct, frozen=True, array_like=True):
    """What a validator key has signed last on one chain; kept beside the key, written before a signature leaves.

    `message` is the last proposal or vote, signed. `precommit_round` and `precommit_value` are those of the last
    precommit for a value at that height (−1 and None: none). Height 0: nothing was ever signed.
    """

    height: int = 0
    round: int = 0
    step: Step = Step.PROPOSE
    message: Proposal | Vote | None = None
    precommit_round: int = -1
    precommit_value: Hash32 | None = None


# ---------------------------------------------------------------------------------------------------- protocols


class Receipt(Struct, frozen=True):
    """What applying one transaction did, in words for the API; the state itself is in the overlay."""

    sender: Address
    fee: int


class State(Protocol):
    """The records of the ledger as seen from one block: an overlay on its parent's, above the final one."""

    def get(self, key: bytes) -> bytes | None: ...

    def set(self, key: bytes, value: bytes | None) -> None: ...

    def items(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Every record whose key begins with this one byte, in key order."""

    def child(self) -> State: ...

    def changes(self) -> Mapping[bytes, bytes | None]: ...

    def root(self) -> Hash32: ...


class Ledger(Protocol):
    """Rules of value."""

    def genesis(self, state: State) -> None:
        """Write the state before block 1."""

    def check(self, transaction: Transaction, height: int) -> None:
        """What needs no state. Raises InvalidTransaction."""

    def apply(self, state: State, transaction: Transaction, height: int) -> Receipt:
        """Change the overlay, or raise InvalidTransaction and leave it as it was."""

    def finish_block(
        self, state: State, header: Header, evidence: tuple[Evidence, ...], parent_certificate: Certificate
    ) -> None:
        """What happens at the end of a block: later issues' rewards and penalties, and the next validator set."""

    def validators(self, state: State, height: int, previous: ValidatorSet | None) -> ValidatorSet:
        """The set of `height`, at most the state's own height + 1 + `stake_delay`.

        `previous` is the set of `height` − 1: returned as it is when nothing changes at `height`, so that the cost
        of a block does not grow with the number of validators. None: build the set from the records.
        """

    def next_nonce(self, state: State, sender: Address) -> int: ...


class Application(Protocol):
    """What an engine may ask of the chain. The height in progress is always the head's + 1."""

    @property
    def height(self) -> int:
        """The height in progress."""

    @property
    def seed(self) -> Hash32:
        """The seed of the height in progress."""

    @property
    def validators(self) -> ValidatorSet:
        """The set of the height in progress."""

    @property
    def parent_validators(self) -> ValidatorSet:
        """The set of the head: whose precommits its certificate holds."""

    @property
    def parent_certificate(self) -> Certificate:
        """This node's own certificate of the head."""

    def is_block_due(self, now: int) -> bool:
        """The trigger (protocol §5.3)."""

    def build_block(self, round: int, vrf_proof: bytes, certificate: Certificate, now: int) -> VerifiedBlock:
        """A block on the head; never fails where the trigger holds."""

    def check_block(self, block: VerifiedBlock) -> None:
        """Raises InvalidBlock; uses neither clock nor pool, and remembers what it computed."""

    def finalize(self, block: VerifiedBlock, certificate: Certificate, round: int, now: int) -> list[Effect]:
        """Make a checked block of the height in progress final in this node's `round`, and move the head to it."""


class Engine(Protocol):
    """Rules of agreement."""

    def handle(self, given: EngineInput, now: int) -> list[Effect]: ...

    def verify_seal(self, block: VerifiedBlock, certificate: Certificate, validators: ValidatorSet) -> None:
        """Lets sync check blocks without running rounds. Raises InvalidCertificate."""


class Store(Protocol):
    """Reads, and one atomic write. Reads see every earlier write."""

    def head(self) -> int:
        """The height of the newest final block; 0 when there is none."""

    def block(self, height: int) -> FinalBlock | None: ...

    def height_of(self, block_id: bytes) -> int | None: ...

    def locate(self, transaction_id: bytes) -> tuple[int, int] | None:
        """The height and the position in its block of a final transaction."""

    def refusal(self, transaction_id: bytes) -> RefusedTransaction | None: ...

    def state_records(self) -> Iterator[tuple[bytes, bytes]]:
        """Every record of the final state, in any order."""

    def round_record(self) -> bytes | None: ...

    def round_block(self, block_id: bytes) -> bytes | None: ...

    def pending(self) -> list[bytes]:
        """The raw transactions of the pool, in the order in which they were added."""

    def evidence(self) -> list[bytes]: ...

    def write(self, batch: Batch) -> None:
        """Apply the whole batch, durably, or nothing of it."""
