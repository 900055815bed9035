"""Readers of a node see a block and a refusal from the moment the core has decided, before the disk has them."""

from __future__ import annotations

from blockchain.node.ahead import StoreAhead
from blockchain.node.store import MemoryStore
from blockchain.primitives.crypto import Hash32
from blockchain.seams import Batch, Effect, FinalBlock, RefusedTransaction, Write


def hash_of(number: int) -> Hash32:
    return Hash32(bytes([number]) * 32)


BLOCK = FinalBlock(1, hash_of(1), b"block", b"certificate", (hash_of(10), hash_of(11)))
NEXT = FinalBlock(2, hash_of(2), b"next", b"certificate", (hash_of(12),))
REASON = RefusedTransaction(hash_of(20), "expired", "too late", 5)
EFFECTS: list[Effect] = [Write(Batch(block=BLOCK)), Write(Batch(block=NEXT, refused=(REASON,)))]


def check_sees_all(final: StoreAhead) -> None:
    assert final.block(1) == BLOCK and final.block(2) == NEXT
    assert final.height_of(BLOCK.id) == 1 and final.height_of(NEXT.id) == 2
    assert final.locate(hash_of(11)) == (1, 1) and final.locate(hash_of(12)) == (2, 0)
    assert final.refusal(REASON.id) == REASON


def check_sees_nothing(final: StoreAhead) -> None:
    assert final.block(1) is None and final.height_of(BLOCK.id) is None
    assert final.locate(hash_of(11)) is None and final.refusal(REASON.id) is None


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
