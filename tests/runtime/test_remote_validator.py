"""A validator whose key is in another process: it makes blocks, loses its signer, and gets it back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace as changed
from functools import partial
from pathlib import Path

from blockchain.node.checkpoint import Vouched
from blockchain.node.messages import FRAME_BYTES_MAX
from blockchain.primitives.chain import ChainSpec, GenesisValidator
from blockchain.primitives.crypto import Address, SigningKey
from blockchain.runtime.peer_events import P2PLimits
from blockchain.runtime.remote_signer import LIMITS as SIGNER_LIMITS
from blockchain.runtime.remote_signer import RemoteSigner, SignerPlace
from blockchain.runtime.service import NodeService
from blockchain.runtime.signer import Signer
from blockchain.runtime.signer_service import SignerService
from blockchain.runtime.signing import Signing
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import PeerId
from tests.runtime.live_nodes import p2p_on_a_free_port
from tests.runtime.scenarios import run, until
from tests.samples import address, key, spec_of, wallet

LIMITS = P2PLimits(message_bytes_max=FRAME_BYTES_MAX, retry_first_s=0.01, retry_max_s=0.05, close_s=0.5)
QUICK = changed(SIGNER_LIMITS, retry_first_s=0.01, retry_max_s=0.02, close_s=0.5)
NAMES = ("v", "w")
OWN = SigningKey(b"\x21" * 32)


def chain_of(*stakes: int) -> ChainSpec:
    """As many validators as there are stakes; a block holds one transaction, and is due when there is one."""
    members = zip(NAMES, stakes, strict=False)
    return spec_of(
        validators=tuple(GenesisValidator(address(name), stake) for name, stake in members),
        parameters={"block_max_transactions": 1, "propose_timeout_ms": 400, "prevote_timeout_ms": 200},
    )


class Holder:
    """The process that holds the key of a validator, as often as it is started; always in the same place."""

    def __init__(self, folder: Path, spec: ChainSpec, name: str) -> None:
        self._spec = spec
        self._signer = Signer(key(name), spec.hash, folder / "record")
        self._service: SignerService | None = None
        self._port = 0

    async def start(self, *nodes: SigningKey) -> None:
        admitted = frozenset(bytes(node.public_key) for node in nodes)
        self._service = SignerService(self._signer, OWN, self._spec.hash, ("127.0.0.1", self._port), admitted)
        await self._service.start()
        self._port = self._service.p2p.port

    async def stop(self) -> None:
        if self._service is not None:
            await self._service.stop()
            self._service = None

    async def remote(self, node: SigningKey, stack: contextlib.AsyncExitStack) -> RemoteSigner:
        place = SignerPlace(f"127.0.0.1:{self._port}", bytes(OWN.public_key))
        remote = RemoteSigner(place, node, self._spec.hash, QUICK)
        stack.push_async_callback(remote.stop)
        await remote.open(30)
        return remote


async def node_of(
    spec: ChainSpec,
    folder: Path,
    node_key: SigningKey,
    signer: Signing | RemoteSigner,
    stack: contextlib.AsyncExitStack,
) -> NodeService:
    make_p2p = partial(p2p_on_a_free_port, node_key, spec.hash, limits=LIMITS)
    store = SqliteStore.open(folder, spec.hash)
    stack.callback(store.close)
    node = NodeService(spec, store, (signer,), make_p2p, PeerId(node_key.public_key), Vouched(genesis=True))
    await node.p2p.start()
    stack.push_async_callback(node.p2p.stop)
    await node.start()
    stack.push_async_callback(node.stop)
    return node


class Payer:
    """Hands one transaction after the other to a node."""

    def __init__(self, spec: ChainSpec, node: NodeService) -> None:
        self._wallet = wallet("a", spec.hash)
        self._node = node
        self._nonce = 0

    async def pay(self) -> None:
        [result] = await self._node.submit([self._wallet.transfer(Address(key("b").public_key), 1, self._nonce).raw])
        assert result.code == ""
        self._nonce += 1


@contextlib.asynccontextmanager
async def held(folder: Path, spec: ChainSpec, name: str, *nodes: SigningKey) -> AsyncIterator[Holder]:
    holder = Holder(folder, spec, name)
    await holder.start(*nodes)
    try:
        yield holder
    finally:
        await holder.stop()


def test_a_validator_alone_waits_for_its_signer_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        spec, own = chain_of(10), SigningKey(b"\x31" * 32)
        async with held(tmp_path, spec, "v", own) as holder, contextlib.AsyncExitStack() as stack:
            node = await node_of(spec, tmp_path / "node", own, await holder.remote(own, stack), stack)
            payer = Payer(spec, node)
            for height in (1, 2):
                await payer.pay()
                await until(lambda height=height: node.status().height == height)  # type: ignore[misc]
            await until(lambda: node._core.engine.current.vrf_proof is not None)  # so that a proposal can be built
            await holder.stop()
            await until(lambda: "the signer: " in node.status().consensus.waiting_for)
            await payer.pay()
            await until(lambda: bool(node._core.engine.current.asked))  # for its proposal's signature, in vain
            assert node.status().height == 2 and node.status().validator is not None
            await holder.start(own)
            await until(lambda: node.status().height == 3)
            assert "signer" not in node.status().consensus.waiting_for

    run(scenario())


def test_others_go_on_without_the_one_whose_signer_is_lost_and_it_votes_again_when_it_is_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        spec, own, other = chain_of(90, 10), SigningKey(b"\x31" * 32), SigningKey(b"\x32" * 32)
        async with held(tmp_path, spec, "w", own) as holder, contextlib.AsyncExitStack() as stack:
            node = await node_of(spec, tmp_path / "node", own, await holder.remote(own, stack), stack)
            near = Signer(key("v"), spec.hash, tmp_path / "near")
            strong = await node_of(spec, tmp_path / "strong", other, near, stack)
            node.p2p.dial(f"127.0.0.1:{strong.p2p.port}")
            payer = Payer(spec, strong)
            await payer.pay()
            await until(lambda: node.status().height == strong.status().height == 1)
            await holder.stop()
            await until(lambda: "the signer: " in node.status().consensus.waiting_for)
            await payer.pay()
            await until(lambda: node.status().height == strong.status().height == 2)
            before = holder._signer.record.height
            await holder.start(own)
            await until(lambda: "the signer: " not in node.status().consensus.waiting_for)
            for height in range(3, 13):  # a block may be final before the weaker one has voted
                await payer.pay()
                await until(lambda height=height: node.status().height == strong.status().height == height)  # type: ignore[misc]
                if holder._signer.record.height > before:
                    return
            raise AssertionError("it votes no more")

    run(scenario())


def test_a_signer_that_is_lost_while_its_node_starts_is_asked_when_it_is_back(tmp_path: Path) -> None:
    """What it was asked for at the very beginning was refused, and not forgotten: else the only forger never forges."""

    async def scenario() -> None:
        spec, own = chain_of(10), SigningKey(b"\x31" * 32)
        async with held(tmp_path, spec, "v", own) as holder:
            async with contextlib.AsyncExitStack() as stack:
                node = await node_of(spec, tmp_path / "node", own, await holder.remote(own, stack), stack)
                await holder.stop()
                await until(lambda: "the signer: " in node.status().consensus.waiting_for)
                await Payer(spec, node).pay()
            await holder.start(own)
            async with contextlib.AsyncExitStack() as stack:
                remote = await holder.remote(own, stack)
                await holder.stop()
                await until(lambda: not remote._is_up)
                node = await node_of(spec, tmp_path / "node", own, remote, stack)
                await holder.start(own)
                await until(lambda: node.status().height == 1)

    run(scenario())
