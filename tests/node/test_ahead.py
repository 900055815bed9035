"""Readers of a node see a block and a refusal from the moment the core has decided, before the disk has them."""

from __future__ import annotations

from blockchain.node.ahead import StoreAhead
from blockchain.node.store import MemoryStore
from blockchain.primitives.crypto import Address, Hash32
from blockchain.seams import Batch, Effect, FinalBlock, Stage, TransactionStory, Write


def hash_of(number: int) -> Hash32:
    return Hash32(bytes([number]) * 32)


BLOCK = FinalBlock(1, hash_of(1), b"block", b"certificate", (hash_of(10), hash_of(11)))
NEXT = FinalBlock(2, hash_of(2), b"next", b"certificate", (hash_of(12),))
ENDED = TransactionStory(hash_of(20), (Stage("received", 4), Stage("expired", 5, code="expired", why="too late")))
REFUSED = TransactionStory(hash_of(21), (Stage("refused", 5, code="nonce_used"),))
DECIDED = (Stage("received", 4), Stage("final", 6, 1, 0))
A, B = Address(hash_of(30)), Address(hash_of(31))
EFFECTS: list[Effect] = [
    Write(Batch(block=BLOCK, parties=((A,), (B, A)), block_stories=((), DECIDED))),
    Write(Batch(block=NEXT, parties=((A, B),), ended=(ENDED,), refused=(REFUSED,))),
]


def check_sees_all(final: StoreAhead) -> None:
    assert final.block(1) == BLOCK and final.block(2) == NEXT
    assert final.height_of(BLOCK.id) == 1 and final.height_of(NEXT.id) == 2
    assert final.locate(hash_of(11)) == (1, 1) and final.locate(hash_of(12)) == (2, 0)
    assert final.story(ENDED.id) == ENDED.stages and final.story(REFUSED.id) == REFUSED.stages
    assert final.story(hash_of(11)) == DECIDED and final.story(hash_of(10)) == ()
    assert final.history(A, None, 9) == [(2, 0), (1, 1), (1, 0)] and final.history(B, None, 9) == [(2, 0), (1, 1)]
    assert final.history(A, None, 2) == [(2, 0), (1, 1)] and final.history(A, (1, 1), 9) == [(1, 0)]


def check_sees_nothing(final: StoreAhead) -> None:
    assert final.block(1) is None and final.height_of(BLOCK.id) is None
    assert final.locate(hash_of(11)) is None and final.story(ENDED.id) == () == final.story(hash_of(11))
    assert final.history(A, None, 9) == []


def test_what_is_about_to_be_written_is_seen_like_what_is_written() -> None:
    store = MemoryStore()
    final = StoreAhead(store)
    check_sees_nothing(final)
    final.expect(EFFECTS)
    check_sees_all(final)
    for effect in EFFECTS:
        assert isinstance(effect, Write)
        store.write(effect.batch)
        check_sees_all(final)  # also half way
    final.settle()
    check_sees_all(final)


def test_the_history_goes_on_in_the_store() -> None:
    store = MemoryStore()
    for effect in EFFECTS[:1]:
        assert isinstance(effect, Write)
        store.write(effect.batch)
    final = StoreAhead(store)
    final.expect(EFFECTS[1:])
    check_sees_all(final)
    assert final.history(A, (2, 0), 1) == [(1, 1)]


def test_nothing_is_held_when_the_writes_are_done() -> None:
    final = StoreAhead(MemoryStore())  # a store that never gets them, so that only what is held can be seen
    final.expect(EFFECTS)
    final.settle()
    check_sees_nothing(final)


def test_only_the_writes_of_the_newest_input_are_held() -> None:
    final = StoreAhead(MemoryStore())
    final.expect(EFFECTS)
    final.expect([])
    check_sees_nothing(final)
