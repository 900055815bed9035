"""Effects: what the core and the engine want done. A driver performs them in order (docs/architecture.md)."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from blockchain.primitives.block import VerifiedBlock
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.vote import Evidence, Proposal, Signable, Vote
from blockchain.seams.events import NodeEvent
from blockchain.seams.inputs import PeerId, TimerKey, Token
from blockchain.seams.story import PendingTransaction, Story, TransactionStory
from blockchain.seams.turn import SetChange, Turn


class FinalBlock(Struct, frozen=True):
    """A block as the store keeps it: canonical bytes, the certificate that made it final, and its transactions' ids."""

    height: int
    id: Hash32
    raw: bytes
    certificate: bytes
    transaction_ids: tuple[Hash32, ...]


class HeightVotes(Struct, frozen=True):
    """Votes of one height as the store keeps them: the canonical bytes of an array of votes."""

    height: int
    raw: bytes


class SliceEnd(Struct, frozen=True, order=True):
    """How far a store has written the whole state again: `lap` times, and then all records whose keys are below `key`.

    Lap 0: not even once.
    """

    lap: int = 0
    key: bytes = b""


class StateSlice(Struct, frozen=True):
    """The next part of the state in key order, as it is after the batch. What the last lap has written again can go."""

    end: SliceEnd
    records: Mapping[bytes, bytes]  # all from where the slice before ended, but for those that changed
    count: int  # records in the whole state


class Batch(Struct, frozen=True, kw_only=True):
    """One atomic change of the store; the order of the fields is the order in which they are applied."""

    block: FinalBlock | None = None  # height = head + 1
    parties: tuple[tuple[Address, ...], ...] = ()  # of each of its transactions: whose history it belongs to
    block_stories: tuple[Story, ...] = ()  # of each of them, () of one never known here; () where none was
    sets: tuple[SetChange, ...] = ()  # of validators, by rising height: that of the height after the block, if another
    turn: Turn | None = None  # of the block
    state: Mapping[bytes, bytes | None] = {}  # changed state records; None deletes
    slice: StateSlice | None = None  # of the state with these changes
    clear_round: bool = False  # forget the round record and blocks of the height that became final
    round_record: bytes | None = None  # replaces the record of the height in progress
    round_blocks: tuple[tuple[Hash32, bytes], ...] = ()  # bodies that the record refers to
    pending_added: tuple[PendingTransaction, ...] = ()
    pending_removed: tuple[Hash32, ...] = ()
    left_unwritten: tuple[Hash32, ...] = ()  # left the pool too, and were never written: nothing is to be removed
    ended: tuple[TransactionStory, ...] = ()  # of transactions that left the pool and are not final
    refused: tuple[TransactionStory, ...] = ()  # of a client's that never came in
    evidence: tuple[bytes, ...] = ()
    prevotes: HeightVotes | None = None  # of a height that took more than one round; replaces those of that height
    prevotes_first: int = 0  # those of lower heights go
    halted: str = ""  # why this node votes no more, for good
    untrusted_above: int | None = None  # from now on, what lies above this height is not trusted
    is_trusted: bool = False  # all of it is trusted again


class Write(Struct, frozen=True):
    """Make a batch durable before the next effect runs."""

    batch: Batch


class Send(Struct, frozen=True):
    """One frame to each of these peers; a peer that is gone, or too slow, is not an error here."""

    peers: tuple[PeerId, ...]
    frame: bytes


class Broadcast(Struct, frozen=True):
    """An engine's word for "everybody should have this". The core's gossip turns it into `Send`; no driver sees it."""

    message: Proposal | Vote
    block: VerifiedBlock | None = None


class OffenceSeen(Struct, frozen=True):
    """Two messages that no correct validator signs, as often as they are seen. What becomes of it is the core's
    business (protocol §5.8); no driver sees it."""

    evidence: Evidence


class SetTimer(Struct, frozen=True):
    """Ask for `TimerFired(key)` after `delay_ms` on a monotonic clock."""

    key: TimerKey
    delay_ms: int


class Sign(Struct, frozen=True):
    """Ask for the signature of a structured message; answered by `Signed` or `SignRefused`.

    `key` is the one that the set of the message's height has for this validator; of an announcement, of the height in
    progress.
    """

    message: Signable
    key: PublicKey


class ProveVrf(Struct, frozen=True):
    """Ask for the VRF proof over (genesis hash, seed, height) with the key of that height; answered by `VrfProved`."""

    height: int
    round: int
    seed: Hash32
    key: PublicKey


class Penalize(Struct, frozen=True):
    """A peer broke a rule; how bad that is, follows from the reason (faults.py). The runtime keeps the score."""

    peer: PeerId
    reason: str
    why: str


class Dial(Struct, frozen=True):
    """Addresses ("host:port") that a peer told of and that are worth trying."""

    addresses: tuple[str, ...]
    teller: PeerId


class DialBack(Struct, frozen=True):
    """See who answers at an address, and hang up; answered by `DialledBack`.

    `remote` is the IP address that the peer who asks is connected from: what its address stands for may not be nearer.
    """

    peer: PeerId
    address: str
    remote: str


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


Effect = (
    Write
    | Send
    | Broadcast
    | OffenceSeen
    | SetTimer
    | Sign
    | ProveVrf
    | Penalize
    | Dial
    | DialBack
    | Reply
    | Halt
    | Emit
)
