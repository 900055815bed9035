"""The store on disk: SQLite through apsw, one atomic and durable write per batch (docs/protocol.md §11).

Theory of operation. One connection writes and alone checkpoints; another, read-only, answers every read and sees each
write once `write` has returned. So `write` may run in a worker thread, one call at a time, while the event loop reads;
reads are made from one thread, the event loop's. apsw refuses a connection that two threads use at the same moment:
a mistake here is an exception, never a mixed-up answer. The folder is locked first, for one process.

A write that failed closes the store to further ones: the core has moved on from that batch in its memory, and a later
batch without it would leave a hole. Starting again finds what was durable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import apsw

from blockchain.errors import StoreError
from blockchain.primitives.validators import ValidatorSet
from blockchain.runtime import sqlite_index as index
from blockchain.runtime import sqlite_rows as rows
from blockchain.runtime import sqlite_state as state
from blockchain.runtime import sqlite_stories as stories
from blockchain.runtime import sqlite_validators as validators
from blockchain.runtime.folder_lock import FolderLock
from blockchain.runtime.sqlite_blocks import BlocksRead
from blockchain.runtime.sqlite_check import check_store
from blockchain.runtime.sqlite_file import (
    STORE_FILE,
    InWords,
    check_size,
    claim,
    open_reader,
    open_writer,
    transaction,
)
from blockchain.runtime.sqlite_pending import PendingRows, read_pending
from blockchain.runtime.sqlite_upgrade import bring_up_to_date
from blockchain.seams import Batch, FinalBlock, PendingTransaction, SliceEnd, Story, Turn


class SqliteStore:
    """Implements `seams.Store`. Reads and writes raise StoreError when the disk fails or a row is damaged."""

    def __init__(
        self, path: Path, vfs: str | None, writer: apsw.Connection, reader: apsw.Connection, opened: ExitStack
    ) -> None:
        self.path = path
        self._vfs = vfs
        self._writer = writer
        self._pending_rows: PendingRows | None = None  # from the first write on
        self._reader = reader
        self._blocks = BlocksRead(reader)
        self._sets = validators.SetsRead(reader)
        self._opened = opened
        self._failure = ""
        self._reading = InWords(path, "cannot read")

    @classmethod
    def open(cls, folder: Path, genesis_hash: bytes, *, vfs: str | None = None) -> SqliteStore:
        """Lock the folder, open or make `chain.db` in it, apply what a crash left in the WAL, and check it.

        Raises StoreError, one line, when the folder is in use, or the file is another chain's, of a newer version, not
        a database, damaged, or out of reach. `vfs` names a registered SQLite file system, for tests that break one.
        """
        path = folder / STORE_FILE
        with InWords(path, "cannot open the store"), ExitStack() as opened:  # closing what was opened may fail too
            opened.callback(FolderLock.take(folder).release)
            check_size(path)
            writer = open_writer(path, vfs)
            opened.callback(writer.close)
            claim(writer, path, genesis_hash)
            bring_up_to_date(writer, path)
            check_store(writer, path)
            reader = open_reader(path, vfs)
            opened.callback(reader.close)
            return cls(path, vfs, writer, reader, opened.pop_all())

    def close(self) -> None:
        """Checkpoint and let go of the folder. What was written is durable with or without it."""
        with InWords(self.path, "cannot close the store"):
            self._opened.close()

    def head(self) -> int:
        with self._reading:
            return rows.read_height(self._reader)

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Reads inside are of one moment, and take no lock each: a row costs a third of the time."""
        with self._reading, self._reader:
            yield

    def block(self, height: int) -> FinalBlock | None:
        with self._reading:
            return self._blocks.at(height)

    def height_of(self, block_id: bytes) -> int | None:
        with self._reading:
            row = self._reader.execute("SELECT height FROM blocks WHERE id = ?", (block_id,)).fetchone()
            return row[0] if row else None

    def locate(self, transaction_id: bytes) -> tuple[int, int] | None:
        with self._reading:
            return index.read_place(self._reader, transaction_id)

    def history(self, address: bytes, before: tuple[int, int] | None, count: int) -> list[tuple[int, int]]:
        with self._reading:
            return index.read_history(self._reader, address, before, count)

    def story(self, transaction_id: bytes) -> Story:
        with self._reading:
            return stories.read_story(self._reader, transaction_id)

    def validators(self, height: int) -> ValidatorSet | None:
        with self._reading:
            return self._sets.at(height)

    def turns(self) -> list[Turn]:
        with self._reading:
            return validators.read_turns(self._reader)

    def state_records(self) -> dict[bytes, bytes]:
        """Every record, all of one moment: on a connection of its own, writes may go on meanwhile."""
        with self._reading, closing(open_reader(self.path, self._vfs)) as snapshot:
            return state.read_state(snapshot)

    def slice_end(self) -> SliceEnd:
        with self._reading:
            return state.read_slice_end(self._reader)

    def round_record(self) -> bytes | None:
        with self._reading:
            return rows.read_round_record(self._reader)

    def round_block(self, block_id: bytes) -> bytes | None:
        with self._reading:
            return rows.read_round_block(self._reader, block_id)

    def pending(self) -> list[PendingTransaction]:
        with self._reading:
            return read_pending(self._reader)

    def evidence(self) -> list[bytes]:
        with self._reading:
            return rows.read_evidence(self._reader)

    def prevotes(self, height: int) -> bytes | None:
        with self._reading:
            return rows.read_prevotes(self._reader, height)

    def halted(self) -> str:
        with self._reading:
            return rows.read_halted(self._reader)

    def untrusted_above(self) -> int | None:
        with self._reading:
            return rows.read_untrusted(self._reader)

    def write(self, batch: Batch) -> None:
        """Apply the whole batch in one transaction, on the disk when this returns, or nothing of it.

        Raises StoreError when the disk is full or fails, and then at every later call until the store is opened again.
        A block that is not the head's child is an assert.
        """
        if self._failure:
            raise StoreError(f"nothing is written after a write that failed: {self._failure}")
        try:
            with InWords(self.path, "cannot write"), transaction(self._writer):
                pending, self._pending_rows = self._pending_rows or PendingRows(self._writer), None
                _apply(self._writer, pending, batch)
        except StoreError as error:
            self._failure = str(error)
            raise
        self._pending_rows = pending  # of a write that was undone it knows what is not so: then it is read again


def _apply(writer: apsw.Connection, pending: PendingRows, batch: Batch) -> None:
    """In the order of the batch's fields; a table that the batch does not name is not touched."""
    if batch.block is not None:
        rows.append_block(writer, batch.block)
        index.add_block(writer, batch.block, batch.parties)
        if batch.block_stories:
            stories.add_block_stories(writer, batch.block.height, batch.block_stories)
    if batch.sets:
        validators.add_sets(writer, batch.sets)
    if batch.turn is not None:
        validators.add_turn(writer, batch.turn)
    if batch.state or batch.slice is not None:
        state.change_state(writer, batch.state, batch.slice)
    if batch.clear_round:
        rows.clear_round(writer)
    if batch.round_record is not None:
        rows.set_round_record(writer, batch.round_record)
    if batch.round_blocks:
        rows.add_round_blocks(writer, batch.round_blocks)
    if batch.pending_added:
        pending.add(batch.pending_added)
    if batch.pending_removed:
        pending.remove(batch.pending_removed)
    if batch.ended:
        stories.add_ended(writer, batch.ended)
    if batch.refused:
        stories.add_refused(writer, batch.refused)
    if batch.evidence:
        rows.add_evidence(writer, batch.evidence)
    if batch.prevotes is not None:
        rows.keep_prevotes(writer, batch.prevotes)
    if batch.prevotes_first:
        rows.forget_prevotes(writer, batch.prevotes_first)
    if batch.halted:
        rows.set_halted(writer, batch.halted)
    if batch.untrusted_above is not None:
        rows.set_untrusted(writer, batch.untrusted_above)
    if batch.is_trusted:
        rows.set_trusted(writer)
