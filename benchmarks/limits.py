"""The physical limits, measured in the same run as what is held against them: signatures, VRF proofs, durable writes.

Each function measures once, a second or so; `figures.beside_limits` puts them between the runs. Signatures are verified
by libsodium itself, called as `blockchain.primitives.crypto` has it called but without anything around it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final, NamedTuple

from nacl._sodium import ffi, lib  # type: ignore[import-not-found]  # a built module, without types

from blockchain.primitives import vrf
from blockchain.primitives.crypto import SIGNATURE_BYTES, SigningKey, tagged
from blockchain.primitives.scalars import SIGNATURE_TAIL_BYTES
from blockchain.primitives.transaction import decode_transaction
from blockchain.runtime.sqlite_file import open_writer, transaction

_MESSAGE_BYTES_MAX: Final = 4_096  # of what is signed: a transaction has 1,024 at most
_SIGN_TAG: Final = "transaction"  # protocol §2


class Signed(NamedTuple):
    """What libsodium is given: the signature with the message behind it, and the public key."""

    message: bytes
    key: bytes


def signed_of(raws: Sequence[bytes], genesis_hash: bytes) -> list[Signed]:
    """What is verified of these transactions (canonical bytes): one signature each."""
    transactions = [(raw, decode_transaction(raw)) for raw in raws]
    return [
        Signed(one.signature + tagged(_SIGN_TAG, genesis_hash, raw[:-SIGNATURE_TAIL_BYTES]), one.sender)
        for raw, one in transactions
    ]


def signatures_seconds(signed: Sequence[Signed], threads: int) -> float:
    """How long these signatures take with so many threads, in seconds. Raises AssertionError for a bad one."""
    parts = [signed[number::threads] for number in range(threads)]
    with ThreadPoolExecutor(threads, "limit") as pool:
        list(pool.map(int, range(threads)))  # the threads are there
        begun = perf_counter()
        good = sum(pool.map(_count_good, parts))
        seconds = perf_counter() - begun
    assert good == len(signed), "a signature that does not verify"
    return seconds


def _count_good(signed: Sequence[Signed]) -> int:
    """libsodium gives up the interpreter's lock while it works: threads run side by side."""
    opened = ffi.new("unsigned char[]", _MESSAGE_BYTES_MAX)
    length = ffi.new("unsigned long long *")
    verify = lib.crypto_sign_open
    good = 0
    for message, key in signed:
        assert SIGNATURE_BYTES < len(message) <= _MESSAGE_BYTES_MAX
        good += verify(opened, length, message, len(message), key) == 0
    return good


def prove_seconds(count: int) -> float:
    """One VRF proof, the mean of `count` different ones, in seconds."""
    key = SigningKey(bytes(32))
    alphas = [number.to_bytes(8, "big") for number in range(count)]
    begun = perf_counter()
    for alpha in alphas:
        vrf.prove(key.seed, alpha)
    return (perf_counter() - begun) / count


def verify_proof_seconds(count: int) -> float:
    """The verification of one VRF proof, the mean of `count` that were never seen before, in seconds."""
    key = SigningKey(os.urandom(32))
    proofs = [(alpha, vrf.prove(key.seed, alpha)) for alpha in (number.to_bytes(8, "big") for number in range(count))]
    begun = perf_counter()
    for alpha, proof in proofs:
        vrf.verify(key.public_key, alpha, proof)
    return (perf_counter() - begun) / count


def durable_write_seconds(folder: Path, size: int, count: int) -> float:
    """One row of `size` bytes made durable in `folder` by a connection like the store's, the mean of `count`."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as inside, closing(open_writer(Path(inside) / "limit.db", None)) as writer:
        writer.execute("CREATE TABLE written (number INTEGER PRIMARY KEY, raw BLOB NOT NULL)")
        raw = os.urandom(size)
        begun = perf_counter()
        for number in range(count):
            with transaction(writer):
                writer.execute("INSERT INTO written VALUES (?, ?)", (number, raw))
        return (perf_counter() - begun) / count
