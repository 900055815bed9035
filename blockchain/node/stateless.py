"""What can be checked of a block or a transaction by its bytes and the chain's genesis hash alone.

The middle stage of `verify.py`, and nearly all of its cost: canonical form, ids, the body under its header, signatures.
Pure functions from plain values to plain values that MessagePack can carry, so that any process may call them: what is
asked for is a `Check`, what comes of it is `Found`. Rules: docs/protocol.md §2, §4.2, §8.6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from blockchain.errors import InvalidSignature, MalformedMessage
from blockchain.primitives.block import Block, block_id, check_body, decode_block
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.transaction import check_transaction

BLOCKS_BYTES: Final = 128 * 1024  # of the blocks of one check: some 800 transfers, a twentieth of a second of work
TRANSACTIONS_AT_ONCE: Final = 128  # of one check: a hundredth of a second, so that a batch is shared out


class BlocksCheck(Struct, frozen=True, array_like=True, tag="blocks"):
    """Blocks to check whole, in order, up to the first that is not right."""

    genesis_hash: bytes
    raws: tuple[bytes, ...]


class TransactionsCheck(Struct, frozen=True, array_like=True, tag="transactions"):
    """Transactions to check: up to the first that is not right, or `each`."""

    genesis_hash: bytes
    raws: tuple[bytes, ...]
    each: bool = False


Check = BlocksCheck | TransactionsCheck


class Flaw(Struct, frozen=True, array_like=True):
    """What is wrong with the one at position `at`; `code` is a peer's fault of a block, an error's of a transaction."""

    at: int
    code: str
    why: str


class Found(Struct, frozen=True, array_like=True):
    """`ids`: for each block that is right its own and those of its transactions, 32 bytes each, joined."""

    ids: tuple[bytes, ...] = ()
    flaws: tuple[Flaw, ...] = ()


# Gives what is found, in the order of the checks. Where one that does not ask for `each` has a flaw, nothing is known
# of the others: they may have been left out for it.
CheckAll = Callable[[Sequence[Check]], Iterable[Found]]


class CheckedBlock(Struct, frozen=True):
    """A block that is canonical and has the body of its header; of its transactions nothing but the ids is known."""

    id: Hash32
    block: Block
    transaction_ids: tuple[Hash32, ...]


def check_here(checks: Sequence[Check]) -> Iterator[Found]:
    """Each when it is asked for: nothing is done after a flaw that ends it all."""
    return map(check, checks)


def check(asked: Check) -> Found:
    """Everything that is asked for. Raises nothing: what is wrong is found."""
    return _check_blocks(asked) if isinstance(asked, BlocksCheck) else _check_transactions(asked)


def checked_block(raw: bytes, genesis_hash: bytes) -> CheckedBlock:
    """All of a block but the signatures. Raises MalformedMessage."""
    block = decode_block(raw)
    ids = check_body(block, genesis_hash)
    return CheckedBlock(block_id(block.header, genesis_hash), block, ids)


def block_checks(genesis_hash: bytes, raws: Iterable[bytes]) -> list[BlocksCheck]:
    """What to ask for of these blocks: small ones together."""
    checks: list[BlocksCheck] = []
    some: list[bytes] = []
    size = 0
    for raw in raws:
        some.append(raw)
        size += len(raw)
        if size >= BLOCKS_BYTES:
            checks.append(BlocksCheck(genesis_hash, tuple(some)))
            some, size = [], 0
    return [*checks, BlocksCheck(genesis_hash, tuple(some))] if some else checks


def transaction_checks(genesis_hash: bytes, raws: Sequence[bytes], *, each: bool = False) -> list[TransactionsCheck]:
    """What to ask for of these transactions, TRANSACTIONS_AT_ONCE to a check."""
    return [
        TransactionsCheck(genesis_hash, tuple(raws[at : at + TRANSACTIONS_AT_ONCE]), each)
        for at in range(0, len(raws), TRANSACTIONS_AT_ONCE)
    ]


def _check_blocks(asked: BlocksCheck) -> Found:
    ids: list[bytes] = []
    for at, raw in enumerate(asked.raws):
        try:
            checked = checked_block(raw, asked.genesis_hash)
        except MalformedMessage as error:
            return Found(tuple(ids), (Flaw(at, "malformed", str(error)),))
        signatures = _check_transactions(TransactionsCheck(asked.genesis_hash, checked.block.transactions))
        for flaw in signatures.flaws:
            return Found(tuple(ids), (Flaw(at, "bad_transaction", flaw.why),))
        ids.append(b"".join((checked.id, *checked.transaction_ids)))
    return Found(tuple(ids))


def _check_transactions(asked: TransactionsCheck) -> Found:
    flaws: list[Flaw] = []
    for at, raw in enumerate(asked.raws):
        try:
            check_transaction(raw, asked.genesis_hash)
        except (MalformedMessage, InvalidSignature) as error:
            flaws.append(Flaw(at, error.code, str(error)))
            if not asked.each:
                break
    return Found((), tuple(flaws))
