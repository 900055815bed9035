"""From a frame to a verified message: each thing that a peer answers for, by its reason, and what is nobody's fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from blockchain.errors import PeerFault
from blockchain.node import verify as verify_module
from blockchain.node.messages import (
    FRAME_BYTES_MAX,
    Accuse,
    Ahead,
    Announce,
    Blocks,
    Dialled,
    DialMe,
    Envelope,
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
    VerifiedAnnouncement,
    VerifiedBlocks,
    VerifiedEvidence,
    VerifiedProposal,
    VerifiedTransactions,
    VerifiedVotes,
    Votes,
    Want,
    cost_of,
    decode_frame,
    encode_frame,
    kind_of,
)
from blockchain.node.peers import UNSIGNED_COST
from blockchain.node.verify import VerifyContext, verify_block, verify_frame
from blockchain.primitives import codec
from blockchain.primitives.block import Block, Header, VerifiedBlock, block_id, evidence_root, transaction_root
from blockchain.primitives.crypto import Address, Hash32, PublicKey, Signature, SigningKey
from blockchain.primitives.transaction import VerifiedTransaction, transaction_id
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import (
    Announcement,
    Certificate,
    ConflictingProposals,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Proposal,
    Step,
    Vote,
    certificate_hash,
    sign_message,
)
from tests.samples import (
    BLOCK_A,
    BLOCK_B,
    GENESIS_HASH,
    OTHER_CHAIN,
    PRECOMMIT,
    PREVOTE,
    TIME_MS,
    address,
    key,
    set_of,
    signed,
    vote,
    wallet,
)

HEIGHT = 7
SET, KEYS = set_of([1, 1, 1])
OLDER, OLDER_KEYS = set_of([1, 1])
JOINED = next(held for held in KEYS if held not in OLDER_KEYS)
WHO = [Address(held.public_key) for held in KEYS]
STRANGER = key("stranger")
ZERO = Hash32(bytes(32))
PAY = wallet("a").transfer(address("b"), 1, 0)
NO_CERTIFICATE = Certificate(HEIGHT - 1, 0, BLOCK_A, ())


def context(**changes: Any) -> VerifyContext:
    """Height 7, where validator r forges round r, up to round 2; nothing is known, nothing was asked for."""
    plain: dict[str, Any] = {
        "genesis_hash": GENESIS_HASH,
        "height": HEIGHT,
        "sets": {HEIGHT: SET, HEIGHT - 1: OLDER},
        "known": lambda _: None,
        "forger": lambda round: WHO[round % 3],
        "round_max": 2,
        "accused_key": key_of,
    }
    return VerifyContext(**(plain | changes))


def key_of(height: int, who: Address) -> PublicKey | None:
    """What the pool of evidence says of these two heights and sets."""
    validators = {HEIGHT: SET, HEIGHT - 1: OLDER}.get(height)
    validator = None if validators is None else validators.get(who)
    return None if validator is None else validator.key


def verified(message: Message, **changes: Any) -> Any:
    return verify_frame(encode_frame(GENESIS_HASH, message), context(**changes))


def fault(message: Message, **changes: Any) -> str:
    with pytest.raises(PeerFault) as caught:
        verified(message, **changes)
    assert caught.value.code == "peer_fault" and caught.value.why
    return caught.value.reason


def block_of(*transactions: VerifiedTransaction, **changes: Any) -> VerifiedBlock:
    header = Header(
        version=1,
        height=HEIGHT,
        round=0,
        seed=ZERO,
        time_ms=TIME_MS,
        parent=BLOCK_A,
        forger=WHO[0],
        vrf_proof=bytes(80),
        transaction_root=transaction_root([each.id for each in transactions]),
        state_root=ZERO,
        validators_hash=ZERO,
        next_validators_hash=ZERO,
        evidence_root=evidence_root((), GENESIS_HASH),
        parent_certificate_hash=certificate_hash(NO_CERTIFICATE, GENESIS_HASH),
        transaction_count=len(transactions),
        evidence_count=0,
    )
    block = Block(replace(header, **changes), tuple(each.raw for each in transactions), (), NO_CERTIFICATE)
    return VerifiedBlock(block_id(block.header, GENESIS_HASH), codec.encode(block), block, transactions)


BLOCK = block_of(PAY)


def proposal(block: VerifiedBlock = BLOCK, round: int = 0, by: int = 0, **changes: Any) -> Proposal:
    unsigned = Proposal(HEIGHT, round, -1, block.id, WHO[by])
    return signed(replace(unsigned, **changes), KEYS[by])


# ------------------------------------------------------------------------------------------------ frames


@pytest.mark.parametrize(
    "message",
    [
        Status(HEIGHT, 0, Step.PROPOSE, ()),
        Have((BLOCK_A,)),
        Want((BLOCK_A,)),
        GetBlocks(1, 100),
        GetPeers(),
        Peers(("host:1",)),
        GetTime(1),
        Time(1, 2),
        DialMe(),
        Dialled("reached"),
    ],
)
def test_what_needs_no_check_comes_through(message: Message) -> None:
    assert verified(message) == message
    assert decode_frame(encode_frame(GENESIS_HASH, message)) == Envelope(GENESIS_HASH, message)


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"\x00" * 100, encode_frame(GENESIS_HASH, GetPeers()) + b"\x00"])
def test_garbage_is_malformed(frame: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        verify_frame(frame, context())
    assert caught.value.reason == "malformed"


def test_a_frame_of_another_chain() -> None:
    with pytest.raises(PeerFault) as caught:
        verify_frame(encode_frame(OTHER_CHAIN, GetPeers()), context())
    assert caught.value.reason == "wrong_chain"


OUT_OF_BOUNDS: dict[str, Callable[[], Message]] = {
    "no votes": lambda: Votes(()),
    "too many votes": lambda: Votes((vote(KEYS[0], HEIGHT, PREVOTE, None),) * 1_001),
    "no ids": lambda: Have(()),
    "too many ids": lambda: Have((BLOCK_A,) * 5_001),
    "a short id": lambda: Want((Hash32(bytes(31)),)),
    "too many wants": lambda: Want((BLOCK_A,) * 1_001),
    "no transactions": lambda: Transactions(()),
    "an empty transaction": lambda: Transactions((b"",)),
    "too many blocks asked for": lambda: GetBlocks(1, 101),
    "no blocks asked for": lambda: GetBlocks(1, 0),
    "too many blocks": lambda: Blocks(1, (b"\x00",) * 101, None),
    "too many addresses": lambda: Peers(("host:1",) * 65),
    "a long address": lambda: Peers(("h" * 262,)),
    "an outcome that is none": lambda: Dialled("perhaps"),  # type: ignore[arg-type]
    "a time that is none": lambda: Time(1, -1),
    "a negative height": lambda: Status(-1, 0, Step.PROPOSE, ()),
}


@pytest.mark.parametrize("make", OUT_OF_BOUNDS.values(), ids=OUT_OF_BOUNDS.keys())
def test_what_is_out_of_bounds_is_malformed(make: Callable[[], Message]) -> None:
    assert fault(make()) == "malformed"


def test_a_frame_that_is_too_long_is_malformed() -> None:
    with pytest.raises(PeerFault, match="more than"):
        verify_frame(bytes(FRAME_BYTES_MAX + 1), context())


# ------------------------------------------------------------------------------------------------ transactions


def test_transactions_are_verified() -> None:
    assert verified(Transactions((PAY.raw,))) == VerifiedTransactions((PAY,))


@pytest.mark.parametrize(
    "raw",
    [
        b"\x00",
        PAY.raw[:-1],
        PAY.raw + b"\x00",
        PAY.raw[:-1] + bytes([PAY.raw[-1] ^ 1]),
        wallet("a", OTHER_CHAIN).transfer(address("b"), 1, 0).raw,
    ],
    ids=["garbage", "short", "long", "a bit", "another chain's"],
)
def test_one_bad_transaction_is_its_peers_fault(raw: bytes) -> None:
    assert fault(Transactions((PAY.raw, raw))) == "bad_transaction"


def test_no_signature_is_checked_twice() -> None:
    """A known id stands for bytes that were verified: another signature would be another id."""
    asked: list[Hash32] = []

    def known(transaction_id: Hash32) -> VerifiedTransaction:
        asked.append(transaction_id)
        return PAY

    assert verified(Transactions((PAY.raw,)), known=known).transactions[0] is PAY
    assert asked == [PAY.id]


# ------------------------------------------------------------------------------------------------ blocks


def test_a_range_that_was_asked_for_is_verified() -> None:
    message = Blocks(HEIGHT, (BLOCK.raw,), NO_CERTIFICATE)
    assert verified(message, awaited=HEIGHT) == VerifiedBlocks(HEIGHT, (BLOCK,), NO_CERTIFICATE)
    assert verified(Blocks(HEIGHT, (), None), awaited=HEIGHT) == VerifiedBlocks(HEIGHT, (), None)
    assert verified(message) == verified(message, awaited=HEIGHT + 1) == Nothing(Blocks)


BAD_BLOCKS = {
    "garbage": (b"\x90", "malformed"),
    "another body": (codec.encode(replace(BLOCK.block, transactions=())), "malformed"),
    "a certificate that is not the header's": (
        codec.encode(replace(BLOCK.block, parent_certificate=replace(NO_CERTIFICATE, round=1))),
        "malformed",
    ),
    "an unsigned transaction": (
        block_of(replace(PAY, id=Hash32(b"\x01" * 32))).raw,
        "malformed",
    ),
    "too long": (bytes(10), "malformed"),
}


@pytest.mark.parametrize("raw, reason", BAD_BLOCKS.values(), ids=BAD_BLOCKS.keys())
def test_a_bad_block_is_its_peers_fault(raw: bytes, reason: str) -> None:
    assert fault(Blocks(HEIGHT, (BLOCK.raw, raw), None), awaited=HEIGHT) == reason
    with pytest.raises(PeerFault):
        verify_block(raw, context())


def test_a_block_with_a_transaction_that_is_not_signed() -> None:
    raw = PAY.raw[:-64] + bytes(64)
    forged = VerifiedTransaction(transaction_id(GENESIS_HASH, raw), raw, PAY.transaction)
    assert fault(Blocks(HEIGHT, (block_of(forged).raw,), None), awaited=HEIGHT) == "bad_transaction"


# ------------------------------------------------------------------------------------------------ votes


def test_votes_of_this_height_and_the_one_before_are_verified() -> None:
    now, before = (
        vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_A, round=3, polka_round=2),
        vote(OLDER_KEYS[0], HEIGHT - 1, PRECOMMIT, BLOCK_B),
    )
    assert verified(Votes((now, before))) == VerifiedVotes((now, before))


def test_votes_of_other_heights_are_left_out() -> None:
    now = vote(KEYS[0], HEIGHT, PREVOTE, None)
    others = [vote(STRANGER, height, PREVOTE, None) for height in (0, 1, HEIGHT - 2)]
    assert verified(Votes((others[0], now, *others[1:]))) == VerifiedVotes((now,))
    assert verified(Votes(tuple(others))) == Nothing(Votes, 3)


@pytest.mark.parametrize(
    "bad, reason",
    [
        (vote(STRANGER, HEIGHT, PREVOTE, None), "not_a_validator"),
        (vote(JOINED, HEIGHT - 1, PRECOMMIT, BLOCK_A), "not_a_validator"),
        (replace(vote(KEYS[0], HEIGHT, PREVOTE, None), validator=WHO[1]), "bad_signature"),
        (replace(vote(KEYS[0], HEIGHT, PREVOTE, None), block_id=BLOCK_A), "bad_signature"),
        (vote(KEYS[0], HEIGHT, PREVOTE, None, genesis_hash=OTHER_CHAIN), "bad_signature"),
        (vote(KEYS[0], HEIGHT, PREVOTE, None, polka_round=0), "bad_vote"),
        (vote(KEYS[0], HEIGHT, PRECOMMIT, BLOCK_A, polka_round=0, round=3), "bad_vote"),
        (vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_A, polka_round=3, round=3), "bad_vote"),
        (vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_A, polka_round=0), "bad_vote"),
        (replace(vote(KEYS[0], HEIGHT, PREVOTE, None), signature=Signature(bytes(64))), "bad_signature"),
    ],
)
def test_one_bad_vote_is_its_peers_fault(bad: Vote, reason: str) -> None:
    assert fault(Votes((vote(KEYS[1], HEIGHT, PREVOTE, None), bad))) == reason


# ------------------------------------------------------------------------------------------------ proposals


def test_a_proposal_comes_with_its_verified_block() -> None:
    assert verified(ProposedBlock(proposal(), BLOCK.raw)) == VerifiedProposal(proposal(), BLOCK)


def test_what_is_of_a_later_height_is_told_apart_and_not_looked_into() -> None:
    now = vote(KEYS[0], HEIGHT, PREVOTE, None)
    later = [vote(STRANGER, HEIGHT + ahead, PREVOTE, None) for ahead in (1, 2)]
    alone, mixed = Votes(tuple(later)), Votes((now, later[0]))
    assert verified(alone) == Ahead(Votes, 2, HEIGHT + 2, encode_frame(GENESIS_HASH, alone))
    both = verified(mixed)
    assert both == VerifiedVotes((now,), (), Ahead(Votes, 1, HEIGHT + 1, encode_frame(GENESIS_HASH, mixed)))
    assert (kind_of(both), cost_of(both)) == (Votes, 2)
    proposed = ProposedBlock(proposal(height=HEIGHT + 1), b"\xc1")
    assert verified(proposed) == Ahead(ProposedBlock, 1, HEIGHT + 1, encode_frame(GENESIS_HASH, proposed))


@pytest.mark.parametrize("change", [{"height": HEIGHT - 1}, {"round": 3}])
def test_a_proposal_that_is_of_no_use_now_is_nothing(change: dict[str, Any]) -> None:
    assert verified(ProposedBlock(proposal(**change), b"\xc1")) == Nothing(ProposedBlock)


def test_a_proposal_again_is_nothing_and_another_one_is_evidence() -> None:
    first, second = proposal(), proposal(block_of())
    assert verified(ProposedBlock(first, b"\xc1"), proposal=lambda _: first) == Nothing(ProposedBlock)
    unverifiable = replace(first, signature=Signature(bytes(64)))
    assert verified(ProposedBlock(unverifiable, b"\xc1"), proposal=lambda _: unverifiable) == Nothing(ProposedBlock)
    assert fault(ProposedBlock(unverifiable, b"\xc1"), proposal=lambda _: first) == "bad_signature"
    found = verified(ProposedBlock(second, b"\xc1"), proposal=lambda _: first)
    assert found == VerifiedEvidence(ConflictingProposals(first, second))


@pytest.mark.parametrize(
    "message, reason",
    [
        (ProposedBlock(proposal(by=1), BLOCK.raw), "wrong_forger"),
        (ProposedBlock(signed(Proposal(HEIGHT, 0, -1, BLOCK.id, WHO[0]), KEYS[1]), BLOCK.raw), "bad_signature"),
        (ProposedBlock(proposal(block_of()), BLOCK.raw), "wrong_block"),
        (ProposedBlock(proposal(), b"\xc1"), "malformed"),
    ],
)
def test_a_bad_proposal_is_its_peers_fault(message: ProposedBlock, reason: str) -> None:
    assert fault(message) == reason


def test_a_forger_that_is_no_validator_is_its_peers_fault() -> None:
    """The lottery draws members only; should it ever not, this is where it shows."""
    unsigned = Proposal(HEIGHT, 0, -1, BLOCK.id, Address(STRANGER.public_key))
    message = ProposedBlock(signed(unsigned, STRANGER), BLOCK.raw)
    assert fault(message, forger=lambda _: unsigned.forger) == "not_a_validator"


# ------------------------------------------------------------------------------------------------ announcements


def announcement(by: Any, who: Address) -> Announcement:
    done = sign_message(Announcement(who, 5, TIME_MS), by, GENESIS_HASH)
    assert isinstance(done, Announcement)
    return done


def test_validators_announce_themselves() -> None:
    good = announcement(KEYS[0], WHO[0])
    assert verified(Announce(good)) == VerifiedAnnouncement(good)
    assert verified(Announce(announcement(STRANGER, Address(STRANGER.public_key)))) == Nothing(Announce)


def test_an_announcement_by_another_key_than_its_validators_is_of_no_use_and_no_fault() -> None:
    """It names no height, and a validator's key may change at one that this node has not come to."""
    assert verified(Announce(announcement(KEYS[1], WHO[0]))) == Nothing(Announce, UNSIGNED_COST)
    assert verified(Announce(announcement(STRANGER, WHO[0]))) == Nothing(Announce, UNSIGNED_COST)


def test_around_the_switch_of_a_key_announcements_by_either_are_taken() -> None:
    """The old key's was signed where the height before was in progress, or by a node that still is there."""
    members = [replace(one, key=STRANGER.public_key) if one.address == WHO[0] else one for one in SET.validators]
    sets = {HEIGHT: ValidatorSet(members), HEIGHT - 1: SET}
    for by in (STRANGER, KEYS[0]):
        good = announcement(by, WHO[0])
        assert verified(Announce(good), sets=sets) == VerifiedAnnouncement(good)
    assert verified(Announce(announcement(KEYS[1], WHO[0])), sets=sets) == Nothing(Announce, UNSIGNED_COST)


# ------------------------------------------------------------------------------------------------ evidence

V_A, V_B = (vote(KEYS[0], HEIGHT, PREVOTE, value) for value in (BLOCK_A, BLOCK_B))
LOCK = vote(KEYS[0], HEIGHT, PRECOMMIT, BLOCK_A, round=1)
FORGOT = vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_B, round=2)
GOOD_EVIDENCE: list[Evidence] = [
    ConflictingVotes(V_A, V_B),
    ConflictingVotes(V_A, vote(KEYS[0], HEIGHT, PREVOTE, None)),
    ConflictingVotes(
        vote(OLDER_KEYS[0], HEIGHT - 1, PRECOMMIT, BLOCK_A), vote(OLDER_KEYS[0], HEIGHT - 1, PRECOMMIT, BLOCK_B)
    ),
    ConflictingProposals(proposal(), proposal(block_of())),
    ConflictingProposals(proposal(round=2, by=0, valid_round=0), proposal(round=2, by=0, valid_round=1)),
    ForgottenLock(LOCK, FORGOT),
]
BAD_EVIDENCE: dict[str, tuple[Evidence, str]] = {
    "one vote twice": (ConflictingVotes(V_A, V_A), "bad_evidence"),
    "one value with two polka rounds": (
        ConflictingVotes(
            vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_A, round=3),
            vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_A, round=3, polka_round=1),
        ),
        "bad_evidence",
    ),
    "two rounds": (ConflictingVotes(V_A, vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_B, round=1)), "bad_evidence"),
    "two steps": (ConflictingVotes(V_A, vote(KEYS[0], HEIGHT, PRECOMMIT, BLOCK_B)), "bad_evidence"),
    "two validators": (ConflictingVotes(V_A, vote(KEYS[1], HEIGHT, PREVOTE, BLOCK_B)), "bad_evidence"),
    "two heights": (ConflictingVotes(V_A, vote(KEYS[0], HEIGHT - 1, PREVOTE, BLOCK_B)), "bad_evidence"),
    "proposals of two rounds": (ConflictingProposals(proposal(), proposal(block_of(), round=1)), "bad_evidence"),
    "one proposal twice": (ConflictingProposals(proposal(), proposal()), "bad_evidence"),
    "a lock kept": (ForgottenLock(LOCK, vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_A, round=2)), "bad_evidence"),
    "nil after a lock": (ForgottenLock(LOCK, vote(KEYS[0], HEIGHT, PREVOTE, None, round=2)), "bad_evidence"),
    "a lock that a polka undid": (
        ForgottenLock(LOCK, vote(KEYS[0], HEIGHT, PREVOTE, BLOCK_B, round=2, polka_round=1)),
        "bad_evidence",
    ),
    "a prevote of the lock's round": (ForgottenLock(LOCK, V_B), "bad_evidence"),
    "a precommit for nil": (
        ForgottenLock(vote(KEYS[0], HEIGHT, PRECOMMIT, None, round=1), FORGOT),
        "bad_evidence",
    ),
    "two prevotes": (ForgottenLock(V_A, FORGOT), "bad_evidence"),
    "two precommits": (ForgottenLock(LOCK, replace(FORGOT, step=PRECOMMIT)), "bad_evidence"),
    "a forged first": (ConflictingVotes(replace(V_A, signature=V_B.signature), V_B), "bad_signature"),
    "a forged second": (ConflictingVotes(V_A, replace(V_B, signature=V_A.signature)), "bad_signature"),
}


@pytest.mark.parametrize("evidence", GOOD_EVIDENCE)
def test_good_evidence_is_verified(evidence: Evidence) -> None:
    assert verified(Accuse(evidence)) == VerifiedEvidence(evidence)


@pytest.mark.parametrize("evidence, reason", BAD_EVIDENCE.values(), ids=BAD_EVIDENCE.keys())
def test_bad_evidence_is_its_peers_fault(evidence: Evidence, reason: str) -> None:
    assert fault(Accuse(evidence)) == reason


@pytest.mark.parametrize("by, height", [(KEYS[0], HEIGHT - 2), (STRANGER, HEIGHT), (KEYS[0], HEIGHT + 1)])
def test_evidence_that_is_of_no_use_is_nobodys_fault_and_costs_no_signature_check(
    by: SigningKey, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too old, against somebody with nothing to lose, or of a height that an honest peer has reached before."""
    pair = [vote(by, height, PREVOTE, value, round=1) for value in (BLOCK_A, BLOCK_B)]
    monkeypatch.setattr(verify_module, "verify_message", lambda *_: pytest.fail("a signature is checked"))
    assert verified(Accuse(ConflictingVotes(pair[0], pair[1]))) == Nothing(Accuse)


# ------------------------------------------------------------------------------------------------ work that is spared


def test_a_vote_that_is_held_is_not_verified_again() -> None:
    held, new = (vote(KEYS[number], HEIGHT, PREVOTE, None) for number in range(2))
    unverifiable = replace(held, signature=Signature(bytes(64)))
    message = Votes((unverifiable, new))
    assert verified(message, holds=lambda vote: vote == unverifiable) == VerifiedVotes((new,), (unverifiable,))
    assert fault(message, holds=lambda vote: vote == held) == "bad_signature"


UNVERIFIABLE = {
    "votes": Votes((replace(vote(KEYS[0], HEIGHT, PREVOTE, None), signature=Signature(bytes(64))),)),
    "transactions": Transactions((b"garbage",)),
    "blocks": Blocks(HEIGHT, (b"garbage",), None),
    "a proposal": ProposedBlock(proposal(by=1), BLOCK.raw),
    "evidence": Accuse(ConflictingProposals(proposal(), proposal())),
}


@pytest.mark.parametrize("message", UNVERIFIABLE.values(), ids=UNVERIFIABLE.keys())
def test_what_is_over_the_allowance_is_not_verified(message: Message) -> None:
    assert fault(message, awaited=HEIGHT) in {
        "bad_signature",
        "bad_transaction",
        "wrong_forger",
        "bad_evidence",
        "malformed",
    }
    kind = kind_of(message)
    assert verified(message, left=lambda asked: 0 if asked is kind else 1) == Nothing(kind)


@pytest.mark.parametrize(
    "message",
    [
        Transactions((b"garbage", PAY.raw)),
        Blocks(HEIGHT, (b"garbage",), None),
        Peers(("host:1",)),
        Time(1, 2),
        Dialled("reached"),
    ],
)
def test_what_nobody_asked_for_is_not_verified(message: Message) -> None:
    kind, cost = kind_of(message), cost_of(message)
    assert fault(message, owed=lambda asked: cost - 1 if asked is kind else cost) == "unasked"


def test_an_announcement_that_is_no_news_is_dropped() -> None:
    said = announcement(KEYS[0], WHO[0])
    assert verified(Announce(said), is_news=lambda _: True) == VerifiedAnnouncement(said)
    assert verified(Announce(said), is_news=lambda _: False) == Nothing(Announce)
