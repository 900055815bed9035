"""Blocks that were read lately are given again, while their rows are the same in every byte; few are kept."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from blockchain.errors import StoreError
from blockchain.runtime.sqlite_blocks import BlocksRead
from tests.runtime.store_batches import block_of
from tests.runtime.test_sqlite import write_chain


def test_a_block_is_taken_apart_once(tmp_path: Path) -> None:
    with closing(apsw.Connection(str(write_chain(tmp_path, 5)))) as connection:
        read = BlocksRead(connection)
        assert read.at(4) == block_of(4)
        assert read.at(4) is read.at(4)
        assert read.at(6) is None


@pytest.mark.parametrize("column", ["id", "raw", "certificate", "transaction_ids", "checksum"])
def test_what_changed_after_it_was_read_is_noticed(tmp_path: Path, column: str) -> None:
    with closing(apsw.Connection(str(write_chain(tmp_path, 5)))) as connection:
        read = BlocksRead(connection)
        assert read.at(4) == block_of(4)
        connection.execute(f"UPDATE blocks SET {column} = zeroblob(9) WHERE height = 4")
        with pytest.raises(StoreError, match=r"damaged \(block 4\)"):
            read.at(4)
        connection.execute("DELETE FROM blocks WHERE height = 4")
        assert read.at(4) is None


def test_those_that_nobody_asks_for_make_room(tmp_path: Path) -> None:
    size = max(len(block_of(height).raw) + len(block_of(height).certificate) for height in range(1, 6))
    with closing(apsw.Connection(str(write_chain(tmp_path, 5)))) as connection:
        read = BlocksRead(connection, bytes_max=2 * size)
        first, second = read.at(1), read.at(2)
        for height in range(3, 6):
            assert read.at(1) is first, "it is asked for all the time"
            assert read.at(height) == block_of(height)
        assert read.at(2) is not second
