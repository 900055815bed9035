"""What a node answers, as frozen values. Ids, keys and signatures are hex text, addresses bech32m, as in the JSON.

Fields that a newer node adds are ignored; a field that is missing or of another type makes the answer unreadable.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

HashText = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]  # what a client signs for: 32 bytes


class Pool(Struct, frozen=True):
    pending: int
    ready: int
    bytes: int
    threshold: int


class SyncProgress(Struct, frozen=True):
    """How catching up goes; the rate is None unless it does, `waiting_for` says why nothing moves."""

    target: int
    blocks_per_second: float | None
    seconds_left: float | None
    sources: int
    waiting_for: str


class Network(Struct, frozen=True):
    """What its peers say of a node; `reachable` is "yes", "no" or "unknown"."""

    clock_offset_ms: int | None
    clock_peers: int
    reachable: str
    reachable_why: str


class Status(Struct, frozen=True):
    version: str
    chain_id: str
    genesis_hash: HashText
    node_id: str
    height: int
    head: str
    head_time_ms: int
    best_peer_height: int
    is_syncing: bool
    is_halted: str
    validator: str | None
    is_active: bool
    keys: tuple[str, ...]
    peers: int
    pool: Pool
    waiting_for: str
    stalled_ms: int
    sync: SyncProgress
    untrusted: str
    silent: str
    network: Network


class SignedTransaction(Struct, frozen=True):
    """`payload` depends on the kind (docs/protocol.md §2): recipient and amount, amount and validator key, blocks, …"""

    version: int
    kind: str
    sender: str
    nonce: int
    fee: int
    expiry: int | None
    payload: dict[str, str | int | None]
    signature: str
    id: str = ""  # the node gives it wherever several transactions are listed


class Precommit(Struct, frozen=True):
    index: int
    signature: str


class Certificate(Struct, frozen=True):
    height: int
    round: int
    block_id: str
    precommits: tuple[Precommit, ...]


class Block(Struct, frozen=True):
    """A page leaves both certificates out."""

    id: str
    version: int
    height: int
    round: int
    seed: str
    time_ms: int
    parent: str
    forger: str
    vrf_proof: str
    transaction_root: str
    state_root: str
    validators_hash: str
    next_validators_hash: str
    evidence_root: str
    parent_certificate_hash: str
    transaction_count: int
    evidence_count: int
    transactions: tuple[SignedTransaction, ...]
    evidence: tuple[dict[str, object], ...]
    parent_certificate: Certificate | None = None
    certificate: Certificate | None = None


class BlockPage(Struct, frozen=True):
    """Lowest height first; `next` is the `before` of the page of older blocks."""

    blocks: tuple[Block, ...]
    next: int | None


class BlockRange(Struct, frozen=True):
    """Lowest height first; `next` is the first height of the page that follows, `height` the newest block's."""

    blocks: tuple[Block, ...]
    next: int | None
    height: int


class Holdings(Struct, frozen=True):
    balance: int
    nonce: int
    stake: int
    unbonding: int


class AccountChange(Struct, frozen=True):
    address: str
    before: Holdings
    after: Holdings


class DryRun(Struct, frozen=True):
    """What would become of a transaction: `outcome` is "applies", "waits", "refused" or "known"."""

    outcome: str
    height: int
    code: str
    why: str
    signature: str
    id: str | None
    replaces: str | None
    changes: tuple[AccountChange, ...]


class HistoryEntry(Struct, frozen=True):
    """`direction` is seen from the account: "in", "out", or "self"."""

    height: int
    position: int
    block_id: str
    time_ms: int
    direction: str
    transaction: SignedTransaction


class History(Struct, frozen=True):
    """Newest first; `next` is the cursor of the page of older entries."""

    entries: tuple[HistoryEntry, ...]
    next: str | None


class FeeRange(Struct, frozen=True):
    min: int
    median: int
    max: int


class Fees(Struct, frozen=True):
    """`included` is what the `transactions` of the newest `blocks` paid; `minimum` is None while the pool is full."""

    minimum: int | None
    is_pool_full: bool
    pending: int
    blocks: int
    transactions: int
    included: FeeRange | None


class Refusal(Struct, frozen=True):
    code: str
    why: str
    time_ms: int


class Stage(Struct, frozen=True):
    """One stage in the life of a transaction at the node that was asked; `stage` is its name."""

    stage: str
    time_ms: int
    height: int | None = None
    round: int | None = None
    code: str | None = None
    why: str | None = None


class TransactionState(Struct, frozen=True):
    """`refusal` says why, in every state that is neither pending nor final; `stages` are oldest first.

    "unknown" is what `wait_final` says of a transaction that the node never knew, or could not be asked about.
    """

    id: str
    state: Literal["pending", "final", "refused", "replaced", "evicted", "expired", "unknown"]
    height: int | None = None
    position: int | None = None
    transaction: SignedTransaction | None = None
    refusal: Refusal | None = None
    stages: tuple[Stage, ...] = ()


class Unbonding(Struct, frozen=True):
    """Paid out with the first block at `release_height` or later whose time is `release_ms` or later."""

    amount: int
    leaves: int
    release_height: int
    release_ms: int | None


class Pause(Struct, frozen=True):
    """From height `start` up to, not including, `until`."""

    start: int
    until: int


class Account(Struct, frozen=True):
    """`next_nonce` is the one for the next transaction; it counts those pending at this node.

    `stake` counts in the set of the height in progress; `staked` is bonded, and counts now or after the chain's delay;
    `suspension` is the height from which it holds, 0 where it is due. `validator_key` is the newest, and signs from
    height `validator_key_from` on (0: from genesis on; an older node does not tell).
    """

    address: str
    public_key: str
    balance: int
    nonce: int
    next_nonce: int
    stake: int
    staked: int
    waiting: int
    unbonding: tuple[Unbonding, ...]
    validator_key: str | None
    is_out: bool
    suspension: int | None
    pause: Pause | None
    validator_key_from: int | None = None


class TransactionProof(Struct, frozen=True):
    """What `proofs.verify_payment` checks: canonical bytes and hashes as hex."""

    id: str
    raw: str
    position: int
    path: tuple[str, ...]
    header: str
    certificate: Certificate


class StateQuery(Struct, frozen=True):
    key: str
    value: str
    bitmap: str


class StateProof(Struct, frozen=True):
    """A proof of the state tree, as hex (docs/protocol.md §3.6)."""

    sibling_hashes: tuple[str, ...]
    queries: tuple[StateQuery, ...]


class AccountProof(Struct, frozen=True):
    """What `proofs.verify_account` checks, for the records of an account and of its stake."""

    proof: StateProof
    header: str
    certificate: Certificate


class Validator(Struct, frozen=True):
    address: str
    key: str
    stake: int


class LogLevel(Struct, frozen=True):
    level: str


class Peer(Struct, frozen=True):
    """`address` is where the peer says that it listens, `remote` the IP address of the connection."""

    id: str
    address: str
    inbound: bool
    height: int
    round: int
    remote: str
    agent: str
    score: int
    clock_offset_ms: int | None
    clock_error_ms: int | None
    dialled_back: str | None


class Dial(Struct, frozen=True):
    address: str
    attempts: int
    last_error: str
    is_connected: bool
    last_attempt_ms: int | None
    next_attempt_ms: int | None


class Ban(Struct, frozen=True):
    """Of a node id (`peer`) or of an address."""

    peer: str | None
    address: str
    reason: str
    why: str
    seconds_left: int
    times: int


class Peers(Struct, frozen=True):
    peers: tuple[Peer, ...]
    dials: tuple[Dial, ...]
    bans: tuple[Ban, ...]


class GenesisAccount(Struct, frozen=True):
    address: str
    balance: int


class GenesisValidator(Struct, frozen=True):
    address: str
    stake: int
    key: str | None


class Genesis(Struct, frozen=True):
    hash: str
    account_count: int
    version: int
    chain_id: str
    time_ms: int
    demo: bool
    engine: str
    ledger: str
    parameters: dict[str, int | None]
    issuer: str | None
    accounts: tuple[GenesisAccount, ...]
    validators: tuple[GenesisValidator, ...]


class MissingVote(Struct, frozen=True):
    validator: str
    stake: int


class Consensus(Struct, frozen=True):
    height: int
    round: int
    step: str
    forger: str
    has_proposal: bool
    locked_round: int
    locked_block: str | None
    valid_round: int
    valid_block: str | None
    total_stake: int
    quorum_stake: int
    prevote_stake: int
    precommit_stake: int
    missing_prevotes: tuple[MissingVote, ...]
    missing_precommits: tuple[MissingVote, ...]
    online_stake: int
    offline: tuple[MissingVote, ...]
    waiting_for: str


class Lottery(Struct, frozen=True):
    """A receipt, which `lottery.verify_lottery` checks; the headers are canonical bytes as hex."""

    genesis_hash: str
    height: int
    round: int
    seed: str
    reference: str
    point: int
    total_stake: int
    left_out: tuple[str, ...]
    forger: str
    interval: tuple[int, int]
    validators: tuple[Validator, ...]
    vrf_proof: str | None
    header: str | None
    parent_header: str | None
    certificate: Certificate | None


class Submission(Struct, frozen=True):
    """What the node said of one transaction: `id` is None for one it could not read; `code` is "" when accepted."""

    id: str | None
    is_accepted: bool
    code: str
    why: str
