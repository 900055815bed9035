"""The file of a moved validator: in clear, and what is sealed in it once the seal is right.

The password's hash is left out, which would take all the time: the key of the seal is a fixed one here. So a change of
what is inside is sealed again.
"""

from __future__ import annotations

import json
from random import Random
from unittest import mock

import msgspec
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_decrypt, crypto_aead_xchacha20poly1305_ietf_encrypt
from nacl.exceptions import CryptoError

from blockchain.errors import HistoryRefused
from blockchain.primitives import codec
from blockchain.runtime import moving
from blockchain.runtime.moving import moved_key, open_move, read_move, seal_move
from blockchain.seams import SigningRecord
from tests.fuzz.files import a_file
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation, json_mutation
from tests.runtime.test_history import LOCKED, OTHER
from tests.runtime.test_signer import CHAIN

_FILE = a_file("validator.move")
_SECRET = bytes(32)
_KEYS = (moved_key(LOCKED, b"-----BEGIN PRIVATE KEY-----"), moved_key(SigningRecord(OTHER.public_key), b"x"))


def _given(*_: object) -> bytes:
    return _SECRET


_fixed_secret = mock.patch.object(moving, "_secret", _given)  # while one of these functions runs


@_fixed_secret
def samples() -> list[bytes]:
    return [seal_move(CHAIN, 3, keys, b"") for keys in (_KEYS[:1], _KEYS)]


_CHANGE = json_mutation(samples)
_CHANGE_CONTENT = codec_mutation(lambda: [codec.encode((keys,)) for keys in (_KEYS[:1], _KEYS)])


def mutate(raw: bytes, rng: Random) -> bytes:
    if rng.random() < 0.3:
        return _CHANGE(raw, rng)
    try:
        plain = json.loads(raw)
        move = msgspec.json.decode(raw, type=moving.SealedMove)
        clear, nonce = msgspec.json.encode(move.head), bytes.fromhex(move.head.nonce)
        content = crypto_aead_xchacha20poly1305_ietf_decrypt(bytes.fromhex(move.sealed), clear, nonce, _SECRET)
    except (msgspec.MsgspecError, CryptoError, ValueError, RecursionError):
        return _CHANGE(raw, rng)
    changed = _CHANGE_CONTENT(content, rng)
    plain["sealed"] = crypto_aead_xchacha20poly1305_ietf_encrypt(changed, clear, nonce, _SECRET).hex()
    return json.dumps(plain).encode()


@_fixed_secret
def run(raw: bytes) -> bool:
    _FILE.write_bytes(raw)
    try:
        move = read_move(_FILE, CHAIN)
        keys = open_move(_FILE, move, b"")
    except HistoryRefused as error:
        assert error.args
        return False
    records = [one.record(CHAIN) for one in keys]
    assert tuple(record.key.hex() for record in records) == move.head.public_keys
    return True


TARGET = Target(samples, run, mutate, bytes_max=8_192)
