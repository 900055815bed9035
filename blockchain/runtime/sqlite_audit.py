"""The whole check of a store: everything that can be computed again is, from genesis on.

A start checks what a crash may have hit (`sqlite_check`), and a read what it reads (`sqlite_rows`); this checks all,
on a snapshot, and says the first fault. A block is good here when a node that syncs would take it: the chain's own
rules are run on it (protocol §4.3, §4.4). That takes as long as syncing does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import apsw
from msgspec import Struct

from blockchain.consensus.record import decode_record
from blockchain.errors import BlockchainError, InvalidSignature, MalformedMessage, StoreError
from blockchain.genesis import ENGINES
from blockchain.ledger.state import FinalState, Overlay
from blockchain.ledger.supply import Sums, check_supply
from blockchain.node.chain import Chain
from blockchain.node.store import MemoryStore
from blockchain.node.verify import VerifyContext, verify_block
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX, VerifiedBlock, block_id, decode_block
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.transaction import parties_of, verify_transaction
from blockchain.primitives.validators import verify_certificate
from blockchain.primitives.vote import Certificate
from blockchain.runtime.sorted_runs import read_all
from blockchain.runtime.sqlite_check import check_head, check_pages
from blockchain.runtime.sqlite_file import SCHEMA_VERSION, damaged
from blockchain.runtime.sqlite_index import entries_of, height_of
from blockchain.runtime.sqlite_look import Snapshot
from blockchain.runtime.sqlite_pending import read_pending
from blockchain.runtime.sqlite_rows import (
    check_prevotes,
    read_block,
    read_evidence,
    read_halted,
    read_height,
    read_round_block,
    read_round_record,
    read_untrusted,
)
from blockchain.runtime.sqlite_state import read_state
from blockchain.runtime.sqlite_stories import check_stories
from blockchain.runtime.sqlite_validators import read_heights, read_set, read_turns
from blockchain.seams import Batch, Effect, FinalBlock, SetChange, Turn, Write

BLOCKS_TOGETHER: Final = 1_000  # whose entries of the index are summed up: a number a block would be 200 bytes each


class Audited(Struct, frozen=True):
    """How much was checked and found good."""

    blocks: int
    transactions: int
    state_records: int
    sums: Sums


class _Replayed(MemoryStore):
    """What the replay reads of earlier blocks, it reads where they lie."""

    def __init__(self, connection: apsw.Connection) -> None:
        super().__init__()
        self._connection = connection

    def block(self, height: int) -> FinalBlock | None:
        return read_block(self._connection, height)


class Auditor:
    """Checks the store of one chain on a snapshot of it. `progress` is told (blocks checked, blocks in all)."""

    def __init__(self, found: Snapshot, spec: ChainSpec, progress: Callable[[int, int], None]) -> None:
        """Raises StoreError for a store of an earlier version."""
        if found.format != SCHEMA_VERSION:
            raise StoreError(
                f"store {found.path} is of format {found.format}: start its node once, which brings it up to date, "
                "and check it then"
            )
        self._connection = found.connection
        self._path = found.path
        self._progress = progress
        self._genesis_hash = spec.hash
        # It starts from genesis, and nothing that it decides to write is written anywhere.
        self._chain = Chain(spec, ENGINES[spec.engine](spec.hash), _Replayed(found.connection))
        self._transactions = 0
        self._entries = Counter[int]()  # of the index that blocks should have: their sums, taken as numbers
        self._set_heights: list[int] = []  # that the table should have
        self._turns: dict[int, Turn] = {}  # that it has

    def run(self) -> Audited:
        """Raises StoreError for the first fault: what it is, at which height, and what to do."""
        # Every page and index of the file, as SQLite sees them.
        check_pages(self._path, self._connection.pragma("integrity_check", 1))
        check_head(self._connection, self._path)
        height = read_height(self._connection)
        self._turns = {turn.height: turn for turn in read_turns(self._connection)}
        root = Overlay(FinalState()).root()  # the state of genesis reaches the store with block 1
        for each in range(1, height + 1):
            root = self._check_block(each)
            self._progress(each, height)
        records = self._check_state(height, root)
        self._check_index(height)
        self._check_validators(height)
        self._check_small_tables()
        return Audited(height, self._transactions, records, self._check_supply())

    def _check_block(self, height: int) -> Hash32:
        """The block and its index entries; returns the state root that it leads to."""
        stored = read_block(self._connection, height)
        if stored is None:
            raise damaged(self._path, f"without block {height}")
        try:
            block = self._replay(stored)
        except StoreError:  # it says where and what already
            raise
        except BlockchainError as error:
            raise damaged(self._path, f"block {height}: {error}") from None
        parties = [parties_of(one.transaction) for one in block.transactions]
        self._transactions += len(parties)
        for entry in entries_of(height, stored.transaction_ids, parties):
            self._entries[height // BLOCKS_TOGETHER] += int.from_bytes(entry, "big")
        return block.header.state_root

    def _replay(self, stored: FinalBlock) -> VerifiedBlock:
        """Take the block as a node that syncs does. Raises BlockchainError for whatever is wrong with it."""
        chain = self._chain
        context = VerifyContext(self._genesis_hash, stored.height, {}, lambda _: None)
        block = verify_block(stored.raw, context)
        if block.id != stored.id:
            raise damaged(self._path, f"block {stored.height} has another id than its row says")
        if tuple(one.id for one in block.transactions) != stored.transaction_ids:
            raise damaged(self._path, f"block {stored.height} has other transactions than its row says")
        certificate = codec.decode(stored.certificate, Certificate, bytes_max=BLOCK_BYTES_MAX)
        if (certificate.height, certificate.block_id) != (stored.height, stored.id):
            raise damaged(self._path, f"the certificate of block {stored.height} is that of another block")
        verify_certificate(certificate, chain.validators, self._genesis_hash)
        for effect in chain.import_block(block, certificate, block.header.time_ms):
            self._check_told(effect)
        return block

    def _check_told(self, effect: Effect) -> None:
        """What is told of validators with a block stands in the table, where that goes back so far."""
        match effect:
            case Write(batch=Batch(block=FinalBlock(height=height), sets=sets, turn=turn)):
                if self._turns.get(height, turn) != turn:
                    raise damaged(self._path, f"the turns of height {height} are others")
                self._check_sets(sets)
            case _:
                pass

    def _check_sets(self, changes: tuple[SetChange, ...]) -> None:
        for change in changes:
            self._set_heights.append(change.height)
            if read_set(self._connection, change.height) not in (None, change.members):
                raise damaged(self._path, f"the validator set of height {change.height} is another")

    def _check_validators(self, height: int) -> None:
        """No change of the set is missing since the first that the store was told of, and no turn since its first."""
        heights = read_heights(self._connection)
        since = [one for one in self._set_heights if heights and one > heights[0]]
        if heights[1:] != since or self._turns.keys() != set(range(height + 1 - len(self._turns), height + 1)):
            raise damaged(self._path, "changes of the validator set, or turns, are missing")

    def _check_state(self, height: int, root: Hash32) -> int:
        """The records of the state give the root that the replay came to; returns how many they are."""
        records = read_state(self._connection)
        if not all(records.values()) or Overlay(FinalState(records)).root() != root:
            raise damaged(self._path, f"its state is not the one after block {height}")
        (counted,) = self._connection.execute("SELECT state_count FROM head").fetchone() or (0,)
        if counted != len(records):
            raise damaged(self._path, f"{len(records)} records of state, where its head has {counted}")
        return len(records)

    def _check_supply(self) -> Sums:
        """What was minted and not burnt is there (protocol §3.1)."""
        try:
            return check_supply(self._chain.state())
        except StoreError as error:
            raise damaged(self._path, str(error)) from None

    def _check_index(self, height: int) -> None:
        """Each transaction is found by its id and by the addresses that it names, and nothing else is found."""
        (blocks,) = self._connection.execute("SELECT count(*) FROM blocks").fetchone() or (0,)
        if blocks != height:
            raise damaged(self._path, f"{blocks} rows in blocks, where {height} belong")
        for page in read_all(self._connection):
            for entry in page:
                self._entries[height_of(entry) // BLOCKS_TOGETHER] -= int.from_bytes(entry, "big")
        for group, left in self._entries.items():
            if left:
                first, end = group * BLOCKS_TOGETHER, (group + 1) * BLOCKS_TOGETHER
                what = f"transactions of blocks {first} to {end - 1} are not in the index as they should be"
                raise damaged(self._path, what)

    def _check_small_tables(self) -> None:
        """What a node takes up at its start, and what it tells of transactions."""
        try:
            self._check_round()
            for pending in read_pending(self._connection):
                if verify_transaction(pending.raw, self._genesis_hash).id != pending.id:
                    raise damaged(self._path, "a pending transaction has another id than its row says")
        except (MalformedMessage, InvalidSignature) as error:
            raise damaged(self._path, f"the round in progress, or the pool: {error}") from None
        check_stories(self._connection)
        read_evidence(self._connection)
        check_prevotes(self._connection)
        read_halted(self._connection)
        read_untrusted(self._connection)

    def _check_round(self) -> None:
        """The round in progress has the bodies of the blocks that it names."""
        raw = read_round_record(self._connection)
        record = None if raw is None else decode_record(raw)
        held = set()
        for (identifier,) in self._connection.execute("SELECT id FROM round_blocks"):
            body = read_round_block(self._connection, identifier) or b""
            if block_id(decode_block(body).header, self._genesis_hash) != identifier:
                raise damaged(self._path, "a block of the round in progress has another id than its row says")
            held.add(identifier)
        if record is not None and record.height == self._chain.height and not record.block_ids() <= held:
            raise damaged(self._path, "without a block of the round in progress")
