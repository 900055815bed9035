"""The service performs effects in their order: nobody is told of what is not on the disk yet."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest

from blockchain.node.checkpoint import Vouched
from blockchain.node.inputs import Input
from blockchain.node.messages import Have, Message, Status, Transactions, Want, decode_frame, encode_frame
from blockchain.primitives import codec
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime.service import NodeService
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Batch, Effect, PeerId, SetTimer, TimerFired, TimerKey, TimerKind
from tests.runtime.live_nodes import p2p_on_a_free_port
from tests.runtime.raw_peer import RawPeer, dial_raw
from tests.samples import address, spec_of, wallet

SPEC = spec_of()
OWN = SigningKey(b"\x31" * 32)
MAKE_P2P = partial(p2p_on_a_free_port, OWN, SPEC.hash)
PEER = SigningKey(b"\x32" * 32)
SECONDS = 60.0


class SlowDisk(SqliteStore):
    """Writes when it may, and says that it is about to."""

    may_write: threading.Event
    is_writing: threading.Event

    def write(self, batch: Batch) -> None:
        self.is_writing.set()
        self.may_write.wait(SECONDS)
        super().write(batch)


def test_a_client_is_answered_when_its_transaction_is_on_the_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SlowDisk.open(tmp_path, SPEC.hash)
        assert isinstance(store, SlowDisk)
        store.may_write, store.is_writing = threading.Event(), threading.Event()
        store.may_write.set()
        node = NodeService(SPEC, store, (), MAKE_P2P, PeerId(OWN.public_key), Vouched(genesis=True))
        await node.start()
        store.may_write.clear()
        store.is_writing.clear()
        paid = wallet("a", SPEC.hash).transfer(address("b"), 1, 0)
        submitted = asyncio.create_task(node.submit([paid.raw]))
        assert await asyncio.to_thread(store.is_writing.wait, SECONDS)
        assert not submitted.done() and store.pending() == []
        store.may_write.set()
        [result] = await submitted
        assert result.code == "" and [one.id for one in store.pending()] == [paid.id]
        await node.stop()
        store.close()

    asyncio.run(scenario())


def test_what_came_on_a_connection_that_is_over_is_not_answered_on_the_next_one(tmp_path: Path) -> None:
    """Else a peer that gave up a node that stood still gets what it did not ask for there, and blames it."""

    async def scenario() -> None:
        store = SlowDisk.open(tmp_path, SPEC.hash)
        assert isinstance(store, SlowDisk)
        store.may_write, store.is_writing = threading.Event(), threading.Event()
        store.may_write.set()
        node = NodeService(SPEC, store, (), MAKE_P2P, PeerId(OWN.public_key), Vouched(genesis=True))
        await node.start()
        await node.p2p.start()
        at = f"127.0.0.1:{node.p2p.port}"
        paid, heard = (wallet("a", SPEC.hash).transfer(address("b"), 1, nonce) for nonce in (0, 1))
        async with asyncio.timeout(SECONDS):
            before = await dial_raw(at, PEER, SPEC.hash)
            await read(before, Status)
            store.may_write.clear()
            store.is_writing.clear()
            submitted = asyncio.create_task(node.submit([paid.raw]))
            await asyncio.to_thread(store.is_writing.wait, SECONDS)
            await before.send(encode_frame(SPEC.hash, Have((heard.id,))))
            before.vanish()
            after = await dial_raw(at, PEER, SPEC.hash)
            store.may_write.set()
            await submitted
            told = await read(after, Status)
            assert not any(isinstance(message, Want) for message in told), told
            await after.send(encode_frame(SPEC.hash, Have((heard.id,))))
            assert (await read(after, Want))[-1] == Want((heard.id,))
        after.vanish()
        await node.stop()
        await node.p2p.stop()
        store.close()

    asyncio.run(scenario())


def test_who_waits_for_what_a_peer_brought_is_told_when_it_leaves_though_it_was_never_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SqliteStore.open(tmp_path, SPEC.hash)
        node = NodeService(SPEC, store, (), MAKE_P2P, PeerId(OWN.public_key), Vouched(genesis=True))
        await node.start()
        await node.p2p.start()
        brought, better = (wallet("a", SPEC.hash).transfer(address("b"), 1, 0, fee) for fee in (0, 50))
        async with asyncio.timeout(SECONDS):
            peer = await dial_raw(f"127.0.0.1:{node.p2p.port}", PEER, SPEC.hash)
            await peer.send(encode_frame(SPEC.hash, Have((brought.id,))))
            await read(peer, Want)
            await peer.send(encode_frame(SPEC.hash, Transactions((brought.raw,))))
            while not node.pending():
                await asyncio.sleep(0)
            assert store.pending() == []
            waiting = asyncio.create_task(node.wait_ended([brought.id], 2 * SECONDS))
            await asyncio.sleep(0)
            await node.submit([better.raw])
            await waiting
        assert node.pending() == [better]
        peer.vanish()
        await node.stop()
        await node.p2p.stop()
        store.close()

    asyncio.run(scenario())


async def read(peer: RawPeer, kind: type[Message]) -> list[Message]:
    """All that comes, up to the first message of a kind."""
    told: list[Message] = []
    while not told or not isinstance(told[-1], kind):
        told.append(decode_frame(await peer.receive()).message)
    return told


def test_a_timer_replaces_the_one_of_its_kind_whatever_height_that_was_of(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SqliteStore.open(tmp_path, SPEC.hash)
        node = NodeService(SPEC, store, (), MAKE_P2P, PeerId(OWN.public_key), Vouched(genesis=True))
        await node.start()
        over, current, last = (
            TimerKey(kind, height)
            for kind, height in ((TimerKind.PROPOSE, 1), (TimerKind.PROPOSE, 2), (TimerKind.LAG, 2))
        )
        fired, is_over = list[Input](), asyncio.Event()

        def handled(given: Input) -> list[Effect]:
            fired.append(given)
            if given == TimerFired(last):
                is_over.set()
            return []

        node._steps._handle = handled
        for key in (over, current, last):
            node._perform(SetTimer(key, 0))
        async with asyncio.timeout(SECONDS):
            await is_over.wait()
        assert sorted(fired, key=repr) == sorted((TimerFired(current), TimerFired(last)), key=repr)
        await node.stop()
        store.close()

    asyncio.run(scenario())


def test_message_types_are_prepared_before_the_first_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    monkeypatch.setattr(codec, "prepare", lambda: threads.append(threading.active_count()))
    store = SqliteStore.open(tmp_path, SPEC.hash)
    before = threading.active_count()
    NodeService(SPEC, store, (), MAKE_P2P, PeerId(OWN.public_key), Vouched(genesis=True))
    assert threads == [before]
    store.close()
