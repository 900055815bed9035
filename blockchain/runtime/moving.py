"""A validator on its way from one machine to another: its key files and what its keys have signed, in one sealed file.

The file is JSON. What stands in clear (chain, keys, number of the move, parameters of the password's hash) is
authenticated with the rest, which is sealed with XChaCha20-Poly1305 under a key that Argon2id (RFC 9106) makes of a
password. The parameters are bounded before any work is done with them. Key files go in as they are: one with a password
of its own keeps it.

This room seals and opens, and touches no record. The order in which a record is disabled, a file written and a
record enabled again is that of `commands.validator`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import nacl.exceptions
from msgspec import Meta, Struct
from nacl import pwhash
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)
from nacl.utils import random

from blockchain.errors import HistoryRefused, MalformedMessage, SigningRefused
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.scalars import HashField, PublicKeyField, RoundOrNone
from blockchain.primitives.vote import Proposal, Vote
from blockchain.runtime.history import Hex32, other_chain, read_capped
from blockchain.runtime.keystore import KEY_FILE_BYTES_MAX
from blockchain.runtime.record_file import Moves, checked_record
from blockchain.seams import SigningRecord

KEYS_MAX: Final = 2  # of one validator: around a rotation it has two (protocol §5.6)
MOVE_BYTES_MAX: Final = 128 * 1024  # two key files of the largest kind, in hex, and a little
# RFC 9106 §4, the second recommended option: a tenth of a second here. The bounds are what a file may ask of a reader.
OPERATIONS: Final = 3
MEMORY_BYTES: Final = 64 * 1024**2
OPERATIONS_MAX: Final = 16
MEMORY_BYTES_MAX: Final = 1024**3
_CONTENT_BYTES_MAX: Final = 48 * 1024
_TAG_BYTES: Final = 16

_HexSalt = Annotated[str, Meta(pattern=f"^[0-9a-f]{{{2 * pwhash.argon2id.SALTBYTES}}}$")]
_HexNonce = Annotated[str, Meta(pattern=f"^[0-9a-f]{{{2 * crypto_aead_xchacha20poly1305_ietf_NPUBBYTES}}}$")]
_HexSealed = Annotated[
    str, Meta(pattern="^([0-9a-f]{2})+$", min_length=2 * _TAG_BYTES, max_length=2 * (_CONTENT_BYTES_MAX + _TAG_BYTES))
]


class MovedKey(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One key of the validator: its file, byte for byte, and what it has signed."""

    public_key: PublicKeyField
    key_file: Annotated[bytes, Meta(min_length=1, max_length=KEY_FILE_BYTES_MAX)]
    message: Proposal | Vote | None
    precommit_round: RoundOrNone
    precommit_value: HashField | None

    def record(self, genesis_hash: Hash32) -> SigningRecord:
        """What it has signed, verified. Raises SigningRefused."""
        lock = self.precommit_round, self.precommit_value
        return checked_record(self.public_key, genesis_hash, self.message, *lock)


class _Content(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    keys: Annotated[tuple[MovedKey, ...], Meta(min_length=1, max_length=KEYS_MAX)]


class _Argon2id(Struct, frozen=True, forbid_unknown_fields=True):
    name: Literal["argon2id"]
    operations: Annotated[int, Meta(ge=1, le=OPERATIONS_MAX)]
    memory_bytes: Annotated[int, Meta(ge=pwhash.argon2id.MEMLIMIT_MIN, le=MEMORY_BYTES_MAX)]
    salt: _HexSalt


class MoveHead(Struct, frozen=True, forbid_unknown_fields=True):
    """What everybody may read of a move; `number` counts the moves of this validator."""

    format: Literal["validator move"]
    version: Literal[1]
    genesis_hash: Hex32
    public_keys: Annotated[tuple[Hex32, ...], Meta(min_length=1, max_length=KEYS_MAX)]
    number: Moves
    password_hash: _Argon2id
    nonce: _HexNonce


class SealedMove(Struct, frozen=True, forbid_unknown_fields=True):
    """A file as it was read: nothing in it is believed before it is opened."""

    head: MoveHead
    sealed: _HexSealed


def moved_key(record: SigningRecord, key_file: bytes) -> MovedKey:
    return MovedKey(record.key, key_file, record.message, record.precommit_round, record.precommit_value)


def seal_move(genesis_hash: Hash32, number: int, keys: tuple[MovedKey, ...], password: bytes) -> bytes:
    """The content of the file. Takes a tenth of a second and 64 MiB."""
    head = MoveHead(
        format="validator move",
        version=1,
        genesis_hash=genesis_hash.hex(),
        public_keys=tuple(one.public_key.hex() for one in keys),
        number=number,
        password_hash=_Argon2id("argon2id", OPERATIONS, MEMORY_BYTES, random(pwhash.argon2id.SALTBYTES).hex()),
        nonce=random(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES).hex(),
    )
    secret = _secret(head.password_hash, password)
    nonce = bytes.fromhex(head.nonce)
    sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(codec.encode(_Content(keys)), _in_clear(head), nonce, secret)
    return msgspec.json.format(msgspec.json.encode(SealedMove(head, sealed.hex())), indent=2) + b"\n"


def read_move(path: Path, genesis_hash: Hash32) -> SealedMove:
    """A move of this chain, still sealed. Raises HistoryRefused."""
    raw = read_capped(path, MOVE_BYTES_MAX, "no moved validator")
    try:
        move = msgspec.json.decode(raw, type=SealedMove)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise HistoryRefused(str(path), f"no moved validator: {error}") from None
    if move.head.genesis_hash != genesis_hash.hex():
        raise other_chain(path, move.head.genesis_hash)
    return move


def open_move(path: Path, move: SealedMove, password: bytes) -> tuple[MovedKey, ...]:
    """The keys in a move that `read_move` has read. Raises HistoryRefused: a wrong password, damage, nonsense in it."""
    head = move.head
    try:
        secret = _secret(head.password_hash, password)
        nonce, sealed = bytes.fromhex(head.nonce), bytes.fromhex(move.sealed)
        raw = crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, _in_clear(head), nonce, secret)
        keys = codec.decode(raw, _Content, bytes_max=_CONTENT_BYTES_MAX).keys
        for one in keys:
            one.record(Hash32(bytes.fromhex(head.genesis_hash)))
    except nacl.exceptions.CryptoError:
        raise HistoryRefused(str(path), "the password is wrong, or the file is damaged: nothing was changed") from None
    except (MalformedMessage, SigningRefused) as error:
        raise HistoryRefused(str(path), f"what is sealed in it is wrong: {error.why}") from None
    if tuple(one.public_key.hex() for one in keys) != head.public_keys:
        raise HistoryRefused(str(path), "it holds other keys than it names")
    return keys


def _in_clear(head: MoveHead) -> bytes:
    return msgspec.json.encode(head)


def _secret(hashing: _Argon2id, password: bytes) -> bytes:
    try:
        return pwhash.argon2id.kdf(
            crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
            password,
            bytes.fromhex(hashing.salt),
            opslimit=hashing.operations,
            memlimit=hashing.memory_bytes,
        )
    except nacl.exceptions.RuntimeError:
        mebibytes = hashing.memory_bytes // 1024**2
        raise HistoryRefused("the password", f"its hash takes {mebibytes} MiB of memory, which are not there") from None
