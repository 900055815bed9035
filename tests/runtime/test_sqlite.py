"""The store on disk: restarts, crashes, power cuts, full and failing disks, and files that are not ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random
from struct import Struct
from threading import Thread

import apsw
import pytest

from blockchain.errors import StoreError
from blockchain.node.store import MemoryStore
from blockchain.runtime import sorted_runs, sqlite_check, sqlite_file
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Batch, PendingTransaction, Stage, Store
from tests.runtime.broken_disk import BrokenDisk
from tests.runtime.kills import Kills
from tests.runtime.store_batches import GENESIS, batch_of, block_of, contents, digest

TOLD = (Stage("received", 5, why="told on a rainy day"),)
ROOT = Path(__file__).resolve().parents[2]


def replay(height: int) -> Store:
    store = MemoryStore()
    for each in range(1, height + 1):
        store.write(batch_of(each))
    return store


def open_store(folder: Path, vfs: str | None = None) -> closing[SqliteStore]:
    return closing(SqliteStore.open(folder, GENESIS, vfs=vfs))


def write_chain(folder: Path, height: int) -> Path:
    """A store with so many blocks, closed; returns its file."""
    with open_store(folder) as store:
        for each in range(store.head() + 1, height + 1):
            store.write(batch_of(each))
    return folder / "chain.db"


def sql(file: Path, statement: str, *values: bytes) -> None:
    with closing(apsw.Connection(str(file))) as connection:
        connection.execute(statement, values)


def refusal(folder: Path, genesis: bytes = GENESIS) -> str:
    """What opening the store says; one line that names the file, and says what to do behind a colon."""
    with pytest.raises(StoreError) as refused:
        SqliteStore.open(folder, genesis)
    text = str(refused.value)
    assert "\n" not in text and str(folder) in text and ": " in text
    return text


# ---------------------------------------------------------------------------------------------------- restarts


def test_a_store_opened_again_holds_the_same(tmp_path: Path) -> None:
    write_chain(tmp_path / "a" / "b", 25)
    with open_store(tmp_path / "a" / "b") as store:
        assert contents(store) == contents(replay(25))


def test_reads_of_one_moment_see_nothing_of_a_later_write(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.write(batch_of(1))
        with store.one_moment():
            assert store.head() == 1
            store.write(batch_of(2))
            assert store.head() == 1 and store.block(2) is None
            assert len(store.history(digest("nobody"), None, 5)) == 0
            assert store.block(2) is None, "a transaction inside ends with the outer one"
        assert store.head() == 2 and store.block(2) is not None


def test_a_restart_without_a_checkpoint_finds_everything_in_the_wal(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        for height in range(1, 6):
            store.write(batch_of(height))
        copy = tmp_path / "copy"
        copy.mkdir()
        for name in ("chain.db", "chain.db-wal"):
            (copy / name).write_bytes((tmp_path / name).read_bytes())
    with open_store(copy) as store:
        assert contents(store) == contents(replay(5))


def test_a_making_that_was_cut_off_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "chain.db").write_bytes(b"")
    with open_store(tmp_path) as store:
        store.write(batch_of(1))
        assert store.head() == 1


def test_killed_while_it_writes_a_node_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    acknowledged = 0
    for lines in (1, 40, 7, 90):
        command = [sys.executable, "-m", "tests.runtime.store_batches", str(tmp_path)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(lines):
                child.stdout.readline()
            child.kill()
            rest = child.stdout.read().splitlines(keepends=True)
        acknowledged += lines + sum(1 for line in rest if line.endswith("\n"))
        with open_store(tmp_path) as store:
            assert store.head() in (acknowledged, acknowledged + 1)
            acknowledged = store.head()
            assert contents(store) == contents(replay(acknowledged))


def test_killed_before_any_statement_of_a_write_a_store_holds_all_of_it_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among them merges of the index that begin, go on and end. Rows of the state that go: test_state_slices."""
    monkeypatch.setattr(sorted_runs, "PAGE_ENTRIES", 4)
    monkeypatch.setattr(sorted_runs, "STEP_ENTRIES", 8)
    monkeypatch.setattr(sorted_runs, "_FULL_PAGE", Struct("41s" * 4))
    write_chain(tmp_path / "data", 14)
    kills, ends = Kills(tmp_path / "data", tmp_path / "killed", every=9), list[int]()
    with open_store(tmp_path / "data") as store:
        kills.watch(store._writer)
        for height in (15, 16):
            store.write(batch_of(height))
            ends.append(len(kills.folders))
    assert len(kills.folders) > 10
    for number, folder in enumerate(kills.folders):
        with open_store(folder) as store:
            height = 14 + sum(number >= end for end in ends)
            assert contents(store) == contents(replay(height))
            store.write(batch_of(height + 1))


# ---------------------------------------------------------------------------------------------------- the disk


@pytest.fixture
def disk() -> Iterator[BrokenDisk]:
    broken = BrokenDisk("broken-disk")
    yield broken
    broken.unregister()


def test_a_power_cut_at_any_moment_leaves_what_was_acknowledged(
    tmp_path: Path, disk: BrokenDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "WAL_PAGES", 60)  # checkpoints among the writes, too
    random, cuts, acknowledged = Random(1), dict[Path, int](), 0

    def maybe_cut() -> None:
        if random.random() < 0.05:
            folder = tmp_path / f"cut {len(cuts)}"
            disk.cut_power(folder, random)
            cuts[folder] = acknowledged

    with open_store(tmp_path, disk.name) as store:
        disk.on_change = maybe_cut
        for height in range(1, 25):
            store.write(batch_of(height))
            acknowledged = height
    assert len(cuts) > 20 and len(set(cuts.values())) > 10
    for folder, durable in cuts.items():
        with open_store(folder) as store:
            assert store.head() in (durable, durable + 1)
            assert contents(store) == contents(replay(store.head()))


@pytest.mark.parametrize(
    "failure, words", [(apsw.FullError, "the disk is full: make room"), (apsw.IOError, "check the disk and its logs")]
)
def test_a_failing_disk_is_one_clear_line_and_the_store_takes_no_more(
    tmp_path: Path, disk: BrokenDisk, failure: type[apsw.Error], words: str
) -> None:
    with open_store(tmp_path, disk.name) as store:
        for height in (1, 2):
            store.write(batch_of(height))
        disk.failure = failure
        with pytest.raises(StoreError, match=words) as failed:
            store.write(batch_of(3))
        assert str(store.path) in str(failed.value) and "\n" not in str(failed.value)
        disk.failure = None
        assert contents(store) == contents(replay(2))
        with pytest.raises(StoreError, match=f"after a write that failed.*{words}"):
            store.write(batch_of(3))
    write_chain(tmp_path, 4)
    with open_store(tmp_path) as store:
        assert contents(store) == contents(replay(4))


class PlantedError(Exception):
    pass


def test_an_exception_in_the_middle_of_a_batch_leaves_nothing_of_it(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield b"first"
        raise PlantedError

    class Breaking(tuple[bytes, ...]):
        __slots__ = ()

        def __iter__(self) -> Iterator[bytes]:
            return failing()

    with open_store(tmp_path) as store:
        store.write(batch_of(1))
        whole = batch_of(2)
        fields = {name: getattr(whole, name) for name in whole.__struct_fields__}
        with pytest.raises(PlantedError):
            store.write(Batch(**{**fields, "evidence": Breaking((b"first",))}))
        assert contents(store) == contents(replay(1))
        store.write(batch_of(2))
        assert contents(store) == contents(replay(2))


# ---------------------------------------------------------------------------------------------------- threads


def test_reads_go_on_while_another_thread_writes(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:

        def write_all() -> None:
            for height in range(1, 101):
                store.write(batch_of(height))

        writer = Thread(target=write_all)
        writer.start()
        seen = 0
        while writer.is_alive():
            head = store.head()
            assert head >= seen
            assert head == 0 or store.block(head) == block_of(head)
            seen = head
        writer.join()
        assert contents(store) == contents(replay(100))


# ---------------------------------------------------------------------------------------------------- other files


def test_a_store_of_another_chain_is_refused(tmp_path: Path) -> None:
    write_chain(tmp_path, 1)
    text = refusal(tmp_path, digest("another genesis"))
    assert "belongs to another chain" in text and GENESIS.hex()[:16] in text and "choose another data folder" in text
    assert "new ones make another chain of an old genesis file" in text
    with open_store(tmp_path) as store:
        assert store.head() == 1


def test_a_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    file = write_chain(tmp_path, 1)
    newer = sqlite_file.SCHEMA_VERSION + 1
    sql(file, "UPDATE meta SET value = ? WHERE name = 'schema_version'", newer.to_bytes(4, "big"))
    told = f"newer version of this program (format {newer}, this one knows {newer - 1}): update the program"
    assert told in refusal(tmp_path)


@pytest.mark.parametrize("garbage", [b"not a database " * 1_000, b"x", b"\0" * 4096])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "chain.db").write_bytes(garbage)
    assert "is not a database: put back a copy" in refusal(tmp_path)
    assert (tmp_path / "chain.db").read_bytes() == garbage


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    sql(tmp_path / "chain.db", "CREATE TABLE meta (a)")
    before = (tmp_path / "chain.db").read_bytes()
    assert "the database of another program: choose another data folder" in refusal(tmp_path)
    assert (tmp_path / "chain.db").read_bytes() == before


@pytest.mark.parametrize(
    "damage, words",
    [
        ("DROP TABLE meta", "no table says whose it is"),
        ("DELETE FROM meta WHERE name = 'schema_version'", "its format is not recorded"),
        ("DROP TABLE pending", "without its table pending"),
        ("DROP TABLE stories", "without its table stories"),
        ("DELETE FROM blocks WHERE height = 20", "its head is not its newest block"),
        ("DELETE FROM blocks WHERE height = 1", "its head is not its newest block"),
        ("DELETE FROM blocks", "its head is not its newest block"),
        ("DELETE FROM head", "its head is not its newest block"),
        ("UPDATE head SET id = zeroblob(32)", "its head is not its newest block"),
        ("DELETE FROM blocks WHERE height = 15", "without block 15"),
        ("UPDATE blocks SET certificate = zeroblob(128) WHERE height = 19", "block 19"),
        ("UPDATE blocks SET raw = 'text' WHERE height = 20", "block 20"),
        ("DELETE FROM index_runs WHERE run = (SELECT max(run) FROM index_runs)", "a transaction of block 20 is not in"),
        ("UPDATE index_runs SET stage = 2", "a transaction of block 20 is not in its"),
        ("DELETE FROM index_pages", "a transaction of block 20 is not in its"),
        ("UPDATE index_pages SET raw = zeroblob(41)", "a page of the index"),
    ],
)
def test_a_store_whose_parts_do_not_agree_is_refused(tmp_path: Path, damage: str, words: str) -> None:
    sql(write_chain(tmp_path, 20), damage)
    text = refusal(tmp_path)
    assert f"is damaged ({words}" in text
    assert text.endswith(
        "move it and its -wal and -shm aside (not the keys nor the signing record) and start again: "
        "the node fetches the blocks from its peers"
    )


@pytest.mark.parametrize("checked_bytes", [0, sqlite_check.QUICK_CHECK_BYTES_MAX])
@pytest.mark.parametrize(
    "cut, words", [(1, "cut off at "), (2_000, "cut off at "), (4_096, "malformed"), (9_000, "malformed")]
)
def test_a_file_that_lost_its_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int, words: str, checked_bytes: int
) -> None:
    monkeypatch.setattr(sqlite_check, "QUICK_CHECK_BYTES_MAX", checked_bytes)
    file = write_chain(tmp_path, 20)
    file.write_bytes(file.read_bytes()[:-cut])
    text = refusal(tmp_path)
    assert "is damaged (" in text and words in text


def flip(file: Path, inside: bytes) -> None:
    """Change one bit in the middle of the one place where these bytes are."""
    content = bytearray(file.read_bytes())
    assert content.count(inside) == 1
    content[content.index(inside) + len(inside) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("part", ["raw", "certificate", "ids"])
def test_a_flipped_bit_in_a_block_is_noticed_when_it_is_read(tmp_path: Path, part: str) -> None:
    file = write_chain(tmp_path, 30)
    block = block_of(4)
    ids = block.certificate[-32:] + b"".join(block.transaction_ids)  # alone they lie in a row of the pool, too
    flip(file, {"raw": block.raw[:96], "certificate": block.certificate, "ids": ids}[part])
    with open_store(tmp_path) as store:
        with pytest.raises(StoreError, match=r"damaged \(block 4\)"):
            store.block(4)
        assert store.block(5) == block_of(5)


@pytest.mark.parametrize(
    "batch, value, read",
    [
        (Batch(round_record=b"record " * 5), b"record " * 5, SqliteStore.round_record),
        (Batch(round_blocks=((digest(1), b"body " * 9),)), b"body " * 9, lambda store: store.round_block(digest(1))),
        (Batch(pending_added=(PendingTransaction(digest(1), b"raw " * 9),)), b"raw " * 9, SqliteStore.pending),
        (Batch(pending_added=(PendingTransaction(digest(1), b"", TOLD),)), TOLD[0].why.encode(), SqliteStore.pending),
    ],
)
def test_a_flipped_bit_in_what_is_read_into_memory_is_noticed(
    tmp_path: Path, batch: Batch, value: bytes, read: Callable[[SqliteStore], object]
) -> None:
    with open_store(tmp_path) as store:
        store.write(batch)
        assert read(store)
    flip(tmp_path / "chain.db", value)
    with open_store(tmp_path) as store, pytest.raises(StoreError, match="is damaged"):
        read(store)


@pytest.mark.parametrize(
    "damage, position",
    [
        ("UPDATE stories SET stages = zeroblob(9)", 3),
        ("UPDATE block_stories SET packed = zeroblob(9)", 0),
        ("UPDATE block_stories SET packed = x'93909090'", 0),
    ],
)
def test_a_damaged_story_is_noticed(tmp_path: Path, damage: str, position: int) -> None:
    sql(write_chain(tmp_path, 1), damage)
    with open_store(tmp_path) as store, pytest.raises(StoreError, match="the story of a transaction"):
        store.story(digest("tx", 1, position))


def test_a_damaged_piece_of_evidence_is_noticed(tmp_path: Path) -> None:
    file = write_chain(tmp_path, 1)
    sql(file, "UPDATE evidence SET raw = ?", b"evidence 9")
    with open_store(tmp_path) as store, pytest.raises(StoreError, match="a piece of evidence"):
        store.evidence()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("DELETE FROM state_log WHERE seq = (SELECT max(seq) FROM state_log)", "without row 20 of its state"),
        ("DELETE FROM state_log WHERE seq = (SELECT min(seq) FROM state_log)", "without row 1 of its state"),
        ("DELETE FROM state_log WHERE seq = 11", "without row 11 of its state"),
        ("DELETE FROM state_log", "without row 1 of its state"),
        ("UPDATE state_log SET raw = x'80' WHERE seq = 7", "a row of its state"),
        ("UPDATE state_log SET raw = x'ff', crc = 4278190080", "a row of its state"),
        ("UPDATE state_log SET raw = 'text'", "a row of its state"),
        ("UPDATE state_log SET lap = 1 WHERE seq = 20", "a row of its state"),
        ("UPDATE state_log SET key = x'ff' WHERE seq = 20", "a row of its state"),
        ("UPDATE state_log SET lap = 'text'", "a row of its state"),
    ],
)
def test_a_lost_row_of_state_is_noticed_when_the_state_is_read(tmp_path: Path, damage: str, words: str) -> None:
    file = write_chain(tmp_path, 20)
    sql(file, damage)
    with open_store(tmp_path) as store, pytest.raises(StoreError, match=words):
        store.state_records()


def test_a_flipped_bit_in_the_name_of_a_column_is_damage(tmp_path: Path) -> None:
    file = write_chain(tmp_path, 1)
    file.write_bytes(file.read_bytes().replace(b"(name TEXT PRIMARY KEY, value", b"(name TEXT PRIMARY KEY, valuu"))
    with pytest.raises(StoreError, match="its table meta has other columns"), open_store(tmp_path):
        pass


@pytest.mark.parametrize("damage", [b"DRIMARY KEY", b"PRIMARY IEY"])
def test_a_flipped_bit_in_the_key_of_a_table_is_damage(tmp_path: Path, damage: bytes) -> None:
    """Both words are read as the type of the column: its rows have no numbers then, and what has left would be back."""
    file = write_chain(tmp_path, 1)
    told = b"pending_gone (seq INTEGER "
    raw = file.read_bytes()
    assert raw.count(told + b"PRIMARY KEY") == 1
    file.write_bytes(raw.replace(told + b"PRIMARY KEY", told + damage))
    with pytest.raises(StoreError) as caught, open_store(tmp_path):
        pass
    assert "\n" not in str(caught.value)


def test_damage_that_sqlite_quotes_is_told_in_one_line(tmp_path: Path) -> None:
    """The name of a table has become the line's end before its definition."""
    file = write_chain(tmp_path, 1)
    raw = file.read_bytes()
    place = raw.index(b"tablemetameta") + len(b"table")
    file.write_bytes(raw[:place] + b"\nCRE" + raw[place + 4 :])
    with (
        pytest.raises(StoreError, match=r"damaged \(malformed database schema \( ?CRE") as told,
        open_store(tmp_path),
    ):
        pass
    assert "\n" not in str(told.value)


def test_a_flipped_bit_in_the_index_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    """Of a transaction that would be found, and of one that would not."""
    file = write_chain(tmp_path, 20)
    with closing(apsw.Connection(str(file))) as connection:
        for seq, raw in connection.execute("SELECT seq, raw FROM index_pages").fetchall():
            assert isinstance(raw, bytes)
            connection.execute("UPDATE index_pages SET raw = ? WHERE seq = ?", (bytes([*raw[:-1], raw[-1] ^ 1]), seq))
    connections = apsw.Connection(str(file)), apsw.Connection(str(file))
    store = SqliteStore(file, None, *connections, ExitStack())  # not `open`, which would notice it
    for name in (digest("tx", 4, 1), b"\xff" * 32):
        with pytest.raises(StoreError, match="a page of the index"):
            store.locate(name)
    with pytest.raises(StoreError, match="a page of the index"):
        store.history(b"\xff" * 32, None, 1)


def test_a_large_store_is_checked_in_its_small_tables_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_check, "QUICK_CHECK_BYTES_MAX", 0)
    write_chain(tmp_path, 20)
    with open_store(tmp_path) as store:
        assert contents(store) == contents(replay(20))


def test_a_damaged_page_is_refused(tmp_path: Path) -> None:
    file = write_chain(tmp_path, 20)
    content = bytearray(file.read_bytes())
    at = content.index(digest("account", 1)) // 4096 * 4096  # the page of the tree that holds this record
    content[at : at + 16] = bytes(16)
    file.write_bytes(content)
    assert "is damaged (" in refusal(tmp_path)


# ---------------------------------------------------------------------------------------------------- the folder


def test_a_folder_in_use_is_refused_in_this_process_and_in_another(tmp_path: Path) -> None:
    words = f"data folder {tmp_path} is in use by another node"
    program = (
        "import sys; from pathlib import Path; from blockchain.runtime.sqlite import SqliteStore; "
        "SqliteStore.open(Path(sys.argv[1]), bytes.fromhex(sys.argv[2]))"
    )
    command = [sys.executable, "-c", program, str(tmp_path), GENESIS.hex()]
    with open_store(tmp_path) as store:
        store.write(batch_of(1))
        assert words in refusal(tmp_path)
        other = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert other.returncode != 0 and words in other.stderr
        store.write(batch_of(2))
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def test_a_folder_is_free_again_after_a_refusal(tmp_path: Path) -> None:
    write_chain(tmp_path, 1)
    for _ in range(2):
        assert "another chain" in refusal(tmp_path, digest("another genesis"))


def test_a_folder_that_cannot_be_made_or_opened_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "cannot be made" in refusal(tmp_path / "file")
    (tmp_path / "folder" / "chain.db").mkdir(parents=True)
    assert "cannot open the store" in refusal(tmp_path / "folder")
    (tmp_path / "other" / "lock.db").mkdir(parents=True)
    assert "cannot lock the data folder" in refusal(tmp_path / "other")
    (tmp_path / "third").mkdir()
    (tmp_path / "third" / "lock.db").write_bytes(b"somebody else's " * 100)
    assert "not a node's lock: remove it" in refusal(tmp_path / "third")


def test_a_store_that_another_program_holds_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_MS", 0)
    with open_store(tmp_path) as store, closing(apsw.Connection(str(store.path))) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another program holds it: end that program"):
            store.write(batch_of(1))
        assert store.head() == 0
