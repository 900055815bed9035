"""A chain of five blocks in a node's data folder, made by its rules, and ways to do harm to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from zlib import crc32

import apsw

from blockchain.genesis import dump_genesis
from blockchain.primitives import codec
from blockchain.runtime.sqlite import SqliteStore
from blockchain.runtime.sqlite_rows import _block_checksum
from blockchain.runtime.sqlite_state import check_sum
from blockchain.seams import Batch, PendingTransaction
from tests.node.one_chain import Node, spec_with

HEIGHT = 5
SPEC = spec_with(block_threshold=2, stake_min=100, stake_step_max_bp=1_000)


class DiskNode(Node):
    """The chain of `one_chain`, on disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(SPEC, store=SqliteStore.open(folder, SPEC.hash))


@contextmanager
def open_chain(folder: Path) -> Iterator[DiskNode]:
    """The store of `folder` while a node has it open; made when there is none."""
    node = DiskNode(folder)
    try:
        yield node
    finally:
        node.store.close()  # type: ignore[attr-defined]


def grow(node: DiskNode, blocks: int) -> None:
    for _ in range(blocks):
        nonce = 2 * node.chain.head.height
        node.grow(node.pay("a", nonce), node.pay("a", nonce + 1))


def make_chain(folder: Path) -> Path:
    """A folder with a genesis file and a store that nobody uses; returns the store's file."""
    (folder / "genesis.json").write_bytes(dump_genesis(SPEC))
    with open_chain(folder / "data") as node:
        grow(node, HEIGHT)
        node.store.write(_pending(node))
    return folder / "data" / "chain.db"


def _pending(node: DiskNode) -> Batch:
    waiting = node.pay("a", 2 * HEIGHT)
    return Batch(pending_added=(PendingTransaction(waiting.id, waiting.raw),))


def flags(folder: Path) -> list[str]:
    return [f"--data_dir={folder / 'data'}", f"--genesis={folder / 'genesis.json'}"]


def sql(file: Path, statement: str, *values: object) -> None:
    with closing(apsw.Connection(str(file))) as connection:
        connection.execute(statement, values)


def change_block(file: Path, height: int, **columns: bytes) -> None:
    """Other values in a block's row, with the check sum that fits them, as no accident would."""
    with closing(apsw.Connection(str(file))) as connection:
        names = ("id", "raw", "certificate", "transaction_ids")
        row = connection.execute(f"SELECT {', '.join(names)} FROM blocks WHERE height = ?", (height,)).get
        values = {**dict(zip(names, row, strict=True)), **columns}
        checksum = _block_checksum(height, *values.values())
        assignments = ", ".join(f"{name} = ?" for name in (*names, "checksum"))
        connection.execute(f"UPDATE blocks SET {assignments} WHERE height = ?", (*values.values(), checksum, height))


def change_index(file: Path, change: Callable[[bytes], bytes]) -> None:
    """Other entries in the index, with order and check sums that fit them; no bytes: none in its place."""
    with closing(apsw.Connection(str(file))) as connection:
        for seq, run, raw in connection.execute("SELECT seq, run, raw FROM index_pages").fetchall():
            assert isinstance(raw, bytes)
            entries = sorted(filter(None, (change(raw[at : at + 41]) for at in range(0, len(raw), 41))))
            new = b"".join(entries)
            row = (entries[0], new, crc32(new), seq)
            connection.execute("UPDATE index_pages SET first = ?, raw = ?, crc = ? WHERE seq = ?", row)
            lost = (len(raw) - len(new)) // 41
            connection.execute("UPDATE index_runs SET entries = entries - ? WHERE run = ?", (lost, run))


def change_state(file: Path, change: Callable[[bytes, bytes], bytes | None]) -> None:
    """Other values in the newest row of the state, with the check sum that fits it."""
    with closing(apsw.Connection(str(file))) as connection:
        seq, lap, at, raw = connection.execute("SELECT seq, lap, key, raw FROM state_log ORDER BY seq DESC LIMIT 1").get
        records = codec.decode(raw, dict[bytes, bytes | None], bytes_max=1_000_000)
        new = codec.encode({key: change(key, value or b"") for key, value in records.items()})
        row = (new, check_sum(lap, at, new), seq)
        connection.execute("UPDATE state_log SET raw = ?, crc = ? WHERE seq = ?", row)
