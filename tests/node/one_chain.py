"""One chain on one store, for tests that stand in for every forger and voter of it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from blockchain.consensus.lottery import vrf_alpha
from blockchain.consensus.pos import ProofOfStake
from blockchain.node.chain import Chain
from blockchain.node.store import MemoryStore
from blockchain.primitives import codec, vrf
from blockchain.primitives.block import Block, VerifiedBlock, block_id
from blockchain.primitives.chain import ChainSpec, GenesisValidator
from blockchain.primitives.crypto import Address, SigningKey
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.primitives.vote import Certificate
from blockchain.seams import Batch, Effect, Store, Write
from tests.samples import TIME_MS, address, certificate_of, keys_in_order, spec_of, wallet

NOW = TIME_MS + 1_000
KEYS = keys_in_order(3)


def spec_with(**parameters: Any) -> ChainSpec:
    members = tuple(GenesisValidator(Address(held.public_key), 100) for held in KEYS)
    return spec_of(validators=members, parameters=parameters)


class Node:
    """A chain on its store; it can stand in for every forger and voter."""

    def __init__(self, spec: ChainSpec, keys: list[SigningKey] = KEYS, store: Store | None = None) -> None:
        self.spec = spec
        self.keys = keys
        self.store = MemoryStore() if store is None else store
        self.load()

    def load(self) -> None:
        self.chain = Chain(self.spec, ProofOfStake(self.spec.hash), self.store)

    def pay(self, sender: str, nonce: int, amount: int = 1, fee: int = 0) -> VerifiedTransaction:
        return wallet(sender, self.spec.hash).transfer(address("b"), amount, nonce, fee)

    def add(self, *transactions: VerifiedTransaction) -> None:
        for each in transactions:
            self.chain.pool.add(each, NOW, must_apply=True)

    def forger(self, round: int = 0) -> SigningKey:
        chain = self.chain
        drawn = chain.selection.forgers(chain.seed, chain.height, chain.validators).forger(round)
        return next(held for held in self.keys if Address(held.public_key) == drawn)

    def proof(self, round: int = 0) -> bytes:
        chain = self.chain
        return vrf.prove(self.forger(round).seed, vrf_alpha(self.spec.hash, chain.seed, chain.height))

    def build(self, round: int = 0, now: int = NOW) -> VerifiedBlock:
        return self.chain.build_block(round, self.proof(round), self.chain.parent_certificate, now)

    def certificate(self, block: VerifiedBlock) -> Certificate:
        return certificate_of(dict(enumerate(self.keys)), block.header.height, block.id, genesis_hash=self.spec.hash)

    def finalize(self, block: VerifiedBlock) -> list[Effect]:
        return self.perform(self.chain.finalize(block, self.certificate(block), 0, NOW))

    def perform(self, effects: list[Effect]) -> list[Effect]:
        for effect in effects:
            if isinstance(effect, Write):
                self.store.write(effect.batch)
        return effects

    def grow(self, *transactions: VerifiedTransaction) -> VerifiedBlock:
        self.add(*transactions)
        block = self.build()
        self.finalize(block)
        return block


def at_height_two(**parameters: Any) -> Node:
    node = Node(spec_with(**parameters))
    node.grow(node.pay("a", 0))
    return node


def twin(node: Node) -> Node:
    """Another node of the same chain with the same blocks, which has seen nothing of what is being built."""
    other = Node(node.spec)
    for height in range(1, node.store.head() + 1):
        stored = node.store.block(height)
        assert stored is not None
        other.store.write(Batch(block=stored))
    other.store.write(Batch(state=node.store.state_records()))
    other.load()
    return other


def sealed(block: VerifiedBlock, **changes: Any) -> VerifiedBlock:
    """The block with other fields in its header, its body the same."""
    return with_body(replace(block.block, header=replace(block.header, **changes)), block.transactions)


def with_body(block: Block, transactions: tuple[VerifiedTransaction, ...]) -> VerifiedBlock:
    spec_hash = spec_with().hash
    return VerifiedBlock(block_id(block.header, spec_hash), codec.encode(block), block, transactions)
