"""The messages of the wire, and what becomes of them once they are verified (docs/protocol.md §8).

One envelope: genesis hash, then the message under its tag; everything is an array with named maxima, so that the
decoder itself bounds what a peer can make this node hold.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX, VerifiedBlock
from blockchain.primitives.crypto import HASH_BYTES, Hash32
from blockchain.primitives.outline import Outline
from blockchain.primitives.scalars import VALIDATORS_MAX, HashField, Height, Round, TimeMs
from blockchain.primitives.transaction import RawTransaction, VerifiedTransaction
from blockchain.primitives.vote import Announcement, Certificate, Evidence, Proposal, Step, Vote, VoteStep
from blockchain.seams import DialOutcome

FRAME_BYTES_MAX: Final = BLOCK_BYTES_MAX + 1024 * 1024  # the longest block, and the certificate of the largest set
ROUNDS_MAX: Final = 16  # of which one status tells what is held
TALLIES_MAX: Final = 8  # nil and three values in each step: more are only there where many vote twice
VOTES_MAX: Final = 1_000
IDS_MAX: Final = 5_000
TRANSACTIONS_MAX: Final = 1_000
FRESH_MAX: Final = 10  # transfers in a frame of 2 KB, which is verified where it is read
BLOCKS_MAX: Final = 100
ADDRESSES_MAX: Final = 64
BITMAP_BYTES_MAX: Final = VALIDATORS_MAX // 8 + 1

Bitmap = Annotated[bytes, Meta(max_length=BITMAP_BYTES_MAX)]
RawBlock = Annotated[bytes, Meta(min_length=1, max_length=BLOCK_BYTES_MAX)]
ListenAddress = Annotated[str, Meta(min_length=3, max_length=261)]


class Tally(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Whose votes for one value (None: nil) in one step a node holds: a bit for each validator, in set order."""

    step: VoteStep
    block_id: HashField | None
    voters: Bitmap


class Holdings(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a node has of one round. By value, since who votes twice must not hide the one vote behind the other."""

    round: Round
    has_proposal: bool
    tallies: Annotated[tuple[Tally, ...], Meta(max_length=TALLIES_MAX)]


class Status(Struct, frozen=True, array_like=True, tag="status", forbid_unknown_fields=True):
    """Where a node is. Sent on connecting, on change and each second, idle too."""

    height: Height
    round: Round
    step: Step
    rounds: Annotated[tuple[Holdings, ...], Meta(max_length=ROUNDS_MAX)]


class Votes(Struct, frozen=True, array_like=True, tag="votes", forbid_unknown_fields=True):
    votes: Annotated[tuple[Vote, ...], Meta(min_length=1, max_length=VOTES_MAX)]


class ProposedBlock(Struct, frozen=True, array_like=True, tag="proposed", forbid_unknown_fields=True):
    """`block` is an outline: ids may stand for transactions. A whole block is one without ids."""

    proposal: Proposal
    block: RawBlock


class Have(Struct, frozen=True, array_like=True, tag="have", forbid_unknown_fields=True):
    """Ids of pending transactions that the sender holds."""

    ids: Annotated[tuple[HashField, ...], Meta(min_length=1, max_length=IDS_MAX)]


class Want(Struct, frozen=True, array_like=True, tag="want", forbid_unknown_fields=True):
    ids: Annotated[tuple[HashField, ...], Meta(min_length=1, max_length=TRANSACTIONS_MAX)]


class Transactions(Struct, frozen=True, array_like=True, tag="transactions", forbid_unknown_fields=True):
    transactions: Annotated[tuple[RawTransaction, ...], Meta(min_length=1, max_length=TRANSACTIONS_MAX)]


class Fresh(Struct, frozen=True, array_like=True, tag="fresh", forbid_unknown_fields=True):
    """Transactions that a client has just handed in, unasked."""

    transactions: Annotated[tuple[RawTransaction, ...], Meta(min_length=1, max_length=FRESH_MAX)]


class GetBlocks(Struct, frozen=True, array_like=True, tag="get_blocks", forbid_unknown_fields=True):
    first: Height
    count: Annotated[int, Meta(ge=1, le=BLOCKS_MAX)]


class Blocks(Struct, frozen=True, array_like=True, tag="blocks", forbid_unknown_fields=True):
    """Consecutive blocks from `first` on; each proves the one before it, `certificate` the last. Empty: none."""

    first: Height
    blocks: Annotated[tuple[RawBlock, ...], Meta(max_length=BLOCKS_MAX)]
    certificate: Certificate | None


class GetPeers(Struct, frozen=True, array_like=True, tag="get_peers", forbid_unknown_fields=True):
    pass


class Peers(Struct, frozen=True, array_like=True, tag="peers", forbid_unknown_fields=True):
    """Addresses ("host:port") at which nodes of this chain say that they listen."""

    addresses: Annotated[tuple[ListenAddress, ...], Meta(max_length=ADDRESSES_MAX)]


class Announce(Struct, frozen=True, array_like=True, tag="announce", forbid_unknown_fields=True):
    announcement: Announcement


class Accuse(Struct, frozen=True, array_like=True, tag="accuse", forbid_unknown_fields=True):
    evidence: Evidence


class GetTime(Struct, frozen=True, array_like=True, tag="get_time", forbid_unknown_fields=True):
    """What time is it? `asked_ms` is the time of who asks, and comes back with the answer."""

    asked_ms: TimeMs


class Time(Struct, frozen=True, array_like=True, tag="time", forbid_unknown_fields=True):
    asked_ms: TimeMs
    time_ms: TimeMs


class DialMe(Struct, frozen=True, array_like=True, tag="dial_me", forbid_unknown_fields=True):
    """Can you dial me where I say that I listen?"""


class Dialled(Struct, frozen=True, array_like=True, tag="dialled", forbid_unknown_fields=True):
    outcome: DialOutcome


Message = (
    Status
    | Votes
    | ProposedBlock
    | Have
    | Want
    | Transactions
    | Fresh
    | GetBlocks
    | Blocks
    | GetPeers
    | Peers
    | Announce
    | Accuse
    | GetTime
    | Time
    | DialMe
    | Dialled
)


class Envelope(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    genesis_hash: HashField
    message: Message


def encode_frame(genesis_hash: Hash32, message: Message) -> bytes:
    """The canonical bytes of one message on the wire."""
    return codec.encode(Envelope(genesis_hash, message))


def decode_frame(frame: bytes) -> Envelope:
    """Raises MalformedMessage."""
    return codec.decode(frame, Envelope, bytes_max=FRAME_BYTES_MAX)


def is_of_blocks(frame: bytes) -> bool:
    """Whether a frame says in its first bytes that it holds `Blocks`; nothing else of it is looked at."""
    return frame.startswith(_BLOCKS, _MESSAGE_AT)


def is_about_transactions(frame: bytes) -> bool:
    """Whether a frame says in its first bytes that it offers, asks for or holds transactions."""
    return frame.startswith(_OF_TRANSACTIONS, _MESSAGE_AT)


def is_of_ids(frame: bytes) -> bool:
    """Whether a frame says in its first bytes that it offers transactions or asks for some: ids, and nothing signed."""
    return frame.startswith(_OF_IDS, _MESSAGE_AT)


_NOTHING: Final = Hash32(bytes(HASH_BYTES))
_NO_BLOCKS: Final = codec.encode(Blocks(1, (), None))
_BLOCKS: Final = _NO_BLOCKS[:-3]  # their kind: what they hold takes a byte each here
_MESSAGE_AT: Final = len(encode_frame(_NOTHING, Blocks(1, (), None))) - len(_NO_BLOCKS)
_OF_TRANSACTIONS: Final = tuple(
    codec.encode(one)[: -len(codec.encode(held))]
    for held, one in (
        ((_NOTHING,), Have((_NOTHING,))),
        ((_NOTHING,), Want((_NOTHING,))),
        ((b"t",), Transactions((b"t",))),
        ((b"t",), Fresh((b"t",))),
    )
)
_OF_IDS: Final = _OF_TRANSACTIONS[:2]

# ------------------------------------------------------------------------------------------ after verification


class Ahead(Struct, frozen=True):
    """A message of a height that is not begun here; nothing in its bytes was verified.

    `kind` and `cost` are the message's, as far as nothing else of it was of use. `frame` is None where it is too large
    to be kept until its height begins: a block of megabytes does not wait for the core in vain.
    """

    kind: type[Message]
    cost: int
    height: int
    frame: bytes | None


class VerifiedVotes(Struct, frozen=True):
    """Votes of the height in progress or the one before it, each by a member of its set and signed.

    `held` are those that this node holds to the byte: nothing in them was verified again. `ahead` stands for those of
    a height that is not begun here.
    """

    votes: tuple[Vote, ...]
    held: tuple[Vote, ...] = ()
    ahead: Ahead | None = None


class VerifiedProposal(Struct, frozen=True):
    """A proposal signed by a member of the set, with the block it names, body and signatures checked."""

    proposal: Proposal
    block: VerifiedBlock


class VerifiedOutline(Struct, frozen=True):
    """A proposal signed by a member of the set, and an outline of the block it names, whose body is its header's.

    `ids` are those of all its transactions, in their order; `bodies` the transactions that came with it, signatures
    checked. At least one did not; `raw` is the outline as it came.
    """

    proposal: Proposal
    raw: bytes
    outline: Outline
    ids: tuple[Hash32, ...]
    bodies: tuple[VerifiedTransaction, ...]


class VerifiedTransactions(Struct, frozen=True):
    transactions: tuple[VerifiedTransaction, ...]


class VerifiedFresh(Struct, frozen=True):
    transactions: tuple[VerifiedTransaction, ...]


class VerifiedBlocks(Struct, frozen=True):
    """Blocks whose bodies match their headers and whose transactions are signed; certificates still unchecked."""

    first: int
    blocks: tuple[VerifiedBlock, ...]
    certificate: Certificate | None


class VerifiedAnnouncement(Struct, frozen=True):
    announcement: Announcement


class VerifiedEvidence(Struct, frozen=True):
    evidence: Evidence


class Nothing(Struct, frozen=True):
    """A message that is of no use here and nobody's fault: of another height, or empty once checked.

    `kind` and `cost` are the message's, since it counts all the same.
    """

    kind: type[Message]
    cost: int = 1


Verified = (
    Ahead
    | VerifiedVotes
    | VerifiedProposal
    | VerifiedOutline
    | VerifiedTransactions
    | VerifiedFresh
    | VerifiedBlocks
    | VerifiedAnnouncement
    | VerifiedEvidence
    | Status
    | Have
    | Want
    | GetBlocks
    | GetPeers
    | Peers
    | GetTime
    | Time
    | DialMe
    | Dialled
    | Nothing
)


_KINDS: Final[dict[type, type[Message]]] = {
    VerifiedVotes: Votes,
    VerifiedProposal: ProposedBlock,
    VerifiedOutline: ProposedBlock,
    VerifiedTransactions: Transactions,
    VerifiedFresh: Fresh,
    VerifiedBlocks: Blocks,
    VerifiedAnnouncement: Announce,
    VerifiedEvidence: Accuse,  # or a second proposal of a round, which is one
}


def kind_of(message: Message | Verified) -> type[Message]:
    """The kind that a message came as."""
    if isinstance(message, Nothing | Ahead):
        return message.kind
    came_as = _KINDS.get(type(message))
    if came_as is not None:
        return came_as
    assert isinstance(message, Message), "each verified form stands for a kind"
    return type(message)


def cost_of(message: Message | Verified) -> int:
    """What a message counts as towards the allowance of its kind: its entries, else one."""
    match message:
        case Votes(votes=votes):
            return len(votes)
        case VerifiedVotes(votes=votes, held=held, ahead=ahead):
            return len(votes) + len(held) + (0 if ahead is None else ahead.cost)
        case Transactions(transactions=transactions) | Fresh(transactions=transactions):
            return len(transactions)
        case VerifiedTransactions(transactions=verified) | VerifiedFresh(transactions=verified):
            return len(verified)
        case Have(ids=ids) | Want(ids=ids):
            return len(ids)
        case Nothing(cost=cost) | Ahead(cost=cost):
            return cost
        case _:
            return 1
