"""Hashes, keys and signatures: SHA-256 under tags, and Ed25519 by a written rule (docs/protocol.md §1.3, §1.4).

Nothing is hashed or signed bare: a message is its tag, the chain's genesis hash and the encoded value, so
bytes made for one purpose or one chain mean nothing for another. Libraries disagree on crafted Ed25519
signatures, and a signature that half of the validators accept splits a chain; so the rule is written here,
pinned by disputed cases, and `check_library` refuses to start on a library that answers otherwise. Key files
and randomness are not of this room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from struct import Struct
from typing import Final, NewType, cast

# What `nacl.bindings` calls; its own `crypto_sign_open` copies the message twice, some 1.5 µs for each signature.
from nacl._sodium import ffi, lib  # type: ignore[import-not-found]
from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_seed_keypair,
)

from blockchain.errors import InvalidKey, UnsafeLibrary

Hash32 = NewType("Hash32", bytes)  # SHA-256, 32 bytes
PublicKey = NewType("PublicKey", bytes)  # an Ed25519 key in its RFC 8032 encoding, 32 bytes
Signature = NewType("Signature", bytes)  # R then S, 64 bytes
Address = NewType("Address", bytes)  # the public key of the account, 32 bytes

HASH_BYTES: Final = 32
SEED_BYTES: Final = 32
PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
TAG_BYTES_MAX: Final = 31  # tags are short words
_NOWHERE: Final = ffi.NULL  # where the message and its length are not wanted
_HASH: Final = Struct(f"{HASH_BYTES}s")
_SCOPES_MAX: Final = 256  # a few dozen tags for each of a node's chains


def tagged(tag: str, genesis_hash: bytes, message: bytes) -> bytes:
    """What is hashed or signed: a byte of tag length, ASCII tag, genesis hash (32 bytes), message."""
    return _scope(tag, genesis_hash) + message


def tagged_hash(tag: str, genesis_hash: bytes, message: bytes) -> Hash32:
    """SHA-256 of `tagged`."""
    return Hash32(sha256(tagged(tag, genesis_hash, message)).digest())


def tagged_hashes(tag: str, genesis_hash: bytes, messages: Iterable[bytes]) -> list[Hash32]:
    """`tagged_hash` of each, in their order; half as long where there are thousands."""
    scope = _scope(tag, genesis_hash)
    return cast("list[Hash32]", [sha256(scope + message).digest() for message in messages])


def hashes_in(joined: bytes) -> tuple[Hash32, ...]:
    """Those that were joined, in their order."""
    return tuple([each for (each,) in _HASH.iter_unpack(joined)])


@lru_cache(maxsize=_SCOPES_MAX)  # twice for each transaction: 0.2 µs less each time
def _scope(tag: str, genesis_hash: bytes) -> bytes:
    name = tag.encode("ascii")
    assert 0 < len(name) <= TAG_BYTES_MAX
    assert len(genesis_hash) == HASH_BYTES
    return bytes([len(name)]) + name + genesis_hash


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is good by the project's rule; False, and no exception, for any other bytes.

    The rule: 32 and 64 bytes; S < L; the key canonical and not of small order; R not of small order; R
    equals, byte for byte, the encoding of S·B − h·A (no cofactor). libsodium 1.0.18 to 1.0.22 checks all of
    that but the lengths; a later one may not, which is why `check_library` exists.
    """
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False  # the binding looks at neither: it accepts a key of 31 bytes and reads the one behind it
    signed = signature + message
    answer: int = lib.crypto_sign_open(_NOWHERE, _NOWHERE, signed, len(signed), public_key)  # without the interpreter
    return answer == 0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 key made from a 32-byte seed (RFC 8032 §5.1.5). Its repr shows the public key only.

    Raises InvalidKey when the seed is not 32 bytes.
    """

    seed: bytes = field(repr=False)
    public_key: PublicKey = field(init=False, compare=False)
    _secret: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise InvalidKey(f"a seed has {SEED_BYTES} bytes, not {len(self.seed)}")
        public_key, secret = crypto_sign_seed_keypair(self.seed)
        object.__setattr__(self, "public_key", PublicKey(public_key))
        object.__setattr__(self, "_secret", secret)

    def sign(self, message: bytes) -> Signature:
        """Sign what `tagged` made, and nothing else.

        The VRF uses the same key: one signature over a bare hash-to-curve point beside one proof gives the
        key away (docs/protocol.md §7.3). The check is no assert statement, because it has to hold
        under -O as well.
        """
        if not _is_tagged(message):
            raise AssertionError("a signer signs tagged values only")
        return Signature(crypto_sign(message, self._secret)[:SIGNATURE_BYTES])


def _is_tagged(message: bytes) -> bool:
    length = message[0] if message else 0
    name = message[1 : 1 + length]
    return (
        0 < length <= TAG_BYTES_MAX
        and len(message) >= 1 + length + HASH_BYTES  # so never 32 bytes
        and all(0x21 <= byte <= 0x7E for byte in name)  # printable ASCII, no space
    )


@dataclass(frozen=True, slots=True)
class DisputedSignature:
    """A signature on which libraries disagree, and what the rule says of it. `point` is R, `scalar` is S."""

    what: str
    is_valid: bool
    key: str
    message: bytes
    point: str
    scalar: str

    def is_accepted(self, verifier: Callable[[bytes, bytes, bytes], bool]) -> bool:
        return verifier(bytes.fromhex(self.key), self.message, bytes.fromhex(self.point + self.scalar))


_KEY: Final = "ae174bf17257a5cc82c44ae4c49cfbf4b1d7dc82d416a7707025d1e84fde1270"
_KEY_WITH_TORSION: Final = "04e5d018ad3d1f2cdad62dfbb70665b6a4895432f1350d5fe51505baf8ef3543"  # _KEY + order 8
_POINT: Final = "8771745439fd72aaa408dfe6307a7b05d393da962545a64852c314edeaf51a2d"
_ORDER_8: Final = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"

# Made by tests/primitives/edwards25519.py's arithmetic. In every refused case the equation holds (in one of
# them only times the cofactor), so each is refused for the reason that it names and for no other.
DISPUTED_SIGNATURES: Final = (
    DisputedSignature(
        "an ordinary signature",
        True,
        _KEY,
        b"disputed 0",
        _POINT,
        "2b94f848490a69671be4154251ce762d2f64d55aaec76b698f570543df42480e",
    ),
    DisputedSignature(
        "S not below L",
        False,
        _KEY,
        b"disputed 0",
        _POINT,
        "1868eea5636d7bbff1800de52fc855422f64d55aaec76b698f570543df42481e",
    ),
    DisputedSignature(
        "a key with a torsion part, the equation without the cofactor",
        True,
        _KEY_WITH_TORSION,
        b"disputed 3",
        _POINT,
        "47409adfe6926222726eb59efe4c5eb74e1f483ef887db8ef34310a109afa604",
    ),
    DisputedSignature(
        "a key with a torsion part, the equation only times the cofactor",
        False,
        _KEY_WITH_TORSION,
        b"disputed 0",
        _POINT,
        "0ec1e540ff43997dedd4fe7cf06e81055d5c164844e3fb79fbef95bc8d1f820f",
    ),
    DisputedSignature(
        "a key of small order",
        False,
        _ORDER_8,
        b"disputed 2",
        _POINT,
        "6aedd8e970fe18618e653a14b72e47761072f75499c8f733cdb3be72bf688f0c",
    ),
    DisputedSignature(
        "a key that is not canonical",
        False,
        "ee" + "ff" * 30 + "7f",  # y = p + 1: the neutral element
        b"disputed 0",
        _POINT,
        "6aedd8e970fe18618e653a14b72e47761072f75499c8f733cdb3be72bf688f0c",
    ),
    DisputedSignature(
        "R the neutral element",
        False,
        _KEY,
        b"disputed 0",
        "01" + "00" * 31,
        "84f3c3e098704514abc8c2f3c7357a753533b591f1e60d7593ec68a38b876a0e",
    ),
    DisputedSignature(
        "R of order 8",
        False,
        _KEY_WITH_TORSION,
        b"disputed 6",
        _ORDER_8[:-2] + "fa",  # the other sign of x
        "de26bec5f8e57cb287ccb1c5ec4b2d169333ddcc90f08ceff07c7501b2cdd504",
    ),
)

# Points for the VRF: libsodium before the end of 2025 (CVE-2025-69277) takes the second for one of prime
# order.
DISPUTED_POINTS: Final = (
    ("the base point", True, "58" + "66" * 31),
    ("the base point plus the point of order 2", False, "95" + "99" * 31),
)


def check_library(
    verifier: Callable[[bytes, bytes, bytes], bool] = verify,
    is_valid_point: Callable[[bytes], bool] = crypto_core_ed25519_is_valid_point,
) -> None:
    """Run the disputed cases; raises UnsafeLibrary, naming the case, when an answer is not the rule's."""
    for case in DISPUTED_SIGNATURES:
        if case.is_accepted(verifier) is not case.is_valid:
            raise UnsafeLibrary(f"Ed25519 answers wrongly for {case.what}")
    for what, is_valid, point in DISPUTED_POINTS:
        if is_valid_point(bytes.fromhex(point)) is not is_valid:
            raise UnsafeLibrary(f"Ed25519 answers wrongly for {what}")
