"""Rows that are damaged while a node runs: who asks for one is told so, the log says what, and the node goes on."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx
import pytest

from blockchain.node.checkpoint import Vouched
from blockchain.primitives.address import format_address
from blockchain.runtime.service import NodeService
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import PeerId
from tests.api.asking import app_for, check_problem
from tests.commands.stored_chain import HEIGHT, SPEC, change_index, make_chain, sql
from tests.runtime.live_nodes import p2p_on_a_free_port
from tests.samples import address, key

V1 = "/api/v1"
OWN = key("the node")
MAKE_P2P = partial(p2p_on_a_free_port, OWN, SPEC.hash)
PAYER = f"{V1}/accounts/{format_address(address('a'))}/transactions/"


def place(height: int, position: int) -> bytes:
    return height.to_bytes(5, "big") + position.to_bytes(3, "big")


def moved(first: bytes, second: bytes, kind: bytes) -> Callable[[Path], None]:
    """What is at one place is said to be at another."""
    return lambda file: change_index(
        file, lambda entry: entry[:33] + second if entry.startswith(kind) and entry[33:] == first else entry
    )


def done(statement: str) -> Callable[[Path], None]:
    return lambda file: sql(file, statement)


DAMAGES = {
    "a block": (done("UPDATE blocks SET raw = zeroblob(9) WHERE height = 2"), f"{V1}/blocks/2/"),
    "a block on a page": (done("UPDATE blocks SET certificate = zeroblob(9) WHERE height = 2"), f"{V1}/blockchain/"),
    "no block of a transaction": (done("DELETE FROM blocks WHERE height = 2"), f"{V1}/transactions/{{2}}/"),
    "no such position": (moved(place(3, 0), place(3, 99), b"t"), f"{V1}/transactions/{{3}}/"),
    "another's position": (moved(place(3, 0), place(3, 1), b"t"), f"{V1}/transactions/{{3}}/"),
    "a page of the index": (done("UPDATE index_pages SET raw = x'00' WHERE run = 4"), f"{V1}/transactions/{{3}}/"),
    "a story": (done("UPDATE block_stories SET packed = zeroblob(9)"), f"{V1}/transactions/{{3}}/"),
    "a history without its block": (done("DELETE FROM blocks WHERE height = 5"), PAYER),
    "a history of no position": (moved(place(4, 0), place(4, 99), b"a"), PAYER),
    "a history of no number": (done("UPDATE index_pages SET crc = 'text'"), PAYER),
}


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_chain(folder)
    return folder


@pytest.mark.parametrize(("damage", "path"), DAMAGES.values(), ids=list(DAMAGES))
def test_what_cannot_be_read_is_one_clear_error(
    damage: Callable[[Path], None], path: str, made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        store = SqliteStore.open(tmp_path / "data", SPEC.hash)
        ids = {height: block.transaction_ids[0].hex() for height in (2, 3) if (block := store.block(height))}
        node = NodeService(SPEC, store, (), MAKE_P2P, PeerId(OWN.public_key), Vouched(genesis=True))
        await node.start()
        asked = f"{path.partition('{')[0]}{ids[int(path[-3])]}/" if path.endswith("}/") else path
        transport = httpx.ASGITransport(app_for(node))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            assert (await http.get(asked)).status_code == 200
            damage(tmp_path / "data" / "chain.db")
            caplog.clear()
            document = check_problem(await http.get(asked), 503, "store_damaged")
            assert "log" in str(document["detail"]) and str(tmp_path) not in str(document)
            assert (await http.get(f"{V1}/status/")).json()["height"] == HEIGHT
        await node.stop()
        store.close()

    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())
    [told] = caplog.records
    assert (told.levelno, told.__dict__["evt.name"]) == (logging.ERROR, "store_damaged")
    assert "db check" in told.getMessage() and told.exc_info is None and "error.stack" not in told.__dict__
