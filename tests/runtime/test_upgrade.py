"""A store of an earlier version is brought up to date where it lies, whole or not at all."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from zlib import crc32

import apsw
import pytest

from blockchain.errors import StoreError
from blockchain.runtime import sqlite, sqlite_upgrade
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.sqlite_backup import back_up
from blockchain.runtime.sqlite_file import SCHEMA_VERSION, TABLES, open_writer
from blockchain.seams import Batch, PendingTransaction, Stage, Store
from tests.node.one_chain import Node, spec_with
from tests.runtime.broken_disk import BrokenDisk
from tests.runtime.kills import Kills
from tests.runtime.store_batches import GENESIS, contents, digest
from tests.runtime.store_v1 import write_store_1
from tests.runtime.store_v3 import take_back
from tests.runtime.store_v4 import take_back_to_4
from tests.samples import address, wallet

NIL = b"\xc0"  # no story
ACCOUNTS = [address(name) for name in ("a", "b", "mint", "nobody")]


@pytest.fixture
def disk() -> Iterator[BrokenDisk]:
    broken = BrokenDisk("broken-upgrade")
    yield broken
    broken.unregister()


def grown() -> Node:
    """A chain of five blocks with all kinds of transactions."""
    node = Node(spec_with())
    node.grow(node.pay("a", 0), node.pay("b", 0))
    node.grow(wallet("mint", node.spec.hash).exchange(address("b"), 7, 0, 0))
    node.grow(wallet("a", node.spec.hash).stake(5, 1), node.pay("a", 2))
    node.grow(node.pay("b", 1), wallet("b", node.spec.hash).transfer(address("mint"), 1, 2, 0))
    node.grow(node.pay("a", 3))
    return node


def histories(store: Store) -> list[list[tuple[int, int]]]:
    return [store.history(account, None, 100) for account in ACCOUNTS]


def test_the_history_is_made_from_the_blocks(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    node = grown()
    waits, lost = node.pay("a", 4), [node.pay("b", nonce) for nonce in (7, 8)]
    refused = tuple((tx.id, code, "so", 9) for tx, code in zip(lost, ("nonce_used", "evicted"), strict=True))
    path = write_store_1(tmp_path, node.store, node.spec.hash, ((waits.id, waits.raw),), refused)
    with caplog.at_level(logging.INFO), closing(SqliteStore.open(tmp_path, node.spec.hash)) as store:
        assert store.pending() == [PendingTransaction(waits.id, waits.raw)]
        assert store.story(lost[0].id) == (Stage("refused", 9, code="nonce_used", why="so"),)
        assert store.story(lost[1].id) == (Stage("evicted", 9, code="evicted", why="so"),)
        assert contents(store) == contents(node.store) | {"pending": store.pending(), "turns": [], "sets": [None] * 7}
        assert histories(store) == histories(node.store)
        assert histories(store)[1] == [(5, 0), (4, 1), (4, 0), (3, 1), (2, 0), (1, 1), (1, 0)]
    assert f"store {path}: upgraded from format 1 to format {SCHEMA_VERSION}" in caplog.messages


def test_an_upgraded_store_is_opened_like_any_other_and_written_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = grown()
    write_store_1(tmp_path, node.store, node.spec.hash)
    with closing(SqliteStore.open(tmp_path, node.spec.hash)):
        pass
    caplog.clear()
    with closing(SqliteStore.open(tmp_path, node.spec.hash)) as store:
        assert not caplog.messages
        node.add(node.pay("a", 4))
        block = node.build()
        for effect in node.chain.finalize(block, node.certificate(block), 0, 9):
            if hasattr(effect, "batch"):
                store.write(effect.batch)
        assert store.history(address("a"), None, 2) == [(6, 0), (5, 0)]


def test_a_store_of_version_2_knows_the_sets_from_its_head_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody had written down those before. With the next block it knows that of its head, and of all later heights."""
    with closing(SqliteStore.open(tmp_path, grown().spec.hash)) as store:
        path, node = store.path, Node(spec_with(), store=store)
        node.grow(node.pay("a", 0))
    take_back(path, version=2)
    with caplog.at_level(logging.INFO), closing(SqliteStore.open(tmp_path, node.spec.hash)) as store:
        assert f"store {path}: upgraded from format 2 to format {SCHEMA_VERSION}" in caplog.messages
        assert store.validators(1) is None and store.validators(2) is None and store.turns() == []
        again = Node(spec_with(), store=store)
        again.grow(again.pay("a", 1))
        again.grow(again.pay("a", 2))
        assert [store.validators(height) for height in (1, 2, 3)] == [again.chain.validators] * 3
        assert [turn.height for turn in store.turns()] == [2, 3]


def on_disk(folder: Path, blocks: int) -> Path:
    """A chain of so many blocks with two payments each, as version 3 had it on its disk."""
    spec = spec_with()
    with closing(SqliteStore.open(folder, spec.hash)) as store:
        node = Node(spec, store=store)
        for nonce in range(blocks):
            node.grow(node.pay("a", nonce), node.pay("b", nonce))
        store.write(waiting(node))
    take_back(folder / "chain.db")
    return folder / "chain.db"


def in_memory(blocks: int) -> Node:
    node = Node(spec_with())
    for nonce in range(blocks):
        node.grow(node.pay("a", nonce), node.pay("b", nonce))
    node.store.write(waiting(node))
    return node


def waiting(node: Node) -> Batch:
    """Payments far ahead, of which two share a story."""
    payments = [node.pay("b", nonce) for nonce in (90, 91, 92)]
    shared = (Stage("received", 5, code="client"),)
    stories = (shared, shared, ())
    together = zip(payments, stories, strict=True)
    return Batch(pending_added=tuple(PendingTransaction(one.id, one.raw, story) for one, story in together))


def test_a_store_of_version_3_holds_the_same_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on as one that was always of this version; made in many small steps, as a large one is."""
    monkeypatch.setattr(sqlite_upgrade, "_ENTRIES_AT_ONCE", 8)
    monkeypatch.setattr(sqlite_upgrade, "ROW_RECORDS", 2)
    path, node = on_disk(tmp_path, 30), in_memory(30)
    with closing(SqliteStore.open(tmp_path, node.spec.hash)) as store:
        assert contents(store) == contents(node.store)
        assert histories(store) == histories(node.store)
        more = Node(spec_with(), store=store)
        for nonce in range(30, 34):
            more.grow(more.pay("a", nonce))
            node.grow(node.pay("a", nonce))
        assert contents(store) == contents(node.store)
    with closing(apsw.Connection(str(path))) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert tables == set(TABLES)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("DELETE FROM state WHERE key = (SELECT max(key) FROM state)", r"\d+ records of state instead of \d+"),
        ("UPDATE state SET value = 7", "a record of state that is not bytes"),
        ("UPDATE blocks SET raw = zeroblob(9) WHERE height = 2", "block 2"),
        ("DROP TABLE state", "not the tables of format 3: no such table: state"),
        ("ALTER TABLE head DROP COLUMN state_count", "not the tables of format 3: no such column: state_count"),
        ("ALTER TABLE pending DROP COLUMN story", "not the tables of format 3: no such column: story"),
        ("CREATE VIEW more AS SELECT * FROM pending", "views or triggers"),
    ],
)
def test_damage_in_a_store_of_version_3_stops_the_upgrade(tmp_path: Path, damage: str, words: str) -> None:
    path = on_disk(tmp_path, 3)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(damage)
    for _ in range(2):
        with pytest.raises(StoreError, match=words):
            SqliteStore.open(tmp_path, spec_with().hash)


def test_a_store_of_version_3_is_backed_up_before_it_is_upgraded(tmp_path: Path) -> None:
    """By the new program: the way back from the upgrade is this copy."""
    (tmp_path / "data").mkdir()
    (tmp_path / "again").mkdir()
    path, copy = on_disk(tmp_path / "data", 3), tmp_path / "again" / "chain.db"
    before = path.read_bytes()
    assert back_up(tmp_path / "data", spec_with().hash, copy, overwrite=False, progress=lambda _done, _all: None) == 3
    assert path.read_bytes() == before
    with closing(SqliteStore.open(copy.parent, spec_with().hash)) as store:
        assert contents(store) == contents(in_memory(3).store)


@pytest.fixture(name="version_4")
def version_4_fixture(tmp_path: Path) -> Path:
    """The file of such a store, in `tmp_path`: twelve blocks, pending transactions, of which one has left already."""
    path, node = on_disk(tmp_path, 12), in_memory(12)
    with closing(SqliteStore.open(tmp_path, node.spec.hash)) as store:
        store.write(Batch(pending_removed=(store.pending()[1].id,)))
    take_back_to_4(path)
    return path


def test_a_store_of_version_4_holds_the_same_afterwards(
    tmp_path: Path, version_4: Path, caplog: pytest.LogCaptureFixture
) -> None:
    node = in_memory(12)
    first, left, last = (one.id for one in node.store.pending())
    node.store.write(Batch(pending_removed=(left,)))
    copy = tmp_path.with_suffix(".db")
    assert back_up(tmp_path, node.spec.hash, copy, overwrite=False, progress=lambda _done, _all: None) == 12
    with caplog.at_level(logging.INFO), closing(SqliteStore.open(tmp_path, node.spec.hash)) as store:
        assert f"store {version_4}: upgraded from format 4 to format {SCHEMA_VERSION}" in caplog.messages
        assert contents(store) == contents(node.store) and histories(store) == histories(node.store)
        store.write(Batch(pending_added=(PendingTransaction(last, b"again"),), pending_removed=(first,)))
        assert [one.id for one in store.pending()] == [last]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE pending SET crc = crc + 1 WHERE seq = 2", r"\(a pending transaction\)"),
        ("UPDATE pending SET id = x'00' WHERE seq = 2", r"\(a pending transaction\)"),
        ("UPDATE pending SET id = 'text' WHERE seq = 2", "a pending transaction that is not bytes"),
        ("ALTER TABLE pending DROP COLUMN story", "not the tables of format 4: no such column: story"),
        (f"UPDATE pending SET raw = x'', story = x'c0', crc = {crc32(NIL)}", "the story of a pending transaction"),
    ],
)
def test_damage_in_a_store_of_version_4_stops_its_upgrade(
    tmp_path: Path, version_4: Path, damage: str, words: str
) -> None:
    with closing(apsw.Connection(str(version_4))) as connection:
        connection.execute(damage)
    for _ in range(2):
        with pytest.raises(StoreError, match=f"is damaged .*{words}"):
            SqliteStore.open(tmp_path, spec_with().hash)


def test_an_upgrade_from_version_4_that_is_killed_at_any_statement_is_begun_again(
    tmp_path: Path, version_4: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = [one.id for one in in_memory(12).store.pending()][::2]
    kills = Kills(version_4.parent, tmp_path / "killed")
    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "open_writer", watched_by(kills))
        SqliteStore.open(version_4.parent, spec_with().hash).close()
    assert len(kills.folders) > 10
    for folder in kills.folders:
        with closing(SqliteStore.open(folder, spec_with().hash)) as store:
            assert [one.id for one in store.pending()] == kept


def watched_by(kills: Kills) -> Callable[[Path, str | None], apsw.Connection]:
    def watched(path: Path, vfs: str | None) -> apsw.Connection:
        writer = open_writer(path, vfs)
        kills.watch(writer)
        return writer

    return watched


@pytest.mark.parametrize("failure", [apsw.FullError, apsw.IOError])
def test_a_disk_that_fails_at_any_moment_of_an_upgrade_is_one_line_and_costs_nothing(
    tmp_path: Path, disk: BrokenDisk, failure: type[apsw.Error]
) -> None:
    """Also where it fails again when the file is closed."""

    def fail_after(writes: int) -> Callable[[], None]:
        left = iter(range(writes))

        def maybe_fail() -> None:
            if next(left, None) is None:
                disk.failure = failure

        return maybe_fail

    pending = tuple(PendingTransaction(digest(number), b"raw", (Stage("received", 1),)) for number in range(600))
    with closing(SqliteStore.open(tmp_path / "old", GENESIS)) as store:
        store.write(Batch(pending_added=pending))
    take_back_to_4(tmp_path / "old" / "chain.db")
    places, told = 0, []
    while disk.failure is not None or places == 0:
        folder = tmp_path / f"after {places}"
        shutil.copytree(tmp_path / "old", folder)
        disk.on_change, disk.failure = fail_after(places), None
        try:
            SqliteStore.open(folder, GENESIS, vfs=disk.name).close()
        except StoreError as error:
            told.append(str(error))
        failed, disk.failure = disk.failure, None
        disk.on_change = lambda: None
        with closing(SqliteStore.open(folder, GENESIS)) as store:
            assert store.pending() == list(pending)
        disk.failure = failed
        places += 1
    assert len(told) > 20 and not any("\n" in line for line in told)


def test_an_upgrade_that_is_killed_at_any_statement_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_disk(tmp_path / "data", 12)
    expected = contents(in_memory(12).store)
    kills = Kills(tmp_path / "data", tmp_path / "killed", every=2)

    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "open_writer", watched_by(kills))
        SqliteStore.open(tmp_path / "data", spec_with().hash).close()
    assert len(kills.folders) > 20
    for folder in kills.folders:
        with closing(SqliteStore.open(folder, spec_with().hash)) as store:
            assert contents(store) == expected


def test_a_damaged_block_stops_the_upgrade_and_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    node = grown()
    path = write_store_1(tmp_path, node.store, node.spec.hash)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("UPDATE blocks SET checksum = zeroblob(32) WHERE height = 3")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"is damaged \(block 3\)"):
            SqliteStore.open(tmp_path, node.spec.hash)
    with closing(apsw.Connection(str(path))) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert "state_log" not in tables and "refused" in tables
        connection.execute("DELETE FROM blocks WHERE height = 3")
    with pytest.raises(StoreError, match="without block 3"):
        SqliteStore.open(tmp_path, node.spec.hash)


def test_a_store_of_version_1_without_one_of_its_tables_is_damaged(tmp_path: Path) -> None:
    node = grown()
    path = write_store_1(tmp_path, node.store, node.spec.hash)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("DROP TABLE pending")
    with pytest.raises(StoreError, match="without its table pending"):
        SqliteStore.open(tmp_path, node.spec.hash)
