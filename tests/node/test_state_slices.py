"""Slices of the state: they go round it, and what a store keeps is bounded by the state, not by the chain."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from random import Random

import apsw
import pytest

from blockchain.ledger.state import FinalState, Overlay
from blockchain.node import state_slices
from blockchain.node.state_slices import StateSlices
from blockchain.node.store import MemoryStore
from blockchain.runtime import sqlite_state
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Batch, SliceEnd, StateSlice, Store
from tests.runtime.kills import Kills
from tests.runtime.store_batches import GENESIS


class Grown:
    """A state that changes at random, told to a store as a chain tells it."""

    def __init__(self, store: Store, records: int) -> None:
        self.random = Random(7)
        self.store = store
        self.state = FinalState((self.key(), b"value" * 4) for _ in range(records))
        self.slices = StateSlices(store.slice_end())

    def key(self) -> bytes:
        return b"a" + self.random.randrange(2_000).to_bytes(32, "big")

    def step(self, changes: int) -> StateSlice:
        overlay = Overlay(self.state)
        for _ in range(changes):
            overlay.set(self.key(), self.random.choice([None, self.random.randbytes(self.random.randrange(1, 40))]))
        self.state.commit(overlay)
        part = self.slices.next(self.state, overlay.changes())
        self.store.write(Batch(state=overlay.changes(), slice=part))
        return part

    def check(self) -> None:
        assert self.store.state_records() == dict(self.state.since(b""))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_slices, "SLICE_BYTES_MIN", 100)
    monkeypatch.setattr(sqlite_state, "ROW_RECORDS", 50)  # genesis is several rows


def test_the_first_slice_is_all_and_later_ones_go_round() -> None:
    grown = Grown(MemoryStore(), 300)
    part = grown.step(0)
    assert part == StateSlice(SliceEnd(1, b""), dict(grown.state.since(b"")), len(grown.state))
    ends = [grown.step(3).end for _ in range(400)]
    assert ends == sorted(ends) and ends[-1].lap > 2
    assert grown.store.slice_end() == ends[-1]


def test_a_slice_is_about_as_large_as_the_changes_and_has_no_changed_record() -> None:
    grown = Grown(MemoryStore(), 1_000)
    grown.step(0)
    for changes in (0, 5, 50):
        before = grown.slices._end
        overlay = Overlay(grown.state)
        for key, _ in list(grown.state.since(before.key))[:changes]:
            overlay.set(key, b"changed")
        grown.state.commit(overlay)
        part = grown.slices.next(grown.state, overlay.changes())
        passed = [(key, value) for key, value in grown.state.since(before.key) if key < part.end.key]
        size = sum(len(key) + len(value) for key, value in passed)
        wanted = max(40 * changes, 100)
        assert wanted <= size < wanted + 53 + 1
        assert part.records == {key: value for key, value in passed if key not in overlay.changes()}


def test_a_store_on_disk_keeps_twice_the_state_however_many_blocks_there_are(tmp_path: Path) -> None:
    with closing(SqliteStore.open(tmp_path, GENESIS)) as store:
        grown = Grown(store, 300)
        sizes = []
        for block in range(140):
            grown.step(grown.random.randrange(16))
            if block % 20 == 0:
                grown.check()
            sizes.append(log_bytes(store.path))
        assert store.slice_end().lap > 2
        state = sum(len(key) + len(value) for key, value in grown.state.since(b""))
        assert max(sizes) < 2.7 * state + 5_000, "encoding and the oldest rows' overlap included"


def log_bytes(path: Path) -> int:
    with closing(apsw.Connection(str(path))) as connection:
        (size,) = (connection.execute("SELECT sum(length(raw)) FROM state_log").get,)
        assert isinstance(size, int)
        return size


def test_after_a_restart_the_slices_go_on_where_they_were(tmp_path: Path) -> None:
    ends: list[SliceEnd] = []
    for life in range(4):
        with closing(SqliteStore.open(tmp_path, GENESIS)) as store:
            grown = Grown(store, 150 if life == 0 else 0)
            if life:
                grown.state = FinalState(store.state_records())
            ends += [grown.step(4).end for _ in range(9)]
            assert store.slice_end() == ends[-1]
            grown.check()
    assert ends == sorted(ends) and ends[-1].lap > 0


def test_killed_before_any_statement_of_a_write_a_store_has_the_state_before_or_after_it(tmp_path: Path) -> None:
    """Among them writes at the end of a lap, with which rows go."""
    with closing(SqliteStore.open(tmp_path / "data", GENESIS)) as store:
        grown = Grown(store, 40)
        for _ in range(20):
            grown.step(4)
        kills = Kills(tmp_path / "data", tmp_path / "killed", every=3)
        kills.watch(store._writer)
        states, ends, first = [store.state_records()], list[int](), store.slice_end()
        while store.slice_end().lap < first.lap + 2:
            grown.step(4)
            states.append(store.state_records())
            ends.append(len(kills.folders))
    assert len(kills.folders) > 20
    for number, folder in enumerate(kills.folders):
        with closing(SqliteStore.open(folder, GENESIS)) as store:
            assert store.state_records() == states[sum(number >= end for end in ends)]


def test_a_store_without_slices_has_no_end(tmp_path: Path) -> None:
    assert MemoryStore().slice_end() == SliceEnd(0, b"")
    with closing(SqliteStore.open(tmp_path, GENESIS)) as store:
        assert store.slice_end() == SliceEnd(0, b"")
