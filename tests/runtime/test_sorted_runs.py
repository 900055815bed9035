"""Sorted runs against a plain set: what is found, that it is found once, and what an addition may cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from random import Random
from struct import Struct

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import StoreError
from blockchain.runtime import sorted_runs
from blockchain.runtime.sorted_runs import ENTRY_BYTES, add, find, missing, newest, read_all
from blockchain.runtime.sqlite_file import TABLES

PAGE = 4  # entries, so that small tests have many pages
ABOVE = b"\xff" * 9


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_runs, "PAGE_ENTRIES", PAGE)
    monkeypatch.setattr(sorted_runs, "STEP_ENTRIES", 4 * PAGE)
    monkeypatch.setattr(sorted_runs, "_FULL_PAGE", Struct("41s" * PAGE))


@pytest.fixture(name="connection")
def connection_fixture() -> Iterator[apsw.Connection]:
    with closing(opened()) as connection:
        yield connection


def opened() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    for name in ("index_runs", "index_pages"):
        connection.execute(f"CREATE TABLE {name} {TABLES[name]}")
    return connection


def entry(name: int, place: int) -> bytes:
    """The names of neighbours differ in their last byte only."""
    return b"t" + b"same " * 6 + name.to_bytes(2, "big") + place.to_bytes(8, "big")


def everything(connection: apsw.Connection) -> list[bytes]:
    return sorted(each for page in read_all(connection) for each in page)


def expected(model: set[bytes], prefix: bytes, end: bytes, count: int) -> list[bytes]:
    return sorted((each for each in model if each.startswith(prefix) and each < end), reverse=True)[:count]


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=60), names=st.integers(1, 400), seed=st.integers(0, 2**32)
)
def test_it_is_as_a_plain_set(sizes: list[int], names: int, seed: int) -> None:
    """Blocks of any sizes, few names or many: each entry is there once at each moment, and is found from any end."""
    random, model, place = Random(seed), set[bytes](), 0
    with closing(opened()) as connection:
        for size in sizes:
            added = [entry(random.randrange(names), place + number) for number in range(size)]
            place += size
            random.shuffle(added)
            add(connection, added)
            model.update(added)
            assert missing(connection, added) == []
            for each in random.sample(sorted(model), min(len(model), 3)):
                assert find(connection, each) == each and find(connection, each[:-8] + b"\xff" * 8) is None
            prefix = entry(random.randrange(names), 0)[:-8]
            for end in (prefix + ABOVE, prefix + random.randrange(place + 1).to_bytes(8, "big")):
                for count in (1, 3, 10_000):
                    assert newest(connection, prefix, end, count) == expected(model, prefix, end, count)
        assert everything(connection) == sorted(model)


def test_an_addition_costs_in_proportion_to_it_and_look_ups_stay_few(connection: apsw.Connection) -> None:
    """However much is there: the pages that one addition writes and removes, and the runs that a look-up reads."""
    random, runs = Random(1), 0
    for block in range(300):
        before = page_numbers(connection)
        add(connection, [entry(random.randrange(65_536), 3 * block + number) for number in range(3)])
        after = page_numbers(connection)
        assert len(after - before) <= 60 and len(before - after) <= 120
        runs = max(runs, len(connection.execute("SELECT 1 FROM index_runs WHERE stage = 1").fetchall()))
    assert runs <= 45
    assert len(page_numbers(connection)) * PAGE < 2.5 * 900, "no more than half as much again waits to be removed"


def page_numbers(connection: apsw.Connection) -> set[object]:
    return {seq for (seq,) in connection.execute("SELECT seq FROM index_pages")}


def test_blocks_of_very_different_sizes_do_not_pile_up(connection: apsw.Connection) -> None:
    """A few large ones, then many of one entry: these are not kept waiting by the merge of those."""
    place = 0
    for size in [800] * 8 + [1] * 150:
        add(connection, [entry(place + number, place + number) for number in range(size)])
        place += size
    assert len(connection.execute("SELECT 1 FROM index_runs WHERE stage = 1").fetchall()) <= 40
    assert len(everything(connection)) == place


def test_an_empty_block_costs_nothing(connection: apsw.Connection) -> None:
    add(connection, [])
    assert everything(connection) == [] and connection.total_changes() == 0
    assert missing(connection, [entry(1, 1)]) == [entry(1, 1)] and missing(connection, []) == []


def test_what_is_missing_is_told(connection: apsw.Connection) -> None:
    for block in range(20):
        add(connection, [entry(block, 10 * block + number) for number in range(0, 10, 2)])
    assert missing(connection, [entry(7, 70), entry(7, 71), entry(7, 72)]) == [entry(7, 71)]
    assert missing(connection, [entry(99, 1), entry(99, 2)]) == [entry(99, 1), entry(99, 2)]


def grow(connection: apsw.Connection, first: int, last: int) -> None:
    for block in range(first, last):
        add(connection, [entry(10 * number + block, block) for number in range(12)])


def test_a_merge_that_loses_an_entry_is_noticed(connection: apsw.Connection) -> None:
    """Whole pages that are gone have no check sum to be noticed by."""
    grow(connection, 0, 7)
    connection.execute("DELETE FROM index_pages WHERE first = (SELECT max(first) FROM index_pages WHERE run = 3)")
    with pytest.raises(StoreError, match="lost entries"):
        grow(connection, 7, 20)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("DELETE FROM index_pages WHERE seq = (SELECT max(seq) FROM index_pages WHERE run = 9)", "entries in a run of"),
        ("UPDATE index_pages SET raw = zeroblob(41) WHERE run = 9", "a page of the index"),
        ("UPDATE index_runs SET target = 0 WHERE target = 9", "do not belong together"),
        ("UPDATE index_runs SET target = 77 WHERE run = 3", "do not belong together"),
        ("DELETE FROM index_runs WHERE run = 9", "do not belong together"),
        ("UPDATE index_pages SET run = 77 WHERE run = 9", "do not belong together"),
    ],
)
def test_the_whole_check_sees_what_a_merge_has_written(connection: apsw.Connection, damage: str, words: str) -> None:
    grow(connection, 0, 8)
    assert connection.execute("SELECT stage, entries > 0 FROM index_runs WHERE run = 9").fetchall() == [(0, 1)]
    assert len(everything(connection)) == 8 * 12
    connection.execute(damage)
    with pytest.raises(StoreError, match=words):
        everything(connection)


def test_a_damaged_page_stops_a_merge(connection: apsw.Connection) -> None:
    grow(connection, 0, 7)
    connection.execute("UPDATE index_pages SET raw = zeroblob(?) WHERE run = 3", (PAGE * ENTRY_BYTES,))
    with pytest.raises(StoreError, match="a page of the index"):
        grow(connection, 7, 8)
