"""What is recorded: the real store, signing record, upgrade and backup, each in a process of its own.

A history goes back to its maker through a file. All choices come from the play's seed.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import pickle
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, Final

import apsw

from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Proposal, Vote
from blockchain.runtime import sqlite_file
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.sqlite_backup import back_up
from blockchain.seams import Batch
from tests.node.one_chain import Node, spec_with
from tests.powercuts.disk import Operation
from tests.powercuts.recorder import Recorder
from tests.processes.killed_validator import Kept, Life, Line, Said, chain, read_said
from tests.runtime import store_batches
from tests.runtime.store_v1 import write_store_1
from tests.runtime.store_v4 import take_back_to_4
from tests.samples import address

SAID: Final = ("said", "sent", "puppets")  # what the world remembers, whatever becomes of the disk
KEPT: Final = ("acknowledged", "final")  # and what it counts on
BATCHES: Final = 30
WAL_PAGES: Final = (10, 40, 10_000)  # of a checkpoint: at every few writes, at some, at the end only
BACKUP: Final = "backup.db"


@dataclass(frozen=True)
class History:
    """What was done to a folder. Before `begins_at` it was only filled; `before` was said before that."""

    play: str
    seed: int
    genesis_hash: Hash32
    operations: tuple[Operation, ...]
    begins_at: int
    before: dict[str, tuple[bytes, ...]]


def dump(path: Path) -> bytes:
    """A digest of every row of a store, by another connection than those of the program."""
    digest = sha256()
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY, vfs="unix")) as connection:
        for table in sorted(sqlite_file.TABLES):
            digest.update(table.encode())
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2"):
                digest.update(repr(row).encode())
    return digest.digest()


# ------------------------------------------------------------------------------------------------------- plays


def life(folder: Path, chance: Random, end: Callable[[str], None]) -> None:
    """A validator among puppets: rounds, locks, blocks, pool, stories, and its signing record."""
    mark_said()
    one = Life(folder, chance)
    is_closed = chance.random() < 0.5
    asyncio.run(one.run(is_closed=is_closed))
    if is_closed:
        end("closed")


def batches(folder: Path, chance: Random, end: Callable[[str], None]) -> None:
    """Made-up batches that touch every table: evidence, kept prevotes, sets, turns, refusals."""
    for _ in range(2):
        store = SqliteStore.open(folder / "data", store_batches.GENESIS)
        for height in range(store.head() + 1, store.head() + chance.randint(2, BATCHES)):
            store.write(store_batches.batch_of(height))
        store.close()
        end("closed")


def upgrade(folder: Path, chance: Random, end: Callable[[str], None]) -> None:
    """A store of version 1 or 4 is opened, and written on."""
    with closing(SqliteStore.open(folder / "data", spec_with().hash)) as store:
        node = Node(spec_with(), store=store)
        for _ in range(chance.randint(1, 3)):
            node.grow(node.pay("a", node.chain.next_nonce(address("a"))))


def backup(folder: Path, chance: Random, end: Callable[[str], None]) -> None:
    """A store is copied, once to a new name and once over the copy, while its node runs and writes."""
    with closing(SqliteStore.open(folder / "data", store_batches.GENESIS)) as store:
        for again in (False, True):
            for height in range(store.head() + 1, store.head() + chance.randint(2, 6)):
                store.write(store_batches.batch_of(height))
            end("backup begun")
            told: Callable[[int, int], None] = lambda _done, _all: None  # noqa: E731
            back_up(folder / "data", store_batches.GENESIS, folder / BACKUP, overwrite=again, progress=told)
            end("backup made")


PLAYS: Final[dict[str, Callable[[Path, Random, Callable[[str], None]], None]]] = {
    "life": life, "again": life, "batches": batches, "upgrade": upgrade, "backup": backup
}  # fmt: skip


def genesis_of(play: str) -> Hash32:
    match play:
        case "life" | "again":
            return chain().hash
        case "upgrade":
            return spec_with().hash
        case _:
            return Hash32(store_batches.GENESIS)


def prepare(play: str, folder: Path, chance: Random) -> None:
    """What lies in the folder before the play, and was forced to the disk long ago."""
    if play == "upgrade":
        node = Node(spec_with())
        for nonce in range(chance.randint(1, 8)):
            node.grow(node.pay("a", nonce), node.pay("b", nonce))
        payments = [node.pay("b", nonce) for nonce in range(100, 100 + chance.randint(0, 5))]
        waiting = tuple((one.id, one.raw) for one in payments)
        (folder / "data").mkdir()
        path = write_store_1(folder / "data", node.store, node.spec.hash, waiting)
        if chance.random() < 0.5:
            SqliteStore.open(folder / "data", node.spec.hash).close()
            take_back_to_4(path)


# ------------------------------------------------------------------------------------------------------- recording

_recorder: Recorder


def mark_said() -> None:
    """Whatever a life notes as said is a mark in the history, too."""
    note, keep = Said.note, Kept.note

    def noted(said: Said, message: Proposal | Vote) -> None:
        note(said, message)
        _recorder.mark(said.path.name, codec.encode(Line(message)))

    def kept(all_kept: Kept, name: str, identifier: bytes) -> None:
        keep(all_kept, name, identifier)
        _recorder.mark(name, identifier)

    Said.note = noted  # type: ignore[method-assign, assignment]
    Kept.note = kept  # type: ignore[method-assign, assignment]


def mark_store() -> None:
    """What the store holds when it was opened and after each write, and where each write began."""
    write, open_ = SqliteStore.write, SqliteStore.open.__func__  # type: ignore[attr-defined]

    def written(store: SqliteStore, batch: Batch) -> None:
        _recorder.mark("writing")
        write(store, batch)
        _recorder.mark("holds", dump(store.path))

    def opened(kind: type[SqliteStore], folder: Path, genesis_hash: bytes, **how: Any) -> SqliteStore:
        store: SqliteStore = open_(kind, folder, genesis_hash, **how)
        _recorder.mark("holds", dump(store.path))
        return store

    SqliteStore.write = written  # type: ignore[method-assign, assignment]
    SqliteStore.open = classmethod(opened)  # type: ignore[assignment, method-assign, arg-type]


def record(play: str, seed: int, folder: Path, plant: Callable[[], Callable[[str], bool]]) -> History:
    """Play it in `folder`, in a child, and bring back what was done there. `plant`: what is broken for a control."""
    result = folder.with_name(folder.name + ".history")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            logging.disable(logging.CRITICAL)  # many a round times out in these lives
            gc.disable()  # else chance says when a store that a life left open is closed, and writes
            result.write_bytes(pickle.dumps(_recorded(play, seed, folder, plant())))
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        os._exit(code)
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the play {play} failed, seed {seed}"
    history: History = pickle.loads(result.read_bytes())
    result.unlink()
    return history


def _recorded(play: str, seed: int, folder: Path, unforced: Callable[[str], bool]) -> History:
    global _recorder
    chance = Random(seed)
    prepare(play, folder, chance)
    before = {name: _remembered(folder / name) for name in (*SAID, *KEPT)}
    sqlite_file.WAL_PAGES = chance.choice(WAL_PAGES)  # type: ignore[misc]
    _recorder = Recorder(folder, unforced)
    mark_store()
    PLAYS[play](folder, chance, _recorder.mark)
    operations = tuple(_recorder.operations)
    return History(play, seed, genesis_of(play), operations, _recorder.begins_at, before)


def _remembered(path: Path) -> tuple[bytes, ...]:
    if not path.exists():
        return ()
    if path.name in KEPT:
        return tuple(bytes.fromhex(line) for line in path.read_text().split())
    return tuple(codec.encode(Line(one)) for one in read_said(path))


# ------------------------------------------------------------------------------------------------------- cuts


def remember(folder: Path, said: dict[str, list[bytes]]) -> None:
    """What was said and counted on before a cut lies beside what the cut left, where a life looks for it."""
    for name, values in said.items():
        lines = [f"{one.hex()}\n".encode() if name in KEPT else len(one).to_bytes(4, "big") + one for one in values]
        (folder / name).write_bytes(b"".join(lines))


def lay_out(found: dict[str, bytes | None], folder: Path, chance: Random) -> None:
    """Make the folder that is found after a cut."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path, content in found.items():
        if content is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(content)
    if (folder / "data" / "chain.db").exists() and chance.random() < 0.2:
        (folder / "data" / "chain.db-shm").write_bytes(chance.randbytes(32_768))  # what it was is not for SQLite to use
