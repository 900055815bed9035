"""What every store does, in memory and on disk: the contract of `seams.Store`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from blockchain.node import store as memory
from blockchain.node.store import EVIDENCE_MAX, REFUSALS_MAX, STORIES_MAX, MemoryStore
from blockchain.primitives.crypto import Address, Hash32
from blockchain.runtime import sqlite_rows, sqlite_validators
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Batch, FinalBlock, HeightVotes, PendingTransaction, Stage, Store, Story, TransactionStory
from tests.runtime.store_batches import GENESIS, batch_of, block_of, contents, digest, set_of_height, turn_of_test


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    with closing(SqliteStore.open(tmp_path, GENESIS)) as opened:
        yield opened


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.head() == 0
    assert store.block(0) is None and store.block(1) is None
    assert store.height_of(digest("block", 1)) is None
    assert store.locate(digest("tx", 1, 0)) is None and store.story(digest("tx", 1, 0)) == ()
    assert store.state_records() == {}
    assert store.round_record() is None and store.round_block(digest("proposed", 1)) is None
    assert store.pending() == [] and store.evidence() == []


def test_a_block_is_found_by_height_id_and_transaction(store: Store) -> None:
    for height in (1, 2, 3):
        store.write(Batch(block=block_of(height)))
    assert store.head() == 3
    assert [store.block(height) for height in range(5)] == [None, block_of(1), block_of(2), block_of(3), None]
    assert store.height_of(digest("block", 2)) == 2
    assert store.locate(digest("tx", 3, 1)) == (3, 1)
    assert store.block(-1) is None


def test_a_block_without_transactions_is_kept_too(store: Store) -> None:
    empty = FinalBlock(1, digest("block", 1), b"raw", b"", ())
    store.write(Batch(block=empty))
    assert store.block(1) == empty


@pytest.mark.parametrize("height", [1, 2, 4])
def test_a_block_that_is_not_the_heads_child_is_an_assert_and_changes_nothing(store: Store, height: int) -> None:
    store.write(batch_of(1))
    store.write(batch_of(2))
    before = contents(store)
    batch = Batch(
        block=FinalBlock(height, digest("other"), b"raw", b"", (digest("else"),)),
        state={b"key": b"value"},
        clear_round=True,
        pending_added=(PendingTransaction(digest("new"), b"new"),),
    )
    with pytest.raises(AssertionError, match="not the head's child"):
        store.write(batch)
    assert contents(store) == before
    assert store.height_of(digest("other")) is None and store.locate(digest("else")) is None
    store.write(batch_of(3))
    assert store.head() == 3


def test_the_set_of_each_height_is_known_however_many_changes_ago(store: Store) -> None:
    """More than sixty changes: so that on the disk whole sets and changes of them take turns."""
    assert store.validators(1) is None
    for height in range(1, 221):
        batch = batch_of(height)
        store.write(Batch(block=batch.block, sets=batch.sets))
    assert [store.validators(height) for height in range(1, 222)] == [set_of_height(height) for height in range(1, 222)]
    assert store.validators(0) is None


def test_the_turns_of_the_newest_blocks_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory, sqlite_validators):
        monkeypatch.setattr(module, "TURNS_MAX", 3)
    assert store.turns() == []
    for height in range(1, 6):
        store.write(Batch(block=block_of(height), turn=turn_of_test(height)))
    assert store.turns() == [turn_of_test(height) for height in (3, 4, 5)]


def test_state_records_are_set_changed_and_deleted(store: Store) -> None:
    store.write(Batch(state={b"a": b"1", b"b": b"2", b"c": b""}))
    store.write(Batch(state={b"b": b"3", b"a": None, b"d": b"4", b"never": None}))
    assert sorted(store.state_records().items()) == [(b"b", b"3"), (b"c", b""), (b"d", b"4")]
    store.write(Batch(state={b"d": b"5", b"b": b"6"}))
    assert sorted(store.state_records().items()) == [(b"b", b"6"), (b"c", b""), (b"d", b"5")]


def test_state_records_are_of_one_moment(store: Store) -> None:
    store.write(Batch(state={b"%d" % number: b"old" for number in range(5)}))
    records = store.state_records()
    store.write(Batch(state={b"0": None, b"4": b"new", b"5": b"new"}))
    assert records == {b"%d" % number: b"old" for number in range(5)}
    records.clear()
    assert len(store.state_records()) == 5, "what was read is the reader's own"


def test_the_round_in_progress_is_cleared_before_the_next_is_recorded(store: Store) -> None:
    store.write(Batch(round_record=b"one", round_blocks=((digest(1), b"1"),)))
    store.write(Batch(round_record=b"two", round_blocks=((digest(2), b"2"),)))
    assert (store.round_record(), store.round_block(digest(1)), store.round_block(digest(2))) == (b"two", b"1", b"2")
    store.write(Batch(clear_round=True, round_record=b"three", round_blocks=((digest(3), b"3"),)))
    assert (store.round_record(), store.round_block(digest(1)), store.round_block(digest(3))) == (b"three", None, b"3")
    store.write(Batch(clear_round=True))
    assert (store.round_record(), store.round_block(digest(3))) == (None, None)


def test_pending_transactions_keep_their_order(store: Store) -> None:
    ids = [digest(number) for number in range(6)]  # whose order is another one
    rows = [PendingTransaction(ids[number], b"%d" % number, (Stage("received", number),)) for number in range(5)]
    store.write(Batch(pending_added=tuple(rows[:3])))
    again = PendingTransaction(ids[1], b"1", (Stage("received", 99),))
    store.write(Batch(pending_added=(rows[3], again), pending_removed=(ids[0], ids[2])))
    store.write(Batch(pending_added=(PendingTransaction(ids[0], b"0"), rows[4]), pending_removed=(ids[4], ids[5])))
    assert store.pending() == [rows[1], rows[3], PendingTransaction(ids[0], b"0")]


def told(number: int, *names: str) -> TransactionStory:
    stages = tuple(Stage(name, number + 1, code=name, why="…") for name in names or ("expired",))
    return TransactionStory(Hash32(number.to_bytes(32, "big")), stages)


def test_the_newest_story_of_an_id_counts_and_an_end_counts_more_than_a_refusal(store: Store) -> None:
    store.write(Batch(ended=(told(1, "received", "replaced"), told(2)), refused=(told(3, "refused"),)))
    assert store.story(told(1).id) == told(1, "received", "replaced").stages
    store.write(Batch(ended=(told(1, "received", "waiting", "evicted"),), refused=(told(2, "refused"),)))
    assert store.story(told(1).id) == told(1, "received", "waiting", "evicted").stages
    assert store.story(told(2).id) == told(2).stages and store.story(told(3).id) == told(3, "refused").stages
    store.write(Batch(ended=(told(3),)))
    assert store.story(told(3).id) == told(3).stages


def test_what_became_final_after_all_is_told_to_its_end(store: Store) -> None:
    """Replaced at this node, and final by the votes of the others."""
    decided = Stage("final", 9, 1, 0)
    ids = tuple(told(number).id for number in range(3))
    store.write(Batch(ended=(told(0, "received", "replaced"),)))
    own: tuple[Story, ...] = ((decided,), (), (Stage("received", 4), decided))
    store.write(Batch(block=FinalBlock(1, digest("block", 1), b"raw", b"", ids), block_stories=own))
    assert store.story(ids[0]) == (*told(0, "received", "replaced").stages, decided)
    assert store.story(ids[1]) == () and store.story(ids[2]) == own[2]


def test_stories_refusals_and_evidence_are_bounded(store: Store) -> None:
    store.write(Batch(ended=tuple(told(number) for number in range(STORIES_MAX))))
    store.write(Batch(ended=(told(0),)))  # the oldest becomes the newest
    store.write(Batch(ended=tuple(told(STORIES_MAX + number) for number in range(3))))
    kept = [number for number in (*range(6), STORIES_MAX - 1, STORIES_MAX + 2) if store.story(told(number).id)]
    assert kept == [0, 4, 5, STORIES_MAX - 1, STORIES_MAX + 2]
    flood = range(10**6, 10**6 + REFUSALS_MAX + 2)
    store.write(Batch(refused=tuple(told(number) for number in flood)))
    assert [number for number in (*flood[:4], flood[-1]) if store.story(told(number).id)] == [*flood[2:4], flood[-1]]
    assert store.story(told(4).id)  # a flood of refusals pushes out nobody else's story
    store.write(Batch(evidence=tuple(b"%d" % number for number in range(EVIDENCE_MAX + 2))))
    assert len(store.evidence()) == EVIDENCE_MAX
    assert store.evidence()[0] == b"2" and store.evidence()[-1] == b"%d" % (EVIDENCE_MAX + 1)


def test_stories_of_blocks_are_bounded_by_their_transactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in ("blockchain.node.store", "blockchain.runtime.sqlite_stories"):
        monkeypatch.setattr(f"{room}.STORIES_MAX", 5)
    ids = {height: tuple(digest("tx", height, position) for position in range(height % 3)) for height in range(1, 9)}
    for height in range(1, 9):  # one, two and no transactions in turn
        decided = Stage("final", height, height, 0)
        block = FinalBlock(height, digest("block", height), b"raw", b"", ids[height])
        store.write(Batch(block=block, block_stories=((decided,),) * len(ids[height])))
    assert [height for height in range(1, 9) if any(store.story(each) for each in ids[height])] == [5, 7, 8]


def test_prevotes_are_kept_by_height_and_their_bytes_are_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory, sqlite_rows):
        monkeypatch.setattr(module, "PREVOTES_BYTES_MAX", 10)

    def held() -> list[int]:
        return [height for height in range(20) if store.prevotes(height) is not None]

    for height in (3, 5, 9):
        store.write(Batch(prevotes=HeightVotes(height, b"%d   " % height)))
    assert held() == [5, 9] and store.prevotes(9) == b"9   "
    store.write(Batch(prevotes=HeightVotes(9, b"twelve")))
    assert held() == [5, 9] and store.prevotes(9) == b"twelve", "in the place of those of its height"
    store.write(Batch(prevotes=HeightVotes(12, b"1234567890")))
    assert held() == [12]
    store.write(Batch(prevotes=HeightVotes(14, b""), prevotes_first=13))
    assert held() == [14] and store.prevotes(14) == b""


def test_evidence_is_kept_once_oldest_first(store: Store) -> None:
    store.write(Batch(evidence=(b"b", b"a")))
    store.write(Batch(evidence=(b"b", b"c", b"c")))
    assert store.evidence() == [b"b", b"a", b"c"]


def test_the_history_of_an_account_is_newest_first_and_before_its_cursor(store: Store) -> None:
    a, b, c = Address(digest("a")), Address(digest("b")), Address(digest("c"))
    for height, parties in enumerate([((a, b), (b,)), (), ((c, a), (b, c), (a, b)), ((b, a),)], 1):
        ids = tuple(digest("tx", height, position) for position in range(len(parties)))
        block = FinalBlock(height, digest("block", height), b"raw", b"", ids)
        store.write(Batch(block=block, parties=parties))
    everything = [(4, 0), (3, 2), (3, 0), (1, 0)]
    assert store.history(a, None, 100) == everything
    assert store.history(b, None, 100) == [(4, 0), (3, 2), (3, 1), (1, 1), (1, 0)]
    assert store.history(digest("nobody"), None, 100) == [] == store.history(a, None, 0)
    assert store.history(a, None, 2) == everything[:2]
    for place in [(5, 0), (4, 0), (3, 2), (3, 1), (3, 0), (1, 0), (0, 0)]:
        assert store.history(a, place, 100) == [each for each in everything if each < place]
    assert store.history(a, (4, 0), 2) == everything[1:3]


def test_an_empty_batch_changes_nothing(store: Store) -> None:
    store.write(batch_of(1))
    before = contents(store)
    store.write(Batch())
    assert contents(store) == before


def test_both_stores_answer_alike(tmp_path: Path) -> None:
    in_memory = MemoryStore()
    with closing(SqliteStore.open(tmp_path, GENESIS)) as on_disk:
        for height in range(1, 60):
            in_memory.write(batch_of(height))
            on_disk.write(batch_of(height))
            if height % 10 == 9:
                assert contents(on_disk) == contents(in_memory)


def test_what_was_read_does_not_change_with_a_later_write() -> None:
    store = MemoryStore()
    store.write(batch_of(1))
    pending, evidence, records = store.pending(), store.evidence(), store.state_records()
    state = sorted(store.state_records().items())
    before = list(pending)
    store.write(batch_of(2))
    assert (pending, evidence) == (before, [b"evidence 0"])
    assert sorted(records.items()) == state


def test_a_halt_is_kept_and_its_first_reason_stays(store: Store) -> None:
    assert store.halted() == ""
    store.write(Batch(halted="two certificates — one height"))
    store.write(Batch(halted="later"))
    store.write(batch_of(1))
    assert store.halted() == "two certificates — one height"


def test_what_is_not_trusted_is_kept_until_it_is(store: Store) -> None:
    assert store.untrusted_above() is None
    store.write(Batch(untrusted_above=0))
    assert store.untrusted_above() == 0
    store.write(Batch(untrusted_above=12))
    store.write(batch_of(1))
    assert store.untrusted_above() == 12
    store.write(Batch(is_trusted=True))
    assert store.untrusted_above() is None
