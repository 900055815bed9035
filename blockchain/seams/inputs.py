"""Inputs: what a driver tells the core and the engine, and the timers and signer's record that they speak of."""

from __future__ import annotations

from enum import Enum
from typing import Literal, NewType

from msgspec import Struct

from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.primitives.vote import Proposal, Signable, Step, Vote

PeerId = NewType("PeerId", bytes)  # the node id of a connected peer: its Ed25519 public key, 32 bytes
# Whether a peer reached a node where it says that it listens: it proved its id there; it says of no place; the place is
# not one that this peer may dial; nobody answered in time; somebody else did; too many were tried lately.
DialOutcome = Literal["reached", "no_address", "not_near", "no_answer", "other_node", "busy"]
Token = NewType("Token", int)  # ties a submission to the reply that its driver waits for


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
    PEERS = "peers"
    SIGN_AGAIN = "sign_again"  # ask again for what a signer has refused
    LOOK = "look"  # go on looking through the store for what a key has signed
    VOTES = "votes"  # send what is held back of them
    LAG = "lag"  # send what was kept from those who get it elsewhere
    OFFER = "offer"  # the same of ids of transactions
    STEP = "step"  # tell peers the step, where it has not changed again
    EARLY = "early"  # go on with what peers said of a height before it began, after other inputs had their turn
    SYNC = "sync"  # go on taking over blocks, after other inputs had their turn


class TimerKey(Struct, frozen=True):
    """A timer: what it is for, and the height and round that it is of, where it is of one.

    There is one of a kind at a time: setting it replaces the one before, whatever that was of, since what is over needs
    none. One that fires too late all the same is recognised and dropped.
    """

    kind: TimerKind
    height: int = 0
    round: int = 0


class SigningRecord(Struct, frozen=True, array_like=True):
    """What `key`, a validator key, has signed last on one chain; kept beside it, written before a signature leaves.

    `message` is the last proposal or vote, signed. `precommit_round` and `precommit_value` are those of the last
    precommit for a value at that height (−1 and None: none). Height 0: nothing was ever signed. `is_new`: the signer
    has found nothing on record when it was loaded: a key that is new on this chain, or one whose record is lost.
    """

    key: PublicKey
    height: int = 0
    round: int = 0
    step: Step = Step.PROPOSE
    message: Proposal | Vote | None = None
    precommit_round: int = -1
    precommit_value: Hash32 | None = None
    is_new: bool = False


class Started(Struct, frozen=True):
    """The first input. `records` is what the signers remember, one for each of this node's validator keys."""

    records: tuple[SigningRecord, ...] = ()
    instance: int = 0  # drawn by the driver at start; tells two processes with one key apart
    secret: int = 0  # drawn with it, below 2**64 and told to nobody: what others must not foresee follows from it


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
    remote: str = ""  # the IP address that the connection comes from, or goes to
    agent: str = ""  # what the peer says of its software


class PeerMet(Struct, frozen=True):
    """This node dialled an address, and that peer proved its node id there; it may be connected otherwise."""

    peer: PeerId
    address: str


class DialledBack(Struct, frozen=True):
    """The answer to `DialBack`."""

    peer: PeerId
    outcome: DialOutcome


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


class VrfRefused(Struct, frozen=True):
    """The signer did not prove: it cannot be reached."""

    height: int
    round: int
    why: str


class SignerLost(Struct, frozen=True):
    """The holder of a validator key cannot be reached; what is asked of it meanwhile is refused."""

    key: PublicKey
    why: str


class SignerRegained(Struct, frozen=True):
    """The holder of a validator key is there (again), and this is what it has signed last."""

    record: SigningRecord


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
    | VrfRefused
    | SignerRegained
    | PoolChanged
    | HeadMoved
)
