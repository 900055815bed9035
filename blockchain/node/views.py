"""What the core tells its readers: frozen pictures of one moment, for the API and the command line.

A view is taken between two inputs, so it is always consistent; it holds no reference into the core.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from msgspec import Struct

from blockchain.node.record import Missed, RecordFacts
from blockchain.node.seen import WhyFacts
from blockchain.primitives.block import Header
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.records import Pause
from blockchain.primitives.smt_proof import StateProof
from blockchain.primitives.transaction import Transaction, VerifiedTransaction
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, Step
from blockchain.seams import FinalBlock, PeerId, Story, SubmissionResult


class PoolView(Struct, frozen=True):
    """`ready` counts what a block could take now (capped at the block's maximum); `pending` all in the pool."""

    pending: int
    ready: int
    bytes: int
    threshold: int


class ConsensusView(Struct, frozen=True):
    """Where agreement stands: stakes are of those whose vote of this round this node holds."""

    height: int
    round: int
    step: Step
    forger: Address
    has_proposal: bool
    locked_round: int
    locked_block: Hash32 | None
    valid_round: int
    valid_block: Hash32 | None
    total_stake: int
    prevote_stake: int
    precommit_stake: int
    missing_prevotes: tuple[Address, ...]
    missing_precommits: tuple[Address, ...]
    offline: tuple[Address, ...]  # members that have announced themselves to nobody for a while
    waiting_for: str  # a sentence: "pool holds 1 of 2", "prevotes of more than two thirds", …


class SyncView(Struct, frozen=True):
    """How catching up goes. `target` is the head of the furthest peer that is believed, at least one's own.

    The rate is that of the last seconds, None unless syncing; `sources` counts the peers that say they have the next
    block; `waiting_for` says why nothing moves, and is empty while it does.
    """

    target: int
    blocks_per_second: float | None
    seconds_left: float | None
    sources: int
    waiting_for: str


class NetworkView(Struct, frozen=True):
    """What the peers say of this node. `clock_offset_ms` is how far their clocks are ahead of this one, by the median.

    None of fewer than three. `reachable` is "yes", "no" or "unknown": whether they reached it where it says it listens.
    """

    clock_offset_ms: int | None
    clock_peers: int  # whose clocks are known
    reachable: str
    reachable_why: str


class StatusView(Struct, frozen=True):
    height: int
    head: Hash32
    head_time_ms: int
    best_peer_height: int
    is_syncing: bool
    is_halted: str  # why, or ""
    validator: Address | None
    is_active: bool  # this node's validator is in the set of the height in progress
    keys: tuple[PublicKey, ...]  # the validator keys that this node holds, whether they count or not; sorted
    peers: int
    pool: PoolView
    consensus: ConsensusView
    stalled_ms: int  # for how long a block is awaited and none became final; 0: none is awaited
    sync: SyncView
    untrusted: str  # why this node does not vote on its chain, or ""
    silent: str  # why this validator signs nothing: it listens, its key is used elsewhere, its signer is away; or ""
    network: NetworkView


class UnbondingView(Struct, frozen=True):
    """Stake on its way back: paid out with the first block at `release_height` or later and after `release_ms`."""

    amount: int
    leaves: int  # the first height whose set is without it
    release_height: int
    release_ms: int | None  # None until it has left


class AccountView(Struct, frozen=True):
    """`nonce` is the next one on the final state; `next_nonce` counts this node's pending transactions too."""

    address: Address
    balance: int  # what it can spend
    nonce: int
    next_nonce: int
    stake: int = 0  # counts at the height in progress
    staked: int = 0  # bonded: counts now, or will after the chain's delay
    waiting: int = 0  # will be bonded in its turn
    unbonding: tuple[UnbondingView, ...] = ()
    validator_key: PublicKey | None = None  # the newest
    validator_key_from: int | None = None  # the height from which that one counts; 0: from genesis on
    is_out: bool = False
    suspension: int | None = None  # the height from which it holds; 0: it is due
    pause: Pause | None = None


class PeerView(Struct, frozen=True):
    id: PeerId
    address: str
    inbound: bool
    height: int
    round: int
    remote: str = ""  # the IP address of the connection
    agent: str = ""  # what the peer says of its software
    score: int = 0  # points of its faults; with 100 it is banned (docs/protocol.md §8.6)
    clock_offset_ms: int | None = None  # how far its clock is ahead of this node's; None: not known
    clock_error_ms: int | None = None  # the most that this is off by
    dialled_back: str | None = None  # what became of its dial of this node (docs/protocol.md §8.9); None: it made none


class DialView(Struct, frozen=True):
    """An address this node tries to reach, and why the last attempt failed ("" connected or not yet tried)."""

    address: str
    attempts: int
    last_error: str
    is_connected: bool
    last_attempt_ms: int | None = None  # wall time
    next_attempt_ms: int | None = None  # wall time; None while one runs, and while the peer found there is connected


class BanView(Struct, frozen=True):
    """One ban in force: of a node id (`peer`), or of an address (`address`: an IPv4 address or an IPv6 /64)."""

    peer: PeerId | None
    address: str
    reason: str
    why: str
    seconds_left: int
    times: int  # that this one was banned, this time included


class TransactionView(Struct, frozen=True):
    """`state` is "pending", "final", "refused", "replaced", "evicted" or "expired"; `stages` are oldest first."""

    id: Hash32
    state: str
    raw: bytes | None
    height: int | None = None
    position: int | None = None
    stages: Story = ()


class OutcomeView(Struct, frozen=True):
    """The state of a transaction and its place, without the rest; `state` as in TransactionView, or "unknown"."""

    id: Hash32
    state: str
    height: int | None = None
    position: int | None = None


class Holdings(Struct, frozen=True):
    """What an account has: balance, next nonce, all its stake (also what does not count yet), and what unbonds."""

    balance: int
    nonce: int
    stake: int
    unbonding: int = 0


class AccountChange(Struct, frozen=True):
    address: Address
    before: Holdings
    after: Holdings


class DryRunView(Struct, frozen=True):
    """What would become of a transaction at `height`; `code` and `why` where it would not apply."""

    outcome: str  # "applies", "waits", "refused" or "known"
    height: int
    code: str = ""
    why: str = ""
    replaces: Hash32 | None = None
    changes: tuple[AccountChange, ...] = ()


class AccountProofView(Struct, frozen=True):
    """The records of an account, or their absence, under the state_root of `block`, the newest final one.

    `proof` answers for two record keys, in this order: the account's, and its stake's (docs/protocol.md §3.1).
    """

    address: Address
    proof: StateProof
    block: FinalBlock


class LotteryReceipt(Struct, frozen=True):
    """Why `forger` won (height, round): checkable offline against the headers (docs/protocol.md §7.5)."""

    genesis_hash: Hash32
    height: int
    round: int
    seed: Hash32
    reference: Hash32
    point: int
    total_stake: int
    left_out: tuple[Address, ...]
    forger: Address
    interval: tuple[int, int]  # the forger's lots: point is at or after the first and before the second
    validators: ValidatorSet
    vrf_proof: bytes | None  # of the final block of this height, when it was built in this round
    header: Header | None  # of this height; None while it is in progress
    parent_header: Header | None  # None at height 1
    certificate: Certificate | None  # of the newer of the two headers


class NodeReader(Protocol):
    """Everything the API may ask of a running node. Implemented by `runtime.service.NodeService`."""

    @property
    def spec(self) -> ChainSpec: ...

    @property
    def genesis_hash(self) -> Hash32: ...

    @property
    def node_id(self) -> PeerId: ...

    def status(self) -> StatusView: ...

    def peers(self) -> list[PeerView]: ...

    def dials(self) -> list[DialView]: ...

    def bans(self) -> list[BanView]: ...

    def pending(self) -> list[VerifiedTransaction]:
        """The pool, oldest first."""

    def account(self, address: Address) -> AccountView: ...

    def validators(self, height: int | None = None) -> ValidatorSet:
        """The set of a height (None: of the one in progress); raises LookupError for one not held here."""

    def records(self) -> RecordFacts:
        """What the validators did over the newest blocks, for `record.records_of`."""

    def missed(self, address: Address) -> dict[int, Missed]:
        """Why precommits of a validator are missing, by height, as far as this node saw it."""

    def transaction(self, transaction_id: Hash32) -> TransactionView | None: ...

    def history(self, address: Address, before: tuple[int, int] | None, count: int) -> list[tuple[int, int]]:
        """Height and position of the final transactions that name an account, newest first, before a place."""

    def outcome(self, transaction_id: Hash32) -> OutcomeView: ...

    def dry_run(self, transaction: Transaction, transaction_id: Hash32) -> DryRunView:
        """What would become of it; its signature is not looked at, and nothing changes."""

    async def wait_ended(self, transaction_ids: Sequence[Hash32], seconds: float) -> None:
        """Return when none of these is pending here, or after `seconds`, or when the node is about to end."""

    def account_proof(self, address: Address) -> AccountProofView | None:
        """None while there is no final block."""

    def block(self, height: int) -> FinalBlock | None: ...

    def one_moment(self) -> AbstractContextManager[None]:
        """Many reads inside it cost less, and none of a later moment is seen. Nothing is awaited there."""

    def height_of(self, block_id: Hash32) -> int | None: ...

    def lottery(self, height: int, round: int) -> LotteryReceipt | None: ...

    def why(self, height: int) -> WhyFacts | None:
        """What a height waits or waited for; None for one that is neither final here nor in progress."""

    async def submit(self, raws: list[bytes]) -> list[SubmissionResult]:
        """Verify and add transactions; returns once those accepted are durable. Codes as in docs/protocol.md §3.4."""
