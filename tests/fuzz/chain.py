"""Valid things of one small chain, for targets to begin with; and how a changed one is made whole again.

Keys are those of the tests, so whatever a mutation does to a message of a validator here can be signed again: what is
tried is what a validator with a modified node could send, and not only what a stranger could.
"""

from __future__ import annotations

from random import Random
from typing import Final, TypeVar

import msgspec
from msgspec.structs import replace

from blockchain.errors import MalformedMessage
from blockchain.node.messages import (
    Accuse,
    Announce,
    Blocks,
    Dialled,
    DialMe,
    Fresh,
    GetBlocks,
    GetPeers,
    GetTime,
    Have,
    Holdings,
    Message,
    Peers,
    ProposedBlock,
    Status,
    Tally,
    Time,
    Transactions,
    Votes,
    Want,
    decode_frame,
    encode_frame,
)
from blockchain.primitives import codec
from blockchain.primitives.block import (
    BLOCK_BYTES_MAX,
    Block,
    block_id,
    decode_block,
    evidence_root,
    transaction_root,
)
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.outline import is_id, outline_of
from blockchain.primitives.transaction import decode_transaction, prove_possession, sign_transaction, transaction_id
from blockchain.primitives.vote import (
    Announcement,
    Certificate,
    ConflictingProposals,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Proposal,
    Signable,
    Step,
    Vote,
    VoteStep,
    certificate_hash,
    precommit_of,
    sign_message,
)
from tests.node.test_verify import HEIGHT, KEYS, SET, WHO, block_of, proposal
from tests.samples import (
    BLOCK_A,
    BLOCK_B,
    GENESIS_HASH,
    PRECOMMIT,
    PREVOTE,
    TIME_MS,
    address,
    certificate_of,
    key,
    vote,
    wallet,
)

Signed = TypeVar("Signed", Vote, Proposal, Announcement)

_HOLDERS: Final = {Address(held.public_key): held for held in (*KEYS, *(key(name) for name in "abv"))}
_PROOF: Final = prove_possession(key("v"), Address(key("a").public_key), 2, GENESIS_HASH)


def _author_of(message: Signable) -> Address:
    return Address(message.forger if isinstance(message, Proposal) else message.validator)


def _signed(message: Signed) -> Signed:
    holder = _HOLDERS.get(_author_of(message))
    if holder is None:
        return message
    done = sign_message(message, holder, GENESIS_HASH)
    assert isinstance(done, type(message))
    return done


TRANSACTIONS: Final = (
    wallet("a").transfer(address("b"), 1, 0),
    wallet("a").exchange(address("b"), 5, 1, fee=2, expiry=9),
    wallet("a").stake(7, 2, validator_key=key("v").public_key, proof=_PROOF),
    wallet("b").stake(7, 0),
    wallet("b").unstake(3, 1),
    wallet("a").rotate(key("v").public_key, _PROOF, 2),
    wallet("v").pause(4, 0),
    wallet("v").resume(1),
)
_EARLIER: Final = vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_A)
EVIDENCE: Final[tuple[Evidence, ...]] = (
    ConflictingVotes(_EARLIER, vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_B)),
    ConflictingProposals(proposal(), proposal(block_of())),
    ForgottenLock(vote(KEYS[1], HEIGHT, PRECOMMIT, BLOCK_A), vote(KEYS[1], HEIGHT, PREVOTE, BLOCK_B, round=1)),
)
CERTIFICATES: Final = (
    certificate_of(dict(enumerate(KEYS)), HEIGHT, BLOCK_A),
    Certificate(HEIGHT, 1, BLOCK_B, ()),
)
BLOCKS: Final = (block_of(), block_of(TRANSACTIONS[0]), block_of(*TRANSACTIONS))
OUTLINES: Final = tuple(
    outline_of(BLOCKS[2], ids.__contains__)
    for ids in (set[bytes](), {one.id for one in TRANSACTIONS}, {TRANSACTIONS[1].id, TRANSACTIONS[4].id})
)
_TALLY: Final = Tally(VoteStep.PREVOTE, BLOCK_A, b"\x07")
_MESSAGES: Final[tuple[Message, ...]] = (
    Status(HEIGHT, 1, Step.PREVOTE, (Holdings(0, True, (_TALLY, replace(_TALLY, block_id=None))),)),
    Votes((_EARLIER, vote(KEYS[1], HEIGHT, PRECOMMIT, None), vote(KEYS[2], HEIGHT, PREVOTE, BLOCK_A, polka_round=-1))),
    ProposedBlock(proposal(BLOCKS[1]), BLOCKS[1].raw),
    ProposedBlock(proposal(BLOCKS[0], 1, 1), BLOCKS[0].raw),
    ProposedBlock(proposal(BLOCKS[2]), OUTLINES[1]),
    Have((BLOCK_A, BLOCK_B)),
    Want((BLOCK_A,)),
    Transactions(tuple(one.raw for one in TRANSACTIONS)),
    Fresh(tuple(one.raw for one in TRANSACTIONS)),
    GetBlocks(1, 100),
    Blocks(HEIGHT, (BLOCKS[2].raw, BLOCKS[0].raw), CERTIFICATES[0]),
    GetPeers(),
    Peers(("host:1", "[::1]:8010")),
    Announce(_signed(Announcement(WHO[0], 1, TIME_MS))),
    *(Accuse(one) for one in EVIDENCE),
    GetTime(TIME_MS),
    Time(TIME_MS, TIME_MS),
    DialMe(),
    Dialled("reached"),
)
FRAMES: Final = tuple(encode_frame(GENESIS_HASH, message) for message in _MESSAGES)


def resigned(frame: bytes) -> bytes:
    """The frame with every signature made anew where the author's key is at hand, and every block made to fit its
    header; as it was where it does not decode."""
    try:
        message = decode_frame(frame).message
    except MalformedMessage:
        return frame
    match message:
        case Votes(votes=votes):
            message = Votes(tuple(_signed(one) for one in votes))
        case ProposedBlock(proposal=proposed, block=raw):
            whole = with_roots(raw)
            try:
                identifier = block_id(decode_block(whole).header, GENESIS_HASH)
            except MalformedMessage:
                identifier = Hash32(proposed.block_id)
            message = ProposedBlock(_signed(replace(proposed, block_id=identifier)), whole)
        case Transactions(transactions=raws) | Fresh(transactions=raws):
            message = replace(message, transactions=tuple(resigned_transaction(raw) for raw in raws))
        case Blocks(blocks=blocks):
            message = replace(message, blocks=tuple(with_roots(raw) for raw in blocks))
        case Announce(announcement=announcement):
            message = Announce(_signed(announcement))
        case Accuse(evidence=evidence):
            parts = {name: _signed(part) for name, part in msgspec.structs.asdict(evidence).items()}
            message = Accuse(replace(evidence, **parts))
        case _:
            pass
    return encode_frame(GENESIS_HASH, message)


def resigned_transaction(raw: bytes) -> bytes:
    try:
        transaction = decode_transaction(raw)
    except MalformedMessage:
        return raw
    holder = _HOLDERS.get(transaction.sender)
    return raw if holder is None else codec.encode(sign_transaction(transaction, holder, GENESIS_HASH))


def with_roots(raw: bytes) -> bytes:
    """A block, or an outline, whose header commits to its body, whose transactions are signed again."""
    try:
        block = codec.decode(raw, Block, bytes_max=BLOCK_BYTES_MAX)
    except MalformedMessage:
        return raw
    transactions = tuple(resigned_transaction(one) for one in block.transactions)
    header = replace(
        block.header,
        transaction_count=len(transactions),
        evidence_count=len(block.evidence),
        transaction_root=transaction_root([_id_of(one) for one in transactions]),
        evidence_root=evidence_root(block.evidence, GENESIS_HASH),
        parent_certificate_hash=certificate_hash(block.parent_certificate, GENESIS_HASH),
    )
    return codec.encode(replace(block, header=header, transactions=transactions))


def _id_of(entry: bytes) -> bytes:
    return entry if is_id(entry) else transaction_id(GENESIS_HASH, entry)


def resigned_certificate(raw: bytes, rng: Random) -> bytes:
    """Signed again by those whom it names, and now and then in another order."""
    try:
        certificate = codec.decode(raw, Certificate, bytes_max=BLOCK_BYTES_MAX)
    except MalformedMessage:
        return raw
    entries = []
    for entry in certificate.precommits:
        if entry.index < len(SET):
            unsigned = precommit_of(certificate, SET.validators[entry.index].address, entry.signature)
            entry = replace(entry, signature=_signed(unsigned).signature)
        entries.append(entry)
    if rng.random() < 0.2:
        rng.shuffle(entries)
    return codec.encode(replace(certificate, precommits=tuple(entries)))
