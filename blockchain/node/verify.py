"""From a frame to a verified message: all that needs no state but the validator sets in play.

Pure, so that the runtime may call it in threads and the simulator inline. A peer answers for what it must check before
it passes a message on (docs/protocol.md §8.6): encoding, limits, signatures, membership. Whatever is wrong there is a
`PeerFault`; what merely belongs to another height is `Nothing`, or `Ahead` if it is a later one.

Three stages. The envelope, the limits and what the context knows come first, and are cheap. What can be checked of
blocks and transactions by their bytes alone (`stateless.py`) is nearly all of the work: `check_all` does it, here or in
other processes. Then the verified values are made of the bytes and of the ids that were found: nothing is hashed twice,
and decoded the second time without a check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import starmap
from typing import assert_never

from msgspec import Struct

from blockchain.consensus.evidence import accused, author_of, contradicts, is_well_formed, messages_of
from blockchain.errors import MalformedMessage, PeerFault
from blockchain.node.early import may_be_kept
from blockchain.node.messages import (
    Accuse,
    Ahead,
    Announce,
    Blocks,
    Dialled,
    DialMe,
    Fresh,
    GetBlocks,
    GetPeers,
    GetTime,
    Have,
    Message,
    Nothing,
    Peers,
    ProposedBlock,
    Status,
    Time,
    Transactions,
    Verified,
    VerifiedAnnouncement,
    VerifiedBlocks,
    VerifiedEvidence,
    VerifiedFresh,
    VerifiedOutline,
    VerifiedProposal,
    VerifiedTransactions,
    VerifiedVotes,
    Votes,
    Want,
    cost_of,
    decode_frame,
)
from blockchain.node.peers import LABORIOUS, UNBOUNDED, UNSIGNED_COST
from blockchain.node.stateless import (
    CheckAll,
    block_checks,
    check_here,
    checked_block,
    transaction_checks,
)
from blockchain.primitives import codec
from blockchain.primitives.block import Block, VerifiedBlock, block_id, decode_block
from blockchain.primitives.crypto import Address, Hash32, PublicKey, hashes_in
from blockchain.primitives.outline import check_outline, decode_outline, filled, given_in
from blockchain.primitives.transaction import Transaction, VerifiedTransaction, transaction_id, transaction_ids
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import (
    Announcement,
    ConflictingProposals,
    Evidence,
    Proposal,
    Signable,
    Vote,
    verify_message,
)


class VerifyContext(Struct, frozen=True):
    """What verification may know: a picture taken by the core, valid in any one thread at a time.

    `sets` holds the validator sets of the height in progress and the one before it. `known` gives a transaction that
    was verified before, so that no signature is checked twice. The rest spares a node the work on what it would drop:
    `forger` and `proposal` are the drawn forger and the known proposal of a round of this height, `outlined` is the one
    whose block is not whole yet, `round_max` the last round of which a proposal is of use now, `awaited` the height
    from which on this peer was asked for blocks, `holds` whether a vote is held to the byte, `is_news` whether an
    announcement is of use, `accused_key` the key that evidence of an offence at a height is signed with where it is of
    use, `left` what the peer may still send of a kind before the next tick, `owed` what it was asked for of it.
    """

    genesis_hash: Hash32
    height: int
    sets: Mapping[int, ValidatorSet]
    known: Callable[[Hash32], VerifiedTransaction | None]
    forger: Callable[[int], Address | None] = lambda _: None
    proposal: Callable[[int], Proposal | None] = lambda _: None
    outlined: Callable[[int], VerifiedOutline | None] = lambda _: None
    round_max: int = -1
    awaited: int = 0  # nothing
    holds: Callable[[Vote], bool] = lambda _: False
    is_news: Callable[[Announcement], bool] = lambda _: True
    accused_key: Callable[[int, Address], PublicKey | None] = lambda _height, _address: None
    left: Callable[[type[Message]], int] = lambda _: UNBOUNDED
    owed: Callable[[type[Message]], int] = lambda _: UNBOUNDED


def verify_frame(frame: bytes, context: VerifyContext, check_all: CheckAll = check_here) -> Verified:
    """Decode a frame and check it. Raises PeerFault, the same whoever does the checks."""
    try:
        envelope = decode_frame(frame)
    except MalformedMessage as error:
        raise PeerFault("malformed", str(error)) from None
    if envelope.genesis_hash != context.genesis_hash:
        raise PeerFault("wrong_chain", f"a message of chain {envelope.genesis_hash.hex()[:8]}")
    message = envelope.message
    kind, cost = type(message), cost_of(message)
    if kind in LABORIOUS and cost > context.left(kind):
        return Nothing(kind, cost)
    if cost > context.owed(kind):
        raise PeerFault("unasked", f"{kind.__name__} of {cost} where {context.owed(kind)} was asked for")
    match message:
        case Votes():
            return _verify_votes(message, frame, context)
        case ProposedBlock(proposal=proposal) if proposal.height > context.height:
            return Ahead(ProposedBlock, 1, proposal.height, frame if may_be_kept(frame) else None)
        case ProposedBlock():
            return _verify_proposal(message, context, check_all)
        case Transactions(transactions=raws):
            ids = transaction_ids(context.genesis_hash, raws)
            return VerifiedTransactions(_verify_transactions(raws, ids, context, check_all))
        case Fresh(transactions=raws):
            ids = transaction_ids(context.genesis_hash, raws)
            return VerifiedFresh(_verify_transactions(raws, ids, context, check_all))
        case Blocks():
            if message.first != context.awaited:
                return Nothing(Blocks)  # they come too late
            blocks = _verify_blocks(message.blocks, context, check_all)
            return VerifiedBlocks(message.first, blocks, message.certificate)
        case Announce():
            return _verify_announcement(message, context)
        case Accuse():
            return _verify_evidence(message.evidence, context)
        case Status() | Have() | Want() | GetBlocks() | GetPeers() | Peers():
            return message
        case GetTime() | Time() | DialMe() | Dialled():
            return message
        case _:
            assert_never(message)


# ------------------------------------------------------------------------------------------------ blocks


def verify_block(raw: bytes, context: VerifyContext, check_all: CheckAll = check_here) -> VerifiedBlock:
    """Decode a block, match body and header, check the signatures that are not known to be good. Raises PeerFault."""
    try:
        found = checked_block(raw, context.genesis_hash)
    except MalformedMessage as error:
        raise PeerFault("malformed", str(error)) from None
    transactions = _verify_transactions(found.block.transactions, found.transaction_ids, context, check_all)
    return VerifiedBlock(found.id, raw, found.block, transactions)


def _verify_blocks(raws: Sequence[bytes], context: VerifyContext, check_all: CheckAll) -> tuple[VerifiedBlock, ...]:
    """Blocks that this node has missed have new transactions: they are checked whole, wherever that is done."""
    if raws and _is_known(raws[0], context):
        return tuple(verify_block(raw, context, check_all) for raw in raws)
    ids: list[bytes] = []
    for found in check_all(block_checks(context.genesis_hash, raws)):
        for flaw in found.flaws:
            raise PeerFault(flaw.code, flaw.why)
        ids.extend(found.ids)
    return tuple(_made(raw, hashes_in(joined)) for raw, joined in zip(raws, ids, strict=True))


def _is_known(raw: bytes, context: VerifyContext) -> bool:
    """Whether this node has the first transaction of a block, and so most of those that follow."""
    try:
        first = decode_block(raw).transactions[:1]
    except MalformedMessage:
        return False  # whoever checks it says so
    return any(context.known(transaction_id(context.genesis_hash, each)) is not None for each in first)


def _made(raw: bytes, ids: Sequence[Hash32]) -> VerifiedBlock:
    """Of bytes that were checked, and the ids that were found in them: the block's own, then its transactions'."""
    block = codec.decode_again(raw, Block)
    transactions = codec.decode_all_again(block.transactions, Transaction)
    verified = starmap(VerifiedTransaction, zip(ids[1:], block.transactions, transactions, strict=True))
    return VerifiedBlock(ids[0], raw, block, tuple(verified))


def _verify_transactions(
    raws: Sequence[bytes], ids: Sequence[Hash32], context: VerifyContext, check_all: CheckAll
) -> tuple[VerifiedTransaction, ...]:
    """Those that were verified before as they are, the others checked."""
    held = [context.known(each) for each in ids]
    places = [at for at, known in enumerate(held) if known is None]
    unknown = [raws[at] for at in places]
    for found in check_all(transaction_checks(context.genesis_hash, unknown)):
        for flaw in found.flaws:
            raise PeerFault("bad_transaction", flaw.why)
    for at, transaction in zip(places, codec.decode_all_again(unknown, Transaction), strict=True):
        held[at] = VerifiedTransaction(ids[at], raws[at], transaction)
    return tuple(one for one in held if one is not None)


# ------------------------------------------------------------------------------------------------ votes and the rest


def _verify_votes(message: Votes, frame: bytes, context: VerifyContext) -> Verified:
    votes, held = [], []
    later = [vote.height for vote in message.votes if vote.height > context.height]
    ahead = Ahead(Votes, len(later), max(later), frame if may_be_kept(frame) else None) if later else None
    for vote in message.votes:
        if vote.height not in context.sets:
            continue
        if context.holds(vote):
            held.append(vote)
            continue
        _check_form(vote)
        _check_signed(vote, vote.validator, vote.height, context)
        votes.append(vote)
    if votes or held:
        return VerifiedVotes(tuple(votes), tuple(held), ahead)
    return ahead or Nothing(Votes, len(message.votes))


def _verify_proposal(message: ProposedBlock, context: VerifyContext, check_all: CheckAll) -> Verified:
    """The block comes last: it can cost a second, and only one of each drawn forger is worth that."""
    proposal = message.proposal
    if proposal.height != context.height or proposal.round > context.round_max:
        return Nothing(ProposedBlock)
    if proposal.forger != context.forger(proposal.round):
        raise PeerFault("wrong_forger", "a proposal of somebody who was not drawn")
    held = context.outlined(proposal.round)
    if held is not None and held.proposal == proposal and len(message.block) <= len(held.raw):
        return held  # nothing more is in it
    known = context.proposal(proposal.round)
    if known == proposal:
        return Nothing(ProposedBlock)  # each peer passes it on
    _check_signed(proposal, proposal.forger, proposal.height, context)
    if known is not None:
        evidence = ConflictingProposals(known, proposal)
        return VerifiedEvidence(evidence) if contradicts(evidence) else Nothing(ProposedBlock)
    return _verify_outline(message, context, check_all)


def _verify_outline(message: ProposedBlock, context: VerifyContext, check_all: CheckAll) -> Verified:
    """The block that a proposal names, as far as it came with it: nothing of it is believed before its header is."""
    try:
        outline = decode_outline(message.block)
        ids = check_outline(outline, context.genesis_hash)
    except MalformedMessage as error:
        raise PeerFault("malformed", str(error)) from None
    identifier = block_id(outline.header, context.genesis_hash)
    if identifier != message.proposal.block_id:
        raise PeerFault("wrong_block", "a proposal with another block than it names")
    given = given_in(outline)
    raws = [outline.entries[at] for at in given]
    bodies = _verify_transactions(raws, [ids[at] for at in given], context, check_all)
    if len(bodies) < len(ids):
        return VerifiedOutline(message.proposal, message.block, outline, ids, bodies)
    block = filled(outline, outline.entries)
    return VerifiedProposal(message.proposal, VerifiedBlock(identifier, message.block, block, bodies))


def _verify_announcement(message: Announce, context: VerifyContext) -> Verified:
    """It names no height: its validator may have joined, left or changed its key where its sender is already."""
    announcement = message.announcement
    if announcement.validator not in context.sets[context.height].index:
        return Nothing(Announce)
    if not context.is_news(announcement):
        return Nothing(Announce)  # no news
    members = (validators.get(announcement.validator) for validators in context.sets.values())
    keys = dict.fromkeys(member.key for member in members if member is not None)  # at a switch there are two
    is_signed = any(verify_message(announcement, key, context.genesis_hash) for key in keys)
    return VerifiedAnnouncement(announcement) if is_signed else Nothing(Announce, UNSIGNED_COST)


def _verify_evidence(evidence: Evidence, context: VerifyContext) -> Verified:
    """Both messages signed by the one validator, and contradicting each other."""
    first, second = messages_of(evidence)
    if first.height != second.height or author_of(first) != author_of(second):
        raise PeerFault("bad_evidence", "evidence of different heights or validators")
    if not contradicts(evidence):
        raise PeerFault("bad_evidence", "evidence of two messages that do not contradict each other")
    key = context.accused_key(*accused(evidence))
    if key is None:
        return Nothing(Accuse)  # known, of no use, or its sender is a block ahead
    for message in (first, second):
        if not verify_message(message, key, context.genesis_hash):
            raise PeerFault("bad_signature", "evidence with a signature that is not the validator's")
    return VerifiedEvidence(evidence)


def _check_form(vote: Vote) -> None:
    if not is_well_formed(vote):
        raise PeerFault("bad_vote", "a vote with a polka round that it cannot have")


def _check_signed(message: Signable, author: Address, height: int, context: VerifyContext) -> None:
    validator = context.sets[height].get(author)
    if validator is None:
        raise PeerFault("not_a_validator", f"a message of somebody who is no validator of height {height}")
    if not verify_message(message, validator.key, context.genesis_hash):
        raise PeerFault("bad_signature", "a message of a validator whose signature does not verify")
