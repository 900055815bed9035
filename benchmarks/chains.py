"""Chains that benchmarks read: made once by the production rules, and kept as bytes.

Every block is built and made final by `blockchain.node.chain.Chain`, with the drawn forger's VRF proof, signed
transfers, and a certificate of all four validators; the same shape gives the same bytes. What is kept is what peers
would send, so that it outlives any change of the store: a genesis, and one file of blocks with their certificates, each
behind its length. A folder appears under its name when it is whole, so a maker that is stopped leaves nothing half.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import BinaryIO, Final, NamedTuple

from msgspec.structs import replace

from benchmarks.actors import VALIDATORS, account_key, spec_of, validator_key
from blockchain.consensus.lottery import vrf_alpha
from blockchain.consensus.pos import ProofOfStake
from blockchain.node.chain import Chain
from blockchain.node.store import MemoryStore
from blockchain.primitives import codec, vrf
from blockchain.primitives.block import BLOCK_BYTES_MAX, VerifiedBlock
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.crypto import Address
from blockchain.primitives.scalars import NO_SIGNATURE
from blockchain.primitives.transaction import VerifiedTransaction
from blockchain.primitives.vote import Certificate, CommitSignature, precommit_of, sign_message
from blockchain.seams import Write
from blockchain.wallet import Wallet

GENESIS_FILE: Final = "genesis.bin"
BLOCKS_FILE: Final = "blocks.bin"
GENESIS_BYTES_MAX: Final = 1 << 30  # a million accounts take 80 MB
BLOCK_MS: Final = 1_000  # between two blocks
FEE: Final = 1
OPENING: Final = 100_000  # for an account that is new
_SAID_EVERY: Final = 10_000  # transactions, and a hundredth of that in blocks, between two lines of progress
_LENGTH_BYTES: Final = 4

Say = Callable[[str], None]


class Stretch(NamedTuple):
    """So many blocks of so many transfers each: between accounts drawn at random, or to accounts that are new."""

    blocks: int
    transfers: int
    is_opening: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """A chain: accounts in its genesis, then one stretch of blocks after the other."""

    genesis: int
    stretches: tuple[Stretch, ...]
    seed: int = 6

    @property
    def name(self) -> str:
        """Of its folder: what the shape says, in words."""
        parts = [
            f"{blocks}-{'opening' if is_new else 'of'}-{transfers}" for blocks, transfers, is_new in self.stretches
        ]
        return "_".join([f"{self.genesis}-accounts", *parts, f"seed-{self.seed}"])

    @property
    def accounts(self) -> int:
        """At its end."""
        return self.genesis + sum(blocks * transfers for blocks, transfers, is_opening in self.stretches if is_opening)

    @property
    def blocks(self) -> Iterator[Stretch]:
        """Each block as the stretch that it belongs to."""
        return (stretch for stretch in self.stretches for _ in range(stretch.blocks))

    @property
    def height(self) -> int:
        return sum(stretch.blocks for stretch in self.stretches)


class MadeBlock(NamedTuple):
    """Canonical bytes: the block, and the certificate that made it final."""

    raw: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True)
class MadeChain:
    """A chain in its folder."""

    folder: Path

    def spec(self) -> ChainSpec:
        return codec.decode((self.folder / GENESIS_FILE).read_bytes(), ChainSpec, bytes_max=GENESIS_BYTES_MAX)

    def blocks(self, first: int, last: int) -> Iterator[MadeBlock]:
        """The blocks of these heights, in order."""
        with (self.folder / BLOCKS_FILE).open("rb") as file:
            for height in range(1, last + 1):
                if height >= first:
                    yield MadeBlock(_read(file), _read(file))
                else:
                    _skip(file)
                    _skip(file)


def chain_folder(data: Path, shape: Shape) -> Path:
    return data / "chains" / shape.name


def made_chain(data: Path, shape: Shape) -> MadeChain | None:
    """The chain if it was made."""
    folder = chain_folder(data, shape)
    return MadeChain(folder) if folder.exists() else None


def make_chain(data: Path, shape: Shape, say: Say) -> MadeChain:
    """Make a chain, unless it is there."""
    made = made_chain(data, shape)
    if made is not None:
        return made
    folder = chain_folder(data, shape)
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    say(f"{shape.height:,} blocks, {shape.accounts:,} accounts")
    spec = spec_of(shape.genesis)
    (part / GENESIS_FILE).write_bytes(codec.encode(spec))
    maker = Maker(spec, shape.seed)
    transfers = 0
    with (part / BLOCKS_FILE).open("wb") as file:
        for height, stretch in enumerate(shape.blocks, 1):
            for raw in maker.next(stretch.transfers, is_opening=stretch.is_opening):
                file.write(len(raw).to_bytes(_LENGTH_BYTES, "big") + raw)
            transfers += stretch.transfers
            if transfers % _SAID_EVERY < stretch.transfers or height % (_SAID_EVERY // 100) == 0:
                say(f"block {height:,} of {shape.height:,}, {transfers:,} transfers")
    part.rename(folder)
    return MadeChain(folder)


class Maker:
    """All validators and all accounts of one chain, in memory."""

    def __init__(self, spec: ChainSpec, seed: int) -> None:
        self._spec = spec
        self._genesis_hash = spec.hash
        self._chance = Random(seed)
        self._addresses = [Address(account.address) for account in spec.accounts]
        self._nonces = [0] * len(self._addresses)
        self._store = MemoryStore()
        self._chain = Chain(spec, ProofOfStake(self._genesis_hash), self._store)
        keys = (validator_key(number) for number in range(VALIDATORS))
        self._keys = {Address(key.public_key): key for key in keys}

    def next(self, transfers: int, *, is_opening: bool) -> MadeBlock:
        """The next block, with so many transfers, all of them good."""
        chain = self._chain
        now = self._spec.time_ms + chain.height * BLOCK_MS
        for _ in range(transfers):
            chain.pool.add(self._opening() if is_opening else self._transfer(), now, must_apply=False)
        block = self._build(now)
        assert len(block.transactions) == transfers, "a transfer that the block did not take"
        certificate = self._certificate(block)
        for effect in chain.finalize(block, certificate, 0, now):
            if isinstance(effect, Write):
                self._store.write(effect.batch)
        return MadeBlock(block.raw, codec.encode(certificate))

    def _transfer(self) -> VerifiedTransaction:
        """Between any two accounts."""
        count = len(self._addresses)
        sender, recipient = self._chance.randrange(count), self._chance.randrange(count)
        return self._paid(sender, self._addresses[recipient], 1)

    def _opening(self) -> VerifiedTransaction:
        """To an account that is new, from those of genesis in turn."""
        number = len(self._addresses)
        self._addresses.append(Address(account_key(number).public_key))
        self._nonces.append(0)
        return self._paid(number % len(self._spec.accounts), self._addresses[number], OPENING)

    def _paid(self, sender: int, recipient: Address, amount: int) -> VerifiedTransaction:
        nonce = self._nonces[sender]
        self._nonces[sender] += 1
        return Wallet(account_key(sender), self._genesis_hash).transfer(recipient, amount, nonce, FEE)

    def _build(self, now: int) -> VerifiedBlock:
        chain = self._chain
        forger = chain.selection.forgers(chain.seed, chain.height, chain.validators).forger(0)
        alpha = vrf_alpha(self._genesis_hash, chain.seed, chain.height)
        proof = vrf.prove(self._keys[forger].seed, alpha)
        return chain.build_block(0, proof, chain.parent_certificate, now)

    def _certificate(self, block: VerifiedBlock) -> Certificate:
        """The precommits of all, in set order."""
        empty = Certificate(block.header.height, 0, block.id, ())
        entries = []
        for index, member in enumerate(self._chain.validators.validators):
            address = Address(member.address)
            vote = precommit_of(empty, address, NO_SIGNATURE)
            signed = sign_message(vote, self._keys[address], self._genesis_hash)
            entries.append(CommitSignature(index, signed.signature))
        return replace(empty, precommits=tuple(entries))


def _read(file: BinaryIO) -> bytes:
    size = int.from_bytes(file.read(_LENGTH_BYTES), "big")
    assert 0 < size <= BLOCK_BYTES_MAX, "a chain that ends early"
    return file.read(size)


def _skip(file: BinaryIO) -> None:
    file.seek(int.from_bytes(file.read(_LENGTH_BYTES), "big"), 1)
