"""A made-up chain for the tests of the store: the batch of a height, and all that a store holds, to compare two.

Run as a program it is the node that is killed: it writes one batch after another and says so after each.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.validators import Validator, ValidatorSet, changes_between
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import (
    Batch,
    FinalBlock,
    HeightVotes,
    PendingTransaction,
    SetChange,
    Stage,
    StakeBefore,
    Store,
    Story,
    TransactionStory,
    Turn,
)

GENESIS = sha256(b"the chain of these tests").digest()
ACCOUNTS = 40
TRANSACTIONS = 3


def digest(*parts: object) -> Hash32:
    return Hash32(sha256(repr(parts).encode()).digest())


def block_of(height: int, *, size: int = 6_000) -> FinalBlock:
    raw = b"".join(digest("raw", height, part) for part in range(size // 32))
    ids = tuple(digest("tx", height, position) for position in range(TRANSACTIONS))
    return FinalBlock(height, digest("block", height), raw, digest("certificate", height) * 4, ids)


def account(number: int) -> Address:
    return Address(digest("account", number % ACCOUNTS))


def parties_of_test(height: int, position: int) -> tuple[Address, ...]:
    return (account(height),) if position == 0 else (account(height), account(height + position))


def stage(name: str, height: int) -> Stage:
    return Stage(name, height * 1_000, code=name, why=f"at {height}")


def stories_of(height: int) -> tuple[Story, ...]:
    """The first with stages of its own, the second never known, all others alike."""
    shared = (stage("received", height), Stage("final", height * 1_000, height, 0))
    return ((stage("waiting", height), *shared), (), *[shared] * (TRANSACTIONS - 2))


def set_of_height(height: int) -> ValidatorSet:
    """It changes at each third height: stakes, who is in it, and a key."""
    era = height // 3
    members = [Address(digest("validator", number)) for number in range(era % 4, era % 4 + 5)]
    return ValidatorSet(Validator(one, PublicKey(digest(one, era // 2)), 1 + era % 2) for one in members)


def change_to(height: int) -> tuple[SetChange, ...]:
    """What the store is told with the block before."""
    before, after = set_of_height(height - 1), set_of_height(height)
    return () if before == after else (SetChange(height, after, *changes_between(before, after)),)


def turn_of_test(height: int) -> Turn:
    members = [one.address for one in set_of_height(height).validators]
    return Turn(height, 1, members[0], 9, tuple(members[:2]), tuple(members[3:]), (StakeBefore(members[1], 4),))


def batch_of(height: int) -> Batch:
    """Everything that a height may change: new, changed and deleted records, and transactions that come and go."""
    touched = {digest("account", (height * 7 + step) % ACCOUNTS): step for step in range(12)}
    block = block_of(height)
    first = (SetChange(1, set_of_height(1), set_of_height(1).validators),) if height == 1 else ()
    return Batch(
        block=block,
        sets=(*first, *change_to(height + 1)),
        turn=turn_of_test(height),
        parties=tuple(parties_of_test(height, position) for position in range(TRANSACTIONS)),
        state={key: None if step % 5 == 4 else digest("value", height, step) for key, step in touched.items()},
        clear_round=True,
        round_record=b"round of %d" % height,
        round_blocks=((digest("proposed", height), b"body %d" % height),),
        block_stories=stories_of(height) if height % 3 else (),
        pending_added=tuple(
            PendingTransaction(digest("tx", height + 2, position), b"tx %d" % height, (Stage("received", height),))
            for position in range(4)
        ),
        pending_removed=block.transaction_ids,
        ended=(
            TransactionStory(digest("tx", height, TRANSACTIONS), (stage("received", height), stage("expired", height))),
        ),
        refused=(TransactionStory(digest("tx", height + 1, 0), (stage("refused", height),)),),
        evidence=(b"evidence %d" % (height // 3),),
        prevotes=HeightVotes(height, b"prevotes %d" % height) if height % 3 == 0 else None,
        prevotes_first=max(height - 9, 0),
    )


def contents(store: Store) -> dict[str, Any]:
    """All that a store answers, asked for the heights up to its head and one more."""
    heights = range(store.head() + 2)
    blocks = [store.block(height) for height in heights]
    ids = [digest("tx", height, position) for height in heights for position in range(TRANSACTIONS + 1)]
    return {
        "blocks": blocks,
        "heights": [store.height_of(digest("block", height)) for height in heights],
        "places": [store.locate(transaction_id) for transaction_id in ids],
        "stories": [store.story(transaction_id) for transaction_id in ids],
        "histories": [store.history(account(number), None, 100) for number in range(ACCOUNTS)],
        "sets": [store.validators(height) for height in heights],
        "turns": store.turns(),
        "state": sorted(store.state_records().items()),
        "round_record": store.round_record(),
        "round_blocks": [store.round_block(digest("proposed", height)) for height in heights],
        "pending": store.pending(),
        "evidence": store.evidence(),
        "prevotes": [store.prevotes(height) for height in heights],
        "halted": store.halted(),
    }


def main() -> None:
    store = SqliteStore.open(Path(sys.argv[1]), GENESIS)
    while True:
        height = store.head() + 1
        store.write(batch_of(height))
        print(height, flush=True)


if __name__ == "__main__":
    main()
