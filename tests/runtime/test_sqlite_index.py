"""The index of places: names that are alike by chance or on purpose, and places at the ends of what can be."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from blockchain.primitives.crypto import Hash32
from blockchain.runtime.sqlite_file import TABLES
from blockchain.runtime.sqlite_index import add_block, entries_of, height_of, read_history, read_place
from blockchain.seams import FinalBlock
from tests.runtime.store_batches import digest


@pytest.fixture(name="connection")
def connection_fixture() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as connection:
        for name in ("index_runs", "index_pages"):
            connection.execute(f"CREATE TABLE {name} {TABLES[name]}")
        yield connection


def block(height: int, *ids: bytes) -> FinalBlock:
    return FinalBlock(height, digest("block", height), b"", b"", tuple(Hash32(each) for each in ids))


def alike(number: int) -> bytes:
    """They differ in their last byte."""
    return b"\xff" * 31 + bytes([number])


def test_names_that_are_alike_are_told_apart(connection: apsw.Connection) -> None:
    """Anybody can pay to an address that begins like another, or is the id of a transaction."""
    add_block(connection, block(1, alike(0), alike(255)), ((alike(254), alike(255)), (alike(0), alike(1))))
    for height in range(2, 40):
        add_block(connection, block(height, digest(height)), ((alike(255), alike(1)),))
    assert read_place(connection, alike(0)) == (1, 0) and read_place(connection, alike(255)) == (1, 1)
    assert [read_place(connection, alike(number)) for number in (1, 254)] == [None, None]
    assert read_history(connection, alike(254), None, 9) == [(1, 0)]
    assert read_history(connection, alike(0), None, 9) == [(1, 1)]
    assert read_history(connection, alike(255), (4, 0), 9) == [(3, 0), (2, 0), (1, 0)]
    assert read_history(connection, alike(1), None, 2) == [(39, 0), (38, 0)]
    assert read_history(connection, digest(7), None, 9) == []


@pytest.mark.parametrize(
    ("before", "count"),
    [
        ((10**15, 0), 3),
        ((10**15, 10**9), 3),
        ((2**40 - 1, 2**24 - 1), 3),
        ((2, 2**24), 2),
        ((2, 3 << 24), 2),
        ((2, 0), 1),
        ((1, 0), 0),
        ((0, 2**24), 0),
    ],
)
def test_a_border_beyond_what_can_be_is_a_border(
    connection: apsw.Connection, before: tuple[int, int], count: int
) -> None:
    """It is the word of a client, and no position may be taken for a part of the height."""
    for height in (1, 2, 3):
        add_block(connection, block(height, digest(height)), ((alike(7),),))
    assert read_history(connection, alike(7), before, 9) == [(3, 0), (2, 0), (1, 0)][3 - count :]


def test_a_place_is_as_high_as_a_place_can_be(connection: apsw.Connection) -> None:
    height, position = 2**40 - 1, 70_000
    add_block(connection, block(height, *[alike(0)] * (position + 1)), [()] * position + [(alike(255),)])
    assert read_history(connection, alike(255), None, 1) == [(height, position)]
    assert read_history(connection, alike(255), (height, position), 1) == []
    assert [height_of(entry) for entry in entries_of(height, (alike(0),), ((alike(1),),))] == [height, height]
