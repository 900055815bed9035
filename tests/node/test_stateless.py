"""What is checked of bytes alone: ids and flaws; and that it makes no difference who checks, and in what order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest

from blockchain.errors import PeerFault
from blockchain.node.messages import Blocks, ProposedBlock, Transactions, Verified, decode_frame, encode_frame
from blockchain.node.stateless import (
    BLOCKS_BYTES,
    TRANSACTIONS_AT_ONCE,
    BlocksCheck,
    Check,
    Flaw,
    Found,
    TransactionsCheck,
    block_checks,
    check,
    check_here,
    transaction_checks,
)
from blockchain.node.verify import verify_frame
from blockchain.primitives import codec
from blockchain.primitives.crypto import hashes_in
from blockchain.primitives.transaction import VerifiedTransaction, transaction_id
from blockchain.runtime.verifier import Question, answer
from tests.fuzz.chain import FRAMES, resigned
from tests.fuzz.tree_mutation import codec_mutation
from tests.node.test_verify import BLOCK, HEIGHT, NO_CERTIFICATE, PAY, block_of, context, proposal
from tests.samples import GENESIS_HASH, address, wallet

SOME = tuple(wallet("a").transfer(address("b"), 1, nonce) for nonce in range(3))
UNSIGNED = PAY.raw[:-64] + bytes(64)
FULL = block_of(*SOME)


def test_of_blocks_the_ids_are_found_up_to_the_first_that_is_not_right() -> None:
    good = (BLOCK.raw, FULL.raw)
    joined = [b"".join((each.id, *(one.id for one in each.transactions))) for each in (BLOCK, FULL)]
    assert check(BlocksCheck(GENESIS_HASH, good)) == Found(tuple(joined))
    assert list(hashes_in(joined[1])) == [FULL.id, *(one.id for one in SOME)]
    found = check(BlocksCheck(GENESIS_HASH, (BLOCK.raw, b"\x90", FULL.raw)))
    assert found.ids == (joined[0],) and [(flaw.at, flaw.code) for flaw in found.flaws] == [(1, "malformed")]


def test_of_transactions_the_first_flaw_is_found_or_each() -> None:
    raws = (UNSIGNED, SOME[0].raw, b"\x90")
    flaws = check(TransactionsCheck(GENESIS_HASH, raws, each=True)).flaws
    assert [(flaw.at, flaw.code) for flaw in flaws] == [(0, "invalid_signature"), (2, "malformed")]
    assert check(TransactionsCheck(GENESIS_HASH, raws)).flaws == flaws[:1]


def test_small_blocks_are_checked_together_and_transactions_in_parts() -> None:
    assert block_checks(GENESIS_HASH, []) == [] == transaction_checks(GENESIS_HASH, [])
    small, large = b"s" * 100, b"l" * BLOCKS_BYTES
    assert [one.raws for one in block_checks(GENESIS_HASH, [small, large, large, small, small])] == [
        (small, large),
        (large,),
        (small, small),
    ]
    raws = [bytes([number]) for number in range(200)]
    parts = transaction_checks(GENESIS_HASH, raws)
    assert [len(part.raws) for part in parts] == [TRANSACTIONS_AT_ONCE, 200 - TRANSACTIONS_AT_ONCE]
    assert [raw for part in parts for raw in part.raws] == raws


def check_elsewhere(checks: Sequence[Check]) -> Iterator[Found]:
    """As workers do: each question and answer as bytes, all of them at once, the last one first."""
    questions = [codec.encode(Question(one)) for one in checks]
    answers = [codec.encode(answer(codec.decode_again(each, Question).asked)) for each in reversed(questions)]
    return (codec.decode_again(each, Found) for each in reversed(answers))


def outcome(frame: bytes, checker: str) -> Verified | tuple[str, str]:
    check_all = check_elsewhere if checker == "elsewhere" else check_here
    try:
        return verify_frame(frame, context(awaited=HEIGHT), check_all)
    except PeerFault as fault:
        return fault.reason, fault.why


def of_bytes_alone(frame: bytes) -> bool:
    return isinstance(decode_frame(frame).message, Blocks | Transactions | ProposedBlock)


@pytest.mark.parametrize("frame", [frame for frame in FRAMES if of_bytes_alone(frame)])
def test_with_workers_the_same_is_verified_and_the_same_is_a_fault(frame: bytes) -> None:
    """Of frames with a place changed; most of them signed again, or the first signature would end each."""
    assert not isinstance(outcome(frame, "here"), tuple)
    mutate, rng = codec_mutation(lambda: [frame]), Random(6)
    changed = [mutate(frame, rng) for _ in range(200)]
    frames = [frame, *changed[:50], *(resigned(each) for each in changed)]
    outcomes = [outcome(each, "here") for each in frames]
    assert outcomes == [outcome(each, "elsewhere") for each in frames]
    reasons = {each[0] for each in outcomes if isinstance(each, tuple)}
    assert "malformed" in reasons


@pytest.mark.parametrize("checker", ["here", "elsewhere"])
def test_what_nobody_signed_is_a_fault_with_and_without_workers(checker: str) -> None:
    forged = VerifiedTransaction(transaction_id(GENESIS_HASH, UNSIGNED), UNSIGNED, PAY.transaction)
    block = block_of(*SOME, forged)
    why = ("bad_transaction", "the signature of the transaction does not verify")
    for message in (
        Blocks(HEIGHT, (BLOCK.raw, block.raw), NO_CERTIFICATE),
        Transactions((PAY.raw, UNSIGNED)),
        ProposedBlock(proposal(block), block.raw),
    ):
        assert outcome(encode_frame(GENESIS_HASH, message), checker) == why


def test_a_flaw_has_its_position_its_code_and_words() -> None:
    (flaw,) = check(TransactionsCheck(GENESIS_HASH, (SOME[0].raw, UNSIGNED))).flaws
    assert flaw == Flaw(1, "invalid_signature", "the signature of the transaction does not verify")


def test_what_is_in_the_pool_is_not_checked_again() -> None:
    known = {one.id: one for one in SOME}
    asked: list[Check] = []

    def check_and_note(checks: Sequence[Check]) -> Iterator[Found]:
        asked.extend(checks)
        return check_here(checks)

    other = wallet("b").transfer(address("a"), 1, 0)
    block = block_of(SOME[0], other, SOME[1])
    for message in (Blocks(HEIGHT, (block.raw,), NO_CERTIFICATE), ProposedBlock(proposal(block), block.raw)):
        asked.clear()
        frame = encode_frame(GENESIS_HASH, message)
        verified = verify_frame(frame, context(awaited=HEIGHT, known=known.get), check_and_note)
        assert asked == [TransactionsCheck(GENESIS_HASH, (other.raw,))]
        got = verified.block if hasattr(verified, "block") else verified.blocks[0]  # type: ignore[union-attr]
        assert got == block and got.transactions[0] is SOME[0]
