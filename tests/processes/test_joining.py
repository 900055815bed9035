"""A node that joins late, over real sockets: one of its two sources lies, the other serves; and how long it takes.

The chain is made by the test, which holds the validator's key, with the production chain over the production store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from blockchain.client import Status as NodeStatus
from blockchain.genesis import dump_genesis
from blockchain.node.messages import Blocks, GetBlocks, Message, Status, decode_frame, encode_frame
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import Address, Signature
from blockchain.primitives.vote import Certificate, Step
from blockchain.runtime.keystore import generate_key
from blockchain.runtime.peer_events import FrameReceived, PeerDown, PeerEvent, PeerUp
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Store
from tests.node.one_chain import Node
from tests.processes.findings import check_logs
from tests.processes.listening import p2p_of
from tests.processes.network import all_closed, free_ports
from tests.processes.node_process import HOST, NodeProcess
from tests.processes.waiting import wait_until
from tests.samples import address, keys_in_order, spec_of

LIE_SECONDS: Final = 60.0
SYNC_SECONDS: Final = 300.0  # many times what it takes


@dataclass(frozen=True)
class Made:
    """A chain in a store, and its genesis file."""

    spec: ChainSpec
    store: Store
    genesis: Path
    length: int


def spec_of_now() -> ChainSpec:
    members = tuple(GenesisValidator(Address(key.public_key), 100) for key in keys_in_order(3))
    yesterday = time.time_ns() // 1_000_000 - 86_400_000
    accounts = (GenesisAccount(address("a"), 1_000_000),)
    bounds = {"stake_min": 10, "stake_step_max_bp": 1_000}  # a node takes no looser genesis from a file
    return spec_of(chain_id="joining", time_ms=yesterday, accounts=accounts, validators=members, parameters=bounds)


@contextmanager
def made_chain(folder: Path, blocks: int, transactions: int) -> Iterator[Made]:
    """A chain in the data folder of the node "full", which nobody else can open before this is left."""
    spec = spec_of_now()
    data = folder / "full" / "data"
    data.mkdir(parents=True)
    genesis = folder / "genesis.json"
    genesis.write_bytes(dump_genesis(spec))
    with closing(SqliteStore.open(data, spec.hash)) as store:
        node = Node(spec, keys_in_order(3), store)
        for height in range(blocks):
            first = height * transactions
            node.grow(*(node.pay("a", nonce) for nonce in range(first, first + transactions)))
        yield Made(spec, store, genesis, blocks)


def blocks_of(store: Store, first: int, count: int) -> Blocks:
    """An honest answer."""
    found = [block for height in range(first, first + count) if (block := store.block(height)) is not None]
    seal = codec.decode(found[-1].certificate, Certificate, bytes_max=BLOCK_BYTES_MAX)
    return Blocks(first, tuple(block.raw for block in found), seal)


def garbled(answer: Blocks) -> Blocks:
    """The last signature of its certificate is garbage."""
    assert answer.certificate is not None
    *most, last = answer.certificate.precommits
    forged = (*most, replace(last, signature=Signature(bytes(64))))
    return replace(answer, certificate=replace(answer.certificate, precommits=forged))


class Liar:
    """A peer with the production sockets that says it has the whole chain, and serves a lie."""

    def __init__(self, spec: ChainSpec, length: int, lie: Blocks) -> None:
        self.spec = spec
        self.length = length
        self.lie = lie
        self.events: asyncio.Queue[PeerEvent] = asyncio.Queue(100)
        self.p2p = p2p_of("liar", spec, generate_key(), self.events)

    async def lie_until_dropped(self) -> None:
        """Returns when the peer has closed the connection after it was lied to."""
        has_lied = False
        while True:
            match await self.events.get():
                case PeerUp(peer_id=peer):
                    self._send(peer, Status(self.length + 1, 0, Step.PROPOSE, ()))
                case FrameReceived(peer_id=peer, data=frame):
                    asked = decode_frame(frame).message
                    if isinstance(asked, GetBlocks):
                        has_lied = True
                        self._send(peer, self.lie)
                case PeerDown():
                    if has_lied:
                        return
                case _:
                    pass

    def _send(self, peer: bytes, message: Message) -> None:
        self.p2p.send(peer, encode_frame(self.spec.hash, message))


def lines_of(node: NodeProcess, name: str) -> list[dict[str, Any]]:
    return [line for line in node.lines() if line.get("evt.name") == name]


def heights_told(node: NodeProcess) -> list[int]:
    return [line["height"] for line in lines_of(node, "sync_progressed") if line["height"] == line["target"]]


async def fetch_through_a_lie(made: Made, liar: Liar, folder: Path) -> list[NodeStatus]:
    """What the joining node says of itself, again and again, until it holds the whole chain."""
    ports = free_ports(4)
    joining = NodeProcess("joining", ports[0], ports[1], folder / "joining", genesis=made.genesis)
    seeds = f"{HOST}:{ports[0]}"
    full = NodeProcess("full", ports[2], ports[3], folder / "full", genesis=made.genesis, seeds=seeds)
    with all_closed([joining, full]):
        await liar.p2p.start()
        try:
            joining.seeds = f"{HOST}:{liar.p2p.port}"
            joining.start()
            await asyncio.wait_for(liar.lie_until_dropped(), LIE_SECONDS)
        finally:
            await liar.p2p.stop()
        full.start()
        seen = await asyncio.to_thread(watch, joining, made.length)
        check_logs([full])
        [penalty] = lines_of(joining, "peer_penalized")
        assert penalty["reason"] == "bad_certificate"
        await asyncio.to_thread(wait_until, "its log says so", lambda: made.length in heights_told(joining))
        assert lines_of(full, "peer_penalized") == []
    return seen


def watch(node: NodeProcess, length: int) -> list[NodeStatus]:
    seen: list[NodeStatus] = []

    def look() -> bool:
        status = node.status()
        if status is not None:
            seen.append(status)
        return status is not None and status.height == length and not status.is_syncing

    wait_until(f"height {length}", look, SYNC_SECONDS)
    return seen


def join(folder: Path, blocks: int, transactions: int) -> list[NodeStatus]:
    with made_chain(folder, blocks, transactions) as made:
        lie = garbled(blocks_of(made.store, 1, 100))
        head = made.store.block(blocks)
    assert head is not None

    async def scenario() -> list[NodeStatus]:
        return await fetch_through_a_lie(made, Liar(made.spec, blocks, lie), folder)

    seen = asyncio.run(scenario())
    assert seen[-1].head == head.id.hex()
    return seen


def test_a_node_that_joins_late_bans_the_liar_and_fetches_the_chain_from_the_other(tmp_path: Path) -> None:
    join(tmp_path, blocks=120, transactions=1)


@pytest.mark.slow
def test_a_node_that_joins_after_a_thousand_blocks_shows_its_progress(tmp_path: Path) -> None:
    seen = join(tmp_path, blocks=1_000, transactions=10)
    moving = [status.sync for status in seen if status.height < status.sync.target == 1_000]
    assert any(sync.blocks_per_second and sync.seconds_left and sync.sources == 1 for sync in moving)
