"""Stores at some height of a made chain, as a node would have them on its disk.

Made through `Chain` and `SqliteStore` from the chain's bytes, with everything checked but the signatures of transfers,
which the maker of the chain signed itself. A store is kept for as long as the code that decides what is in it stays the
same; each run works on a copy, on the same disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

from benchmarks.chains import MadeChain, Say
from benchmarks.options import ROOT
from blockchain.consensus.pos import ProofOfStake
from blockchain.node.chain import Chain
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX, VerifiedBlock, block_id, decode_block
from blockchain.primitives.chain import ChainSpec
from blockchain.primitives.transaction import VerifiedTransaction, decode_transaction, transaction_id
from blockchain.primitives.vote import Certificate
from blockchain.runtime.sqlite import SqliteStore
from blockchain.seams import Write

# What decides the bytes of a store: the nouns, the rules of value, what the chain writes, and how.
DECIDING: Final = ("primitives/*", "ledger/*", "seams/*", "node/chain.py", "node/turns.py", "runtime/sqlite*.py")
_SAID_EVERY: Final = 1_000  # blocks


def code_key() -> str:
    """The same as long as the code that decides what is in a store is."""
    digest = sha256()
    for pattern in DECIDING:
        for path in sorted((ROOT / "blockchain").glob(pattern)):
            if path.suffix == ".py":
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def store_folder(data: Path, made: MadeChain, height: int) -> Path:
    return data / "stores" / code_key() / f"{made.folder.name}-at-{height}"


def make_stores(data: Path, made: MadeChain, heights: tuple[int, ...], say: Say) -> None:
    """Make the stores at these heights, those that are not there."""
    missing = [height for height in sorted(heights) if not store_folder(data, made, height).exists()]
    if not missing:
        return
    spec = made.spec()
    part = store_folder(data, made, 0).with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    first = 1
    for height in missing:
        _grow(part, spec, made, first, height, say)
        folder = store_folder(data, made, height)
        folder.parent.mkdir(parents=True, exist_ok=True)
        copy = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(part, copy)
        copy.rename(folder)
        first = height + 1
    shutil.rmtree(part)


@contextmanager
def copy_of(store: Path, data: Path) -> Iterator[Path]:
    """A folder with a copy of a store, which goes when it has been used."""
    folder = Path(mkdtemp(prefix="run-", dir=data))
    try:
        shutil.copytree(store, folder, dirs_exist_ok=True)
        yield folder
    finally:
        shutil.rmtree(folder)


def verified_by_its_maker(raw: bytes, genesis_hash: bytes) -> VerifiedBlock:
    """A block of a made chain: hashed and decoded, its transfers' signatures taken for good."""
    block = decode_block(raw)
    transfers = tuple(
        VerifiedTransaction(transaction_id(genesis_hash, each), each, decode_transaction(each))
        for each in block.transactions
    )
    return VerifiedBlock(block_id(block.header, genesis_hash), raw, block, transfers)


def certificate_of(raw: bytes) -> Certificate:
    return codec.decode(raw, Certificate, bytes_max=BLOCK_BYTES_MAX)


def _grow(folder: Path, spec: ChainSpec, made: MadeChain, first: int, last: int, say: Say) -> None:
    with closing(SqliteStore.open(folder, spec.hash)) as store:
        chain = Chain(spec, ProofOfStake(spec.hash), store)
        for height, (raw, certificate) in enumerate(made.blocks(first, last), first):
            block = verified_by_its_maker(raw, chain.genesis_hash)
            for effect in chain.import_block(block, certificate_of(certificate), block.header.time_ms):
                if isinstance(effect, Write):
                    store.write(effect.batch)
            if height % _SAID_EVERY == 0 or height == last:
                say(f"stored block {height:,} of {last:,}")


def forget_others(data: Path) -> None:
    """Stores that the code of today would not make: they are large."""
    for folder in (data / "stores").glob("*"):
        if folder.name != code_key():
            shutil.rmtree(folder)
