"""Evidence in blocks: who builds one, what all others check, for how long it counts, and that it counts once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from blockchain.errors import InvalidBlock, InvalidEvidence
from blockchain.ledger.records import account_of, stakeholder, totals_of
from blockchain.ledger.supply import check_supply
from blockchain.node import evidence_pool
from blockchain.primitives import codec
from blockchain.primitives.block import (
    BLOCK_BYTES_MAX,
    BLOCK_EVIDENCE_MAX,
    BODY_BYTES_MAX,
    Block,
    VerifiedBlock,
    check_body,
    evidence_root,
)
from blockchain.primitives.chain import GenesisAccount
from blockchain.primitives.crypto import Address, Hash32, Signature, SigningKey
from blockchain.primitives.records import KeyFrom, Unbonding, stakeholder_key
from blockchain.primitives.scalars import INTEGER_MAX, VALIDATORS_MAX
from blockchain.primitives.vote import (
    Certificate,
    CommitSignature,
    ConflictingProposals,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Fork,
    Proposal,
    Vote,
)
from blockchain.seams import Batch
from blockchain.wallet import Wallet
from tests.node.one_chain import KEYS, NOW, Node, spec_with, twin, with_body
from tests.samples import BLOCK_A, BLOCK_B, PRECOMMIT, PREVOTE, address, key, signed, vote

HASH = spec_with().hash


def two_votes(by: SigningKey, height: int, chain: Hash32 = HASH, round: int = 0) -> ConflictingVotes:
    first, second = (vote(by, height, PREVOTE, value, round=round, genesis_hash=chain) for value in (BLOCK_A, BLOCK_B))
    return ConflictingVotes(first, second)


def two_proposals(by: SigningKey, height: int, chain: Hash32) -> ConflictingProposals:
    first, second = (
        signed(Proposal(height, 0, -1, value, Address(by.public_key)), by, chain) for value in (BLOCK_A, BLOCK_B)
    )
    return ConflictingProposals(first, second)


def forgotten_lock(by: SigningKey, height: int, chain: Hash32) -> ForgottenLock:
    lock = vote(by, height, PRECOMMIT, BLOCK_A, genesis_hash=chain)
    return ForgottenLock(lock, vote(by, height, PREVOTE, BLOCK_B, round=1, genesis_hash=chain))


def with_evidence(node: Node, *evidence: Evidence, now: int = NOW) -> VerifiedBlock:
    """A block of one transaction with this evidence, whatever it is worth, its state as if it accused nobody."""
    other = twin(node)
    other.add(node.pay("a", node.chain.next_nonce(address("a"))))
    block = other.build(now=now)
    root = evidence_root(evidence, node.spec.hash)
    header = replace(block.header, evidence_root=root, evidence_count=len(evidence))
    return with_body(replace(block.block, header=header, evidence=evidence), block.transactions)


def said(node: Node, block: VerifiedBlock) -> str:
    with pytest.raises(InvalidBlock) as caught:
        twin(node).chain.check_block(block)
    assert caught.value.field == "evidence", caught.value
    return caught.value.why


def grown(heights: int, **parameters: Any) -> Node:
    """Block h has the time NOW + h."""
    node = Node(spec_with(**parameters))
    for height in range(1, heights + 1):
        node.add(node.pay("a", height - 1))
        node.finalize(node.build(now=NOW + height))
    return node


# ------------------------------------------------------------------------------------------------ in a block


@pytest.mark.parametrize("kind", [two_votes, two_proposals, forgotten_lock])
def test_evidence_makes_a_block_due_without_transactions_and_counts_once(kind: Any) -> None:
    node = grown(2)
    chain = node.chain
    assert not chain.is_block_due()
    evidence = kind(KEYS[0], 2, node.spec.hash)
    assert chain.evidence.add(evidence) and chain.is_block_due()
    block = node.build(now=NOW + 9)
    assert block.block.evidence == (evidence,) and block.transactions == ()
    assert (block.header.evidence_count, block.header.time_ms) == (1, NOW + 9)
    check_body(block.block, node.spec.hash)
    other = twin(node)
    other.chain.check_block(block)
    node.finalize(block)
    offender = Address(KEYS[0].public_key)
    assert chain.ledger.is_out(chain.state(), offender)
    assert len(chain.evidence) == 0 and not chain.is_block_due()
    again = two_votes(KEYS[0], 3, node.spec.hash, round=5)
    assert not chain.evidence.add(evidence) and not chain.evidence.add(again)
    for piece in (evidence, again):
        assert "out already" in said(node, with_evidence(node, piece, now=NOW + 20))


@pytest.mark.parametrize("is_forger", [False, True])
def test_the_offender_loses_exactly_its_share_and_the_forger_gets_exactly_its_part(is_forger: bool) -> None:
    """A third of 100, rounded down, and a tenth of that, rounded down: nothing where the forger is the offender."""
    node = grown(2, slash_bp=3_333, evidence_reward_bp=1_000)
    chain = node.chain
    forger = node.forger()
    offender = forger if is_forger else next(held for held in KEYS if held != forger)
    who, reward = Address(offender.public_key), 0 if is_forger else 3
    before, paid = totals_of(chain.state()), account_of(chain.state(), Address(forger.public_key)).balance
    assert chain.evidence.add(two_votes(offender, 2, node.spec.hash))
    block = node.build(now=NOW + 9)
    twin(node).chain.check_block(block)
    node.finalize(block)
    state = chain.state()
    holder = stakeholder(state, who)
    assert holder is not None and holder.is_out and (holder.bonded, holder.waiting) == (0, ())
    leaves = block.header.height + 1 + chain.spec.parameters.stake_delay
    assert holder.unbonding == (Unbonding(67, leaves),)
    assert totals_of(state).burnt - before.burnt == 33 - reward
    assert account_of(state, Address(forger.public_key)).balance - paid == reward
    check_supply(state)


def test_a_block_takes_sixteen_pieces_and_the_next_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_pool, "BLOCK_EVIDENCE_MAX", 2)
    node = grown(1)
    for held in KEYS[1:]:
        assert node.chain.evidence.add(two_votes(held, 1, node.spec.hash))
    assert len(node.chain.evidence.choose(NOW)) == 2 == len(node.chain.evidence)
    monkeypatch.setattr(evidence_pool, "BLOCK_EVIDENCE_MAX", 1)
    block = node.build()
    assert block.block.evidence == (node.chain.evidence.pieces()[0],)
    node.finalize(block)
    assert len(node.chain.evidence) == 1 and node.chain.is_block_due()


def test_transactions_and_evidence_share_a_block() -> None:
    node = grown(1)
    node.chain.evidence.add(two_votes(KEYS[0], 1, node.spec.hash))
    node.add(node.pay("a", 1))
    block = node.build()
    assert (block.header.transaction_count, block.header.evidence_count) == (1, 1)
    twin(node).chain.check_block(block)


def test_the_largest_block_is_not_too_large() -> None:
    """Two mebibytes of transactions, sixteen of the largest pieces, and the certificate of the largest set."""
    biggest = Vote(INTEGER_MAX, 2**31 - 1, PREVOTE, BLOCK_A, 2**31 - 2, Address(BLOCK_B), Signature(bytes(64)))
    evidence = (ConflictingVotes(biggest, biggest),) * BLOCK_EVIDENCE_MAX
    entries = tuple(CommitSignature(at, Signature(bytes(64))) for at in range(VALIDATORS_MAX))
    header = replace(with_evidence(grown(1)).header, time_ms=INTEGER_MAX)
    body = (bytes(1_000),) * (BODY_BYTES_MAX // 1_000)
    block = Block(header, body, evidence, Certificate(INTEGER_MAX, 2**31 - 1, BLOCK_A, entries))
    assert len(codec.encode(block)) < BLOCK_BYTES_MAX - 512 * 1024


# ------------------------------------------------------------------------------------------------ what is wrong


def test_a_second_piece_against_the_same_validator_is_one_too_many() -> None:
    node = grown(2)
    pieces = two_votes(KEYS[0], 1, node.spec.hash), two_votes(KEYS[0], 2, node.spec.hash)
    assert "number 1" in said(node, with_evidence(node, *pieces))


GOOD = two_votes(KEYS[0], 2)
WRONG: dict[str, tuple[Evidence, str]] = {
    "one vote twice": (ConflictingVotes(GOOD.first, GOOD.first), "do not contradict"),
    "of two validators": (ConflictingVotes(GOOD.first, two_votes(KEYS[1], 2).second), "two heights or validators"),
    "of two heights": (ConflictingVotes(GOOD.first, two_votes(KEYS[0], 1).second), "two heights or validators"),
    "of height 0": (two_votes(KEYS[0], 0), "not from 1 to 3"),
    "of a later height": (two_votes(KEYS[0], 4), "not from 1 to 3"),
    "against nobody": (two_votes(key("nobody"), 2), "no stake"),
    "with a signature of somebody else": (
        ConflictingVotes(GOOD.first, replace(GOOD.second, signature=GOOD.first.signature)),
        "a signature is not",
    ),
    "with a first signature of somebody else": (
        ConflictingVotes(replace(GOOD.first, signature=GOOD.second.signature), GOOD.second),
        "a signature is not",
    ),
    "signed for another chain": (two_votes(KEYS[0], 2, BLOCK_A), "a signature is not"),
}


@pytest.mark.parametrize("evidence, why", WRONG.values(), ids=WRONG.keys())
def test_evidence_that_proves_nothing_makes_a_block_invalid(evidence: Evidence, why: str) -> None:
    node = grown(2)
    assert node.spec.hash == HASH
    assert why in said(node, with_evidence(node, evidence, now=NOW + 9))


def test_evidence_of_the_blocks_own_height_counts() -> None:
    node = grown(2)
    assert node.chain.evidence.add(two_votes(KEYS[0], 3))
    block = node.build(now=NOW + 9)
    twin(node).chain.check_block(block)


# ------------------------------------------------------------------------------------------------ its age


@pytest.mark.parametrize(
    "heights, now, is_good",
    [
        (3, NOW + 90_000, True),  # block 4 of an offence at 1: three blocks, whatever the time
        (4, NOW + 1 + 1_000, True),  # block 5: a second after the header of 1 to the millisecond
        (4, NOW + 1 + 1_001, False),
    ],
)
def test_evidence_counts_for_so_many_blocks_or_so_long(heights: int, now: int, is_good: bool) -> None:
    node = grown(heights, unbonding_blocks=3, unbonding_ms=1_000)
    piece = two_votes(KEYS[0], 1, node.spec.hash)
    block = with_evidence(node, piece, now=now)
    if not is_good:
        assert "too old" in said(node, block)
        return
    assert node.chain.evidence.add(piece)
    built = node.build(now=now)
    assert built.block.evidence == (piece,)
    twin(node).chain.check_block(built)


def test_evidence_that_is_too_old_leaves_the_pool_and_triggers_nothing() -> None:
    node = grown(3, unbonding_blocks=3, unbonding_ms=1_000)
    piece = two_votes(KEYS[0], 1, node.spec.hash)
    assert node.chain.evidence.add(piece)
    node.add(node.pay("a", 3))
    node.finalize(lacking(node, now=NOW + 1 + 1_000))  # a forger that has not heard of it
    assert len(node.chain.evidence) == 0 and not node.chain.is_block_due()
    assert not node.chain.evidence.add(piece)
    node.store.write(Batch(evidence=(codec.encode(piece),)))
    node.load()
    node.chain.evidence.restore(node.store.evidence())
    assert len(node.chain.evidence) == 0


def lacking(node: Node, now: int) -> VerifiedBlock:
    """The block of a node whose pool of evidence is empty."""
    other = twin(node)
    other.add(*node.chain.pool)
    return other.build(now=now)


def test_what_is_out_of_date_by_the_clock_alone_gets_a_block_with_an_earlier_time() -> None:
    """The trigger knows no clock: where it held for this evidence alone, the block must not come out empty."""
    node = grown(4, unbonding_blocks=3, unbonding_ms=1_000)
    piece = two_votes(KEYS[0], 1, node.spec.hash)
    assert node.chain.evidence.add(piece) and node.chain.is_block_due()
    block = node.build(now=NOW + 50_000)
    assert block.block.evidence == (piece,) and block.header.time_ms == node.chain.head.time_ms + 1
    twin(node).chain.check_block(block)
    node.add(node.pay("a", 4))
    block = node.build(now=NOW + 50_000)
    assert block.block.evidence == () and block.header.time_ms == NOW + 50_000, "its transactions are enough"


# ------------------------------------------------------------------------------------------------ the pool


def test_the_pool_takes_one_piece_an_offender() -> None:
    node = grown(2)
    pool = node.chain.evidence
    assert pool.add(two_votes(KEYS[0], 1, node.spec.hash))
    assert not pool.add(two_votes(KEYS[0], 2, node.spec.hash)) and not pool.add(two_votes(key("nobody"), 1))
    assert not pool.add(two_votes(KEYS[1], 4, node.spec.hash)), "a height that is not reached yet"
    assert pool.add(two_votes(KEYS[1], 3, node.spec.hash)) and len(pool) == 2


def test_the_pool_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_pool, "POOL_MAX", 1)
    node = grown(1)
    assert node.chain.evidence.add(two_votes(KEYS[0], 1, node.spec.hash))
    assert not node.chain.evidence.add(two_votes(KEYS[1], 1, node.spec.hash)) and len(node.chain.evidence) == 1


def test_a_flood_from_peers_leaves_room_for_what_a_node_finds_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over a block and a restart too."""
    monkeypatch.setattr(evidence_pool, "POOL_MAX", 1)
    monkeypatch.setattr(evidence_pool, "OWN_MAX", 1)
    node = grown(1)
    flood, found, more = (two_votes(held, 1, node.spec.hash) for held in KEYS)
    pool = node.chain.evidence
    assert pool.add(flood) and not pool.add(found)
    assert pool.add(found, is_own=True) and not pool.add(more, is_own=True)
    pool.on_head(node.chain.state(), node.chain.height, node.chain.head.time_ms)
    assert pool.pieces() == (flood, found)
    node.store.write(Batch(evidence=(codec.encode(flood), codec.encode(found))))
    node.load()
    node.chain.evidence.restore(node.store.evidence())
    assert set(node.chain.evidence.pieces()) == {flood, found}


def test_the_pool_is_filled_from_the_store_with_what_still_counts() -> None:
    node = grown(1)
    good, forged = two_votes(KEYS[0], 1), two_votes(KEYS[1], 1, BLOCK_A)
    certificate = node.chain.head.certificate
    kept: tuple[object, ...] = (Fork(certificate, certificate), forged, good, two_votes(KEYS[0], 1, round=3))
    node.store.write(Batch(evidence=(b"\x99", *map(codec.encode, kept))))
    node.load()
    node.chain.evidence.restore(node.store.evidence())
    assert node.chain.evidence.pieces() == (good,)
    node.finalize(node.build())
    node.load()
    node.chain.evidence.restore(node.store.evidence())
    assert len(node.chain.evidence) == 0, "its offender is out"


def test_a_chain_that_is_older_than_the_age_knows_what_is_too_old_without_a_look() -> None:
    node = grown(6, unbonding_blocks=2, unbonding_ms=1)
    node.load()
    assert node.chain.evidence.key_of(4, Address(KEYS[0].public_key)) is None
    assert node.chain.evidence.key_of(5, Address(KEYS[0].public_key)) is not None


def test_each_key_that_an_account_ever_had_accuses_it_by_the_heights_at_which_it_counted() -> None:
    node = grown(3)
    state = node.chain.state()
    who, old, new = Address(KEYS[0].public_key), KEYS[0], key("new")
    holder = stakeholder(state, who)
    assert holder is not None
    rotated = replace(holder, keys=(*holder.keys, KeyFrom(2, new.public_key)))
    state.set(stakeholder_key(who), codec.encode(rotated))

    def accuse(by: SigningKey, height: int) -> Address:
        votes = (signed(Vote(height, 0, PREVOTE, value, -1, who), by, HASH) for value in (BLOCK_A, BLOCK_B))
        return node.chain._evidence_rules.check(ConflictingVotes(*votes), state, 4, NOW + 9)

    assert accuse(old, 1) == accuse(new, 2) == accuse(new, 4) == who
    for by, height in ((new, 1), (old, 2)):
        with pytest.raises(InvalidEvidence, match="signature"):
            accuse(by, height)


def test_what_the_offender_still_wanted_with_its_stake_keeps_nobody_else_out_of_blocks() -> None:
    """Its transactions are in a pool, and the evidence comes in the block of a forger that has not seen them."""
    spec = replace(spec_with(), accounts=(*spec_with().accounts, GenesisAccount(Address(KEYS[0].public_key), 50)))
    offender = Wallet(KEYS[0], spec.hash)
    node, other = Node(spec), Node(spec)
    other.chain.evidence.add(two_votes(KEYS[0], 1, spec.hash))
    node.add(offender.unstake(10, 0), offender.stake(5, 1), offender.transfer(address("b"), 1, 2), node.pay("a", 0))
    block = other.build()
    node.perform(node.chain.import_block(block, node.certificate(block), NOW))
    assert node.chain.ledger.is_out(node.chain.state(), offender.address)
    assert [each.transaction.sender for each in node.build().transactions] == [address("a")]
    check_supply(node.chain.state())
