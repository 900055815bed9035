"""The rows of the pool: found without an index, gone when they are, and never much more than what waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from zlib import crc32

import apsw
import pytest

from blockchain.errors import StoreError
from blockchain.node.store import MemoryStore
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.sqlite_file import TABLES
from blockchain.runtime.sqlite_pending import ROW_TRANSACTIONS_MAX, SPARSE, PackedRow, PendingRows, read_pending
from blockchain.seams import Batch, PendingTransaction, Stage, Store
from tests.runtime.kills import Kills
from tests.runtime.store_batches import GENESIS, digest

TABLES_HERE = ("pending", "pending_gone")
DAMAGED = b"\x94\xc4\x00\x91\xc4\x01r\x91\x90\x91\x00"  # a transaction without an id


def made(first: int, count: int) -> tuple[PendingTransaction, ...]:
    story = (Stage("received", first),)
    return tuple(
        PendingTransaction(digest(number), b"raw %d" % number, story) for number in range(first, first + count)
    )


def ids(transactions: tuple[PendingTransaction, ...]) -> tuple[Hash32, ...]:
    return tuple(one.id for one in transactions)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(":memory:")) as opened:
        for name in TABLES_HERE:
            opened.execute(f"CREATE TABLE {name} {TABLES[name]}")
        yield opened


def count(connection: apsw.Connection, table: str = "pending") -> int:
    (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    return int(found)


def size(connection: apsw.Connection) -> int:
    (found,) = connection.execute("SELECT sum(length(raw)) FROM pending").fetchone() or (0,)
    return int(found)


def test_what_comes_together_is_a_row_and_a_row_has_a_bound(connection: apsw.Connection) -> None:
    rows = PendingRows(connection)
    rows.add(made(0, 3))
    assert count(connection) == 1
    rows.add(made(3, ROW_TRANSACTIONS_MAX + 1))
    assert count(connection) == 3
    assert read_pending(connection) == [*made(0, 3), *made(3, ROW_TRANSACTIONS_MAX + 1)]


def test_a_row_ends_with_its_last_transaction_and_leaves_nothing_behind(connection: apsw.Connection) -> None:
    rows, some, more = PendingRows(connection), made(0, 8), made(8, 8)
    rows.add(some)
    rows.add(more)
    rows.remove(ids(some[:3]))
    assert (count(connection), count(connection, "pending_gone")) == (2, 1)
    rows.remove((*ids(some[3:]), digest("never there")))
    assert (count(connection), count(connection, "pending_gone")) == (1, 0)
    assert read_pending(connection) == list(more)
    rows.remove(ids(more))
    assert [count(connection, table) for table in TABLES_HERE] == [0, 0]


def test_those_who_wait_for_long_do_not_keep_what_came_with_them(connection: apsw.Connection) -> None:
    """Of each row one is left, the last; and it leaves like any other."""
    rows, last = PendingRows(connection), []
    for first in range(0, 20 * ROW_TRANSACTIONS_MAX, ROW_TRANSACTIONS_MAX):
        together = made(first, ROW_TRANSACTIONS_MAX)
        rows.add(together)
        rows.remove(ids(together[:-1]))
        last.append(together[-1])
    assert read_pending(connection) == last and count(connection, "pending_gone") == 0
    assert size(connection) < 20 * 100
    rows.remove(ids(tuple(last[3:])))
    assert read_pending(connection) == last[:3] and count(connection) == 3


def test_a_row_is_never_larger_than_so_many_times_what_is_left_of_it(connection: apsw.Connection) -> None:
    rows, together = PendingRows(connection), made(0, 200)
    rows.add(together)
    full, order = size(connection) / 200, list(together)
    Random(1).shuffle(order)
    for left in range(199, 0, -1):
        rows.remove([order.pop().id])
        assert size(connection) <= SPARSE * left * full * 1.5 + 100  # a story of 20 bytes is shared by fewer
    assert read_pending(connection) == order


def test_it_holds_what_the_store_in_memory_holds_whatever_comes_and_goes(tmp_path: Path) -> None:
    """Through restarts, too, with what is added twice, in one write or in two."""
    chance, model = Random(7), MemoryStore()
    for _ in range(6):
        with closing(SqliteStore.open(tmp_path, GENESIS)) as store:
            for _ in range(40):
                waiting = [one.id for one in model.pending()]
                leaving = chance.sample(waiting, chance.randint(0, len(waiting)))
                added = (*made(chance.randrange(900), chance.randint(0, 90)), *made(chance.randrange(900), 5))
                batch = Batch(pending_added=added, pending_removed=(*leaving, added[0].id))
                for each in (store, model):
                    each.write(batch)
                assert store.pending() == model.pending()


def test_a_write_that_was_undone_leaves_no_trace_in_what_is_known(tmp_path: Path) -> None:
    class PlantedError(Exception):
        pass

    class Breaking(tuple[bytes, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[bytes]:
            raise PlantedError

    with closing(SqliteStore.open(tmp_path, GENESIS)) as store:
        store.write(Batch(pending_added=made(0, 5)))
        with pytest.raises(PlantedError):
            store.write(
                Batch(pending_added=made(5, 5), pending_removed=ids(made(0, 3)), evidence=Breaking((b"never",)))
            )
        assert store.pending() == list(made(0, 5))
        store.write(Batch(pending_added=made(5, 5), pending_removed=ids(made(0, 3))))
        assert store.pending() == [*made(0, 5)[3:], *made(5, 5)]


def test_killed_at_any_statement_a_write_is_there_or_not(tmp_path: Path) -> None:
    """One whose removals end a row, mark one, and make one be written again."""
    before, added = (made(0, 10), made(10, 10), made(20, 10)), made(30, 300)
    leaving = (*ids(before[0]), *ids(before[1][::2]), *ids(before[2][:9]))
    kills, models = Kills(tmp_path / "data", tmp_path / "killed"), [MemoryStore(), MemoryStore()]
    stores: list[Store] = [*models]
    with closing(SqliteStore.open(tmp_path / "data", GENESIS)) as store:
        for together in before:
            for each in (store, *stores):
                each.write(Batch(pending_added=together))
        kills.watch(store._writer)
        for each in (store, models[1]):
            each.write(Batch(pending_added=added, pending_removed=leaving))
        store._writer.exec_trace = None
    assert len(kills.folders) >= 8
    for folder in kills.folders:
        with closing(SqliteStore.open(folder, GENESIS)) as store:
            assert store.pending() == models[0].pending()
            store.write(Batch(pending_added=added, pending_removed=leaving))
            assert store.pending() == models[1].pending()


def twice(connection: apsw.Connection) -> None:
    ((raw,),) = connection.execute("SELECT raw FROM pending").fetchall()
    assert isinstance(raw, bytes)
    connection.execute("INSERT INTO pending VALUES (2, ?, ?)", (raw, crc32(raw, 2)))


def packed(raw: bytes) -> Callable[[apsw.Connection], object]:
    return lambda connection: connection.execute("UPDATE pending SET raw = ?, crc = ?", (raw, crc32(raw, 1)))


def gone(bits: bytes, crc: int | None = None, seq: int = 1) -> Callable[[apsw.Connection], object]:
    row = (seq, bits, crc32(bits, seq) if crc is None else crc)
    return lambda connection: connection.execute("INSERT INTO pending_gone VALUES (?, ?, ?)", row)


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda connection: connection.execute("UPDATE pending SET raw = zeroblob(9)"), "a row of pending"),
        (lambda connection: connection.execute("UPDATE pending SET raw = 'text'"), "a row of pending"),
        (packed(b"\xc0"), "the contents of a row"),
        (packed(DAMAGED), "the contents of a row"),
        (packed(codec.encode(PackedRow(bytes(32), (b"r",), ((),), (1,)))), "the contents of a row"),
        (packed(codec.encode(PackedRow(bytes(32), (b"r",), ((),), ()))), "the contents of a row"),
        (gone(b"\1", crc=7), "which pending transactions have left"),
        (lambda connection: connection.execute("INSERT INTO pending_gone VALUES (1, 'text', 0)"), "which pending"),
        (gone(b"\x20"), "more has left a row"),
        (gone(b"\1", crc=crc32(b"\1", 2)), "which pending transactions have left"),  # of another row
        (gone(b"\1", seq=2), "left a row that is not there"),
        (lambda connection: connection.execute("UPDATE pending SET seq = 2"), "a row of pending"),
        (twice, "twice"),
    ],
)
def test_damage_is_noticed(connection: apsw.Connection, harm: Callable[[apsw.Connection], object], words: str) -> None:
    PendingRows(connection).add(made(0, 5))
    harm(connection)
    with pytest.raises(StoreError, match=f"is damaged .*{words}"):
        read_pending(connection)
