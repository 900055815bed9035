"""What the store's tables hold, a few small functions a table: blocks, the round in progress, and more.

The state is in `sqlite_state`, the index in `sqlite_index`, the pool in `sqlite_pending`. What is read into memory as
it is carries its own check sum: SQLite notices a page that makes no sense, not a byte that changed inside a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from zlib import crc32

import apsw

from blockchain.node.store import EVIDENCE_MAX, PREVOTES_BYTES_MAX
from blockchain.primitives.crypto import Hash32, hashes_in
from blockchain.runtime.sqlite_file import damaged
from blockchain.seams import FinalBlock, HeightVotes

# ---------------------------------------------------------------------------------------------------- blocks


def append_block(connection: apsw.Connection, block: FinalBlock) -> None:
    """Add the block, and move the head. The height is the head's + 1, or an assert."""
    connection.execute(
        "UPDATE head SET height = ?, id = ? WHERE height = ? - 1", (block.height, block.id, block.height)
    )
    assert connection.changes() == 1, "a block that is not the head's child"
    ids = b"".join(block.transaction_ids)
    checksum = _block_checksum(block.height, block.id, block.raw, block.certificate, ids)
    connection.execute(
        "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)",
        (block.height, block.id, block.raw, block.certificate, ids, checksum),
    )


def read_height(connection: apsw.Connection) -> int:
    """The head's; 0 while there is no block."""
    (height,) = connection.execute("SELECT height FROM head").fetchone() or (0,)
    return int(height)


def read_block(connection: apsw.Connection, height: int) -> FinalBlock | None:
    """The block, or None when there is none. Raises StoreError when a byte of its row has changed."""
    row = read_block_row(connection, height)
    return None if row is None else block_of_row(connection, height, row)


def read_block_row(connection: apsw.Connection, height: int) -> tuple[object, ...] | None:
    """All of it, unchecked."""
    row: tuple[object, ...] | None = connection.execute(
        "SELECT id, raw, certificate, transaction_ids, checksum FROM blocks WHERE height = ?", (height,)
    ).fetchone()
    return row


def block_of_row(connection: apsw.Connection, height: int, row: tuple[object, ...]) -> FinalBlock:
    """Raises StoreError when a byte of it has changed since it was written."""
    values = [value for value in row if isinstance(value, bytes)]
    if len(values) != 5 or _block_checksum(height, *values[:4]) != values[4]:
        raise damaged(connection.filename, f"block {height}")
    block_id, raw, certificate, ids, _ = values
    return FinalBlock(height, Hash32(block_id), raw, certificate, hashes_in(ids))


def _block_checksum(height: int, *parts: bytes) -> bytes:
    digest = sha256(height.to_bytes(8, "big"))
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


# ---------------------------------------------------------------------------------------------------- the round


def clear_round(connection: apsw.Connection) -> None:
    connection.execute("DELETE FROM round_record")
    connection.execute("DELETE FROM round_blocks")


def set_round_record(connection: apsw.Connection, raw: bytes) -> None:
    connection.execute("INSERT OR REPLACE INTO round_record VALUES (1, ?, ?)", (raw, crc32(raw)))


def read_round_record(connection: apsw.Connection) -> bytes | None:
    row = connection.execute("SELECT raw, crc FROM round_record").fetchone()
    return _sound(connection, "the record of the round in progress", *row) if row else None


def add_round_blocks(connection: apsw.Connection, blocks: Sequence[tuple[Hash32, bytes]]) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO round_blocks VALUES (?, ?, ?)",
        [(block_id, raw, crc32(raw)) for block_id, raw in blocks],
    )


def read_round_block(connection: apsw.Connection, block_id: bytes) -> bytes | None:
    row = connection.execute("SELECT raw, crc FROM round_blocks WHERE id = ?", (block_id,)).fetchone()
    return _sound(connection, "a block of the round in progress", *row) if row else None


# ---------------------------------------------------------------------------------------------------- evidence


def add_evidence(connection: apsw.Connection, evidence: Sequence[bytes]) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO evidence (raw, crc) VALUES (?, ?)", [(raw, crc32(raw)) for raw in evidence]
    )
    connection.execute("DELETE FROM evidence WHERE seq <= (SELECT max(seq) FROM evidence) - ?", (EVIDENCE_MAX,))


def read_evidence(connection: apsw.Connection) -> list[bytes]:
    rows = connection.execute("SELECT raw, crc FROM evidence ORDER BY seq")
    return [_sound(connection, "a piece of evidence", raw, crc) for raw, crc in rows]


def keep_prevotes(connection: apsw.Connection, kept: HeightVotes) -> None:
    """In the place of those of its height, which is the newest; the oldest make room for it."""
    connection.execute("DELETE FROM prevotes WHERE height >= ?", (kept.height,))
    newest = connection.execute("SELECT total FROM prevotes ORDER BY height DESC LIMIT 1").fetchone()
    total = (newest[0] if newest else 0) + len(kept.raw)  # of all so far: those that went are still in it
    row = (kept.height, total, kept.raw, crc32(kept.raw))
    connection.execute("INSERT INTO prevotes (height, total, raw, crc) VALUES (?, ?, ?, ?)", row)
    connection.execute(
        "DELETE FROM prevotes WHERE height < (SELECT height FROM prevotes WHERE total - length(raw) >= ? "
        "ORDER BY height LIMIT 1)",
        (total - PREVOTES_BYTES_MAX,),
    )


def forget_prevotes(connection: apsw.Connection, first: int) -> None:
    """Those of the heights below `first`."""
    connection.execute("DELETE FROM prevotes WHERE height < ?", (first,))


def read_prevotes(connection: apsw.Connection, height: int) -> bytes | None:
    row = connection.execute("SELECT raw, crc FROM prevotes WHERE height = ?", (height,)).fetchone()
    return _sound(connection, f"the prevotes of height {height}", *row) if row else None


def check_prevotes(connection: apsw.Connection) -> None:
    """Raises StoreError for the first row that is damaged."""
    for height, raw, crc in connection.execute("SELECT height, raw, crc FROM prevotes"):
        _sound(connection, f"the prevotes of height {height}", raw, crc)


# ---------------------------------------------------------------------------------------------------- halt and trust


def set_halted(connection: apsw.Connection, why: str) -> None:
    """The first reason stays."""
    connection.execute("INSERT OR IGNORE INTO meta VALUES ('halted', ?)", (why.encode(),))


def read_halted(connection: apsw.Connection) -> str:
    row = connection.execute("SELECT value FROM meta WHERE name = 'halted'").fetchone()
    return _bytes(connection, "why it halted", row[0]).decode("utf-8", "replace") if row else ""


def set_untrusted(connection: apsw.Connection, above: int) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('untrusted_above', ?)", (above.to_bytes(8, "big"),))


def set_trusted(connection: apsw.Connection) -> None:
    connection.execute("DELETE FROM meta WHERE name = 'untrusted_above'")


def read_untrusted(connection: apsw.Connection) -> int | None:
    row = connection.execute("SELECT value FROM meta WHERE name = 'untrusted_above'").fetchone()
    return int.from_bytes(_bytes(connection, "from where on it is not trusted", row[0]), "big") if row else None


def _bytes(connection: apsw.Connection, what: str, value: object) -> bytes:
    if not isinstance(value, bytes):
        raise damaged(connection.filename, what)
    return value


def _sound(connection: apsw.Connection, what: str, raw: object, crc: object) -> bytes:
    if not isinstance(raw, bytes) or crc32(raw) != crc:
        raise damaged(connection.filename, what)
    return raw
