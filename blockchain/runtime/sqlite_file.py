"""The store's file: how connections to it are opened, whose it is, and SQLite's errors in words.

Every StoreError is one line: what is wrong, with which file, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final

import apsw

from blockchain.errors import StoreError

STORE_FILE: Final = "chain.db"
APPLICATION_ID: Final = 0x706F7362  # "posb" in the file's header: a database of another program is told apart
SCHEMA_VERSION: Final = 5
PAGE_BYTES_MIN: Final = 512  # SQLite's smallest page
BUSY_MS: Final = 5_000  # an outside reader (a backup, a shell) blocks a writer for moments only
CACHE_KIB: Final = 32 * 1024  # the upper pages of the trees of some millions of rows
WAL_PAGES: Final = 10_000  # 40 MB between checkpoints: at 1,000 a checkpoint costs a third more CPU (measured)
WAL_BYTES_KEPT: Final = 64 * 1024 * 1024  # a WAL that a long read made longer is cut back to this

HOW_TO_REPAIR: Final = (
    "put back a copy of it, or move it and its -wal and -shm aside (not the keys nor the signing record) and start "
    "again: the node fetches the blocks from its peers"
)

TABLES: Final = {
    "meta": "(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "head": "(one INTEGER PRIMARY KEY CHECK (one = 1), height INTEGER NOT NULL, id BLOB NOT NULL, "
    "state_count INTEGER NOT NULL, state_first INTEGER NOT NULL DEFAULT 1, state_last INTEGER NOT NULL DEFAULT 0)",
    "blocks": "(height INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, raw BLOB NOT NULL, certificate BLOB NOT NULL, "
    "transaction_ids BLOB NOT NULL, checksum BLOB NOT NULL)",
    "index_runs": "(run INTEGER PRIMARY KEY, stage INTEGER NOT NULL, entries INTEGER NOT NULL, "
    "target INTEGER NOT NULL, credit INTEGER NOT NULL)",
    "index_pages": "(seq INTEGER PRIMARY KEY, run INTEGER NOT NULL, first BLOB NOT NULL, raw BLOB NOT NULL, "
    "crc INTEGER NOT NULL, UNIQUE (run, first))",
    "state_log": "(seq INTEGER PRIMARY KEY, lap INTEGER, key BLOB, crc INTEGER NOT NULL, raw BLOB NOT NULL)",
    "round_record": "(one INTEGER PRIMARY KEY CHECK (one = 1), raw BLOB NOT NULL, crc INTEGER NOT NULL)",
    "round_blocks": "(id BLOB PRIMARY KEY, raw BLOB NOT NULL, crc INTEGER NOT NULL)",
    "pending": "(seq INTEGER PRIMARY KEY, raw BLOB NOT NULL, crc INTEGER NOT NULL)",
    "pending_gone": "(seq INTEGER PRIMARY KEY, bits BLOB NOT NULL, crc INTEGER NOT NULL)",
    "block_stories": "(height INTEGER PRIMARY KEY, total INTEGER NOT NULL, packed BLOB NOT NULL)",
    "stories": "(seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, stages BLOB NOT NULL)",
    "refusals": "(seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, stages BLOB NOT NULL)",
    "evidence": "(seq INTEGER PRIMARY KEY, raw BLOB NOT NULL UNIQUE, crc INTEGER NOT NULL)",
    "prevotes": "(height INTEGER PRIMARY KEY, total INTEGER NOT NULL, raw BLOB NOT NULL, crc INTEGER NOT NULL)",
    "validator_sets": "(height INTEGER PRIMARY KEY, is_full INTEGER NOT NULL, raw BLOB NOT NULL, crc INTEGER NOT NULL)",
    "turns": "(height INTEGER PRIMARY KEY, raw BLOB NOT NULL, crc INTEGER NOT NULL)",
}

# By the version that brought them: `sqlite_upgrade` makes them in a store of an earlier one.
ADDED_BY: Final = {
    2: frozenset({"block_stories", "stories", "refusals"}),
    3: frozenset({"validator_sets", "turns", "prevotes"}),
    4: frozenset({"index_runs", "index_pages", "state_log"}),
    5: frozenset({"pending_gone"}),
}


Column = tuple[str, str, int, int]  # its name and type, 1 where it may not be NULL, its place in the key or 0


def added_since(version: int) -> frozenset[str]:
    """The tables that a store of this version does not have yet."""
    return frozenset(name for later, names in ADDED_BY.items() if later > version for name in names)


def damaged(path: str | Path, what: str) -> StoreError:
    """One line, whatever SQLite says: it quotes what it has read."""
    return StoreError(f"store {path} is damaged ({' '.join(what.split())}): {HOW_TO_REPAIR}")


def check_size(path: Path) -> None:
    """SQLite takes a file that is shorter than any page for an empty one, and would write over it."""
    size = path.stat().st_size if path.exists() else 0
    if 0 < size < PAGE_BYTES_MIN:
        raise not_a_database(path)


def not_a_database(path: str | Path) -> StoreError:
    return StoreError(f"{path} is not a database: {HOW_TO_REPAIR}")


class InWords:
    """Turns what SQLite says of files and disks into a StoreError. Wrong SQL or misuse is our bug and passes.

    It holds nothing of a use, so one may be kept for many: a generator made each time takes 1.5 µs more.
    """

    def __init__(self, path: str | Path, doing: str) -> None:
        self._path = path
        self._doing = doing

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            told = self._told(error)
            if told is not None:
                raise told from error

    def _told(self, error: BaseException) -> StoreError | None:
        path, doing = self._path, self._doing
        match error:
            case apsw.NotADBError():
                return not_a_database(path)
            case apsw.CorruptError():
                return damaged(path, str(error))
            case UnicodeDecodeError():  # a value that is no text, in a row whose header says that it is
                return damaged(path, "bytes that are no text")
            case apsw.FullError():
                return StoreError(f"{path}: {doing}: the disk is full: make room and start again")
            case apsw.CantOpenError() | apsw.ReadOnlyError() | apsw.PermissionsError():
                return StoreError(f"{path}: {doing}: {error}: may this user write to the file and its folder?")
            case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
                return StoreError(f"{path}: {doing}: another program holds it: end that program and start again")
            case apsw.IOError() | apsw.NoLFSError():
                return StoreError(f"{path}: {doing}: {error}: check the disk and its logs, then start again")
        return None


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """All of what is done inside, durably, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def open_writer(path: Path, vfs: str | None) -> apsw.Connection:
    """The one connection that writes and checkpoints. Its first read applies what a crash left in the WAL.

    A database of another program is refused before anything in it changes. `vfs` names a registered SQLite file
    system, for tests that break one.
    """
    connection = apsw.Connection(str(path), vfs=vfs)
    try:
        check_program(connection, path)
        _set_up_writer(connection, path)
    except (apsw.Error, StoreError):
        connection.close()
        raise
    return connection


def check_program(connection: apsw.Connection, path: Path) -> None:
    """Refuse the database of another program."""
    if _table_names(connection) and connection.pragma("application_id") != APPLICATION_ID:
        raise StoreError(f"{path} is the database of another program: choose another data folder, or move it aside")


def _set_up_writer(connection: apsw.Connection, path: Path) -> None:
    connection.set_busy_timeout(BUSY_MS)
    if connection.pragma("journal_mode", "WAL") != "wal":
        raise StoreError(f"{path}: its file system cannot hold a store (no shared memory): choose another data folder")
    connection.pragma("synchronous", "FULL")  # a commit is on the disk when it returns (protocol §11)
    connection.pragma("fullfsync", True)  # macOS: through the drive's cache; elsewhere without effect
    connection.pragma("checkpoint_fullfsync", True)
    connection.pragma("cache_size", -CACHE_KIB)
    connection.pragma("cell_size_check", True)  # notices a damaged page when it is read
    connection.pragma("journal_size_limit", WAL_BYTES_KEPT)
    connection.wal_autocheckpoint(WAL_PAGES)


def open_reader(path: Path, vfs: str | None) -> apsw.Connection:
    """A connection that cannot write, and never checkpoints. It sees each commit as soon as it has returned."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs=vfs)
    connection.set_busy_timeout(BUSY_MS)
    return connection


def claim(connection: apsw.Connection, path: Path, genesis_hash: bytes) -> None:
    """Make the tables of an empty file, or refuse one that is not this chain's, or of a newer version."""
    if is_empty(connection):  # new, or its making was cut off
        _make(connection, genesis_hash)
        return
    check_owner(connection, path, genesis_hash)


def is_empty(connection: apsw.Connection) -> bool:
    """Whether it has no tables: a store that nobody has written to."""
    return not _table_names(connection)


def check_owner(connection: apsw.Connection, path: Path, genesis_hash: bytes) -> int:
    """The version of a store, or StoreError for one that is not this chain's, or of a newer version."""
    names = _table_names(connection)
    if "meta" not in names:
        raise damaged(path, "no table says whose it is")
    if _columns(connection, "meta") != _columns_of_tables()["meta"]:  # the same in all versions
        raise damaged(path, "its table meta has other columns")
    meta: dict[str, bytes] = dict(connection.execute("SELECT name, value FROM meta"))
    version = _check_version(path, meta.get("schema_version"))
    found = meta.get("genesis_hash")
    if found != genesis_hash:
        raise StoreError(
            f"store {path} belongs to another chain (genesis {_short(found)}, this node's is {_short(genesis_hash)}): "
            "choose another data folder, or start with the genesis that it was made with, and a version of this "
            "software that has the same rules: new ones make another chain of an old genesis file"
        )
    if missing := TABLES.keys() - added_since(version) - names:
        raise damaged(path, f"without its table {min(missing)}")
    if version == SCHEMA_VERSION:
        check_shape(connection, path)
    return version


def check_shape(connection: apsw.Connection, path: Path) -> None:
    """The tables have the columns that they are made with, and nothing else happens where they are written."""
    if connection.execute("SELECT name FROM sqlite_schema WHERE type NOT IN ('table', 'index')").fetchone():
        raise damaged(path, "with views or triggers, which no node makes")
    for table, columns in _columns_of_tables().items():
        if _columns(connection, table) != columns:
            raise damaged(path, f"its table {table} has other columns")


@cache
def _columns_of_tables() -> dict[str, set[Column]]:
    with closing(apsw.Connection(":memory:")) as model:
        for name, columns in TABLES.items():
            model.execute(f"CREATE TABLE {name} {columns}")
        return {name: _columns(model, name) for name in TABLES}


def _columns(connection: apsw.Connection, table: str) -> set[Column]:
    """With a flipped bit in the words PRIMARY KEY a table can be read, and its rows have no numbers."""
    return set(connection.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,)))


def _table_names(connection: apsw.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def _make(connection: apsw.Connection, genesis_hash: bytes) -> None:
    with transaction(connection):
        connection.pragma("application_id", APPLICATION_ID)
        for name, columns in TABLES.items():
            connection.execute(f"CREATE TABLE {name} {columns}")
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)",
            [("schema_version", SCHEMA_VERSION.to_bytes(4, "big")), ("genesis_hash", genesis_hash)],
        )
        connection.execute("INSERT INTO head (one, height, id, state_count) VALUES (1, 0, zeroblob(32), 0)")


def _check_version(path: Path, found: bytes | None) -> int:
    version = int.from_bytes(found, "big") if isinstance(found, bytes) else 0
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"store {path} was written by a newer version of this program (format {version}, this one knows "
            f"{SCHEMA_VERSION}): update the program, or choose another data folder"
        )
    if version < 1:
        raise damaged(path, "its format is not recorded")
    return version


def _short(genesis_hash: bytes | None) -> str:
    return genesis_hash.hex()[:16] + "…" if isinstance(genesis_hash, bytes) else "unknown"
