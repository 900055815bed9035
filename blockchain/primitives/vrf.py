"""The verifiable random function of the lottery: ECVRF-EDWARDS25519-SHA512-TAI of RFC 9381.

The holder of a key proves, for any input `alpha`, one output of 64 bytes that nobody could know before and
anybody can check. Built on libsodium's group operations, as PyNaCl binds them, and SHA-512. Keys and Gamma
must be points of prime order, which is stricter than the RFC (§5.4.5 lets a torsion part pass) and costs an
honest prover nothing. Whatever a binding refuses makes a proof invalid and is never another error: all of it
is a peer's bytes.

A proof is Gamma (32), c (16), s (32). The output is unique for key and alpha; the proof is not, so nothing
may hash a proof where it means the output.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha512
from typing import Final, NewType

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_is_valid_point,
    crypto_core_ed25519_sub,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
)
from nacl.exceptions import RuntimeError as BindingRefusal

from blockchain.errors import InvalidProof
from blockchain.primitives.crypto import PUBLIC_KEY_BYTES, SigningKey

Proof = NewType("Proof", bytes)  # 80 bytes

PROOF_BYTES: Final = 80
_CHECKED_MAX: Final = 256  # proofs that are remembered as valid, some hundred bytes each: a block is checked twice
_KEYS_MAX: Final = 1_024  # keys of which it is remembered whether they can prove

_GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493  # L, RFC 8032 §5.1
_NEUTRAL: Final = bytes([1]) + bytes(31)
_GAMMA_BYTES: Final = 32  # ptLen
_CHALLENGE_BYTES: Final = 16  # cLen

# RFC 9381 §5.5: the suite, and the domain separators of §5.4.1.1, §5.4.3 and §5.2.
_SUITE: Final = b"\x03"
_ENCODE_TO_CURVE: Final = b"\x01"
_CHALLENGE: Final = b"\x02"
_OUTPUT: Final = b"\x03"
_BACK: Final = b"\x00"


def prove(signing_key_seed: bytes, alpha: bytes) -> Proof:
    """Prove the output for `alpha` with the key made from this 32-byte seed. RFC 9381 §5.1.

    Raises InvalidKey when the seed is not 32 bytes.
    """
    public_key = SigningKey(signing_key_seed).public_key
    hashed = sha512(signing_key_seed).digest()
    secret = _clamped(hashed[:32])
    point = _encode_to_curve(public_key, alpha)
    gamma = _multiply(secret, point)
    nonce = int.from_bytes(sha512(hashed[32:] + point).digest(), "little") % _GROUP_ORDER  # §5.4.2.2
    challenge = _challenge(public_key, point, gamma, _multiply_base(nonce), _multiply(nonce, point))
    response = (nonce + int.from_bytes(challenge, "little") * secret) % _GROUP_ORDER
    return Proof(gamma + challenge + response.to_bytes(32, "little"))


@lru_cache(maxsize=_KEYS_MAX)  # pure: a validator's is asked for with each of its blocks
def is_key(public_key: bytes) -> bool:
    """Whether proofs of this key can verify: a point of prime order, 32 bytes. Takes any bytes.

    Ed25519 accepts more: a key with a torsion part signs, in one try of eight, and never proves.
    """
    return len(public_key) == PUBLIC_KEY_BYTES and crypto_core_ed25519_is_valid_point(public_key)


@lru_cache(maxsize=_CHECKED_MAX)  # pure: the same bytes are valid for ever
def verify(public_key: bytes, alpha: bytes, proof: bytes) -> bytes:
    """Check the proof of `public_key` for `alpha` and return the output, 64 bytes. RFC 9381 §5.3.

    Takes any bytes; raises InvalidProof when the key or the proof is not valid.
    """
    if not is_key(public_key):
        raise InvalidProof("a VRF key that is not a point of prime order")
    gamma, challenge, response = _decode_proof(proof)
    point = _encode_to_curve(public_key, alpha)
    c = int.from_bytes(challenge, "little")
    try:
        u = crypto_core_ed25519_sub(_multiply_base(response), _multiply(c, public_key))
        v = crypto_core_ed25519_sub(_multiply(response, point), _multiply(c, gamma))
    except BindingRefusal:  # a product that is neutral: c or s is 0, which no prover makes
        raise InvalidProof("a VRF proof with a scalar of zero") from None
    if _challenge(public_key, point, gamma, u, v) != challenge:
        raise InvalidProof("a VRF proof of another key or input")
    return _output(gamma)


def output(proof: bytes) -> bytes:
    """The output of a proof that is known to be valid, 64 bytes. RFC 9381 §5.2.

    It verifies nothing but the form: raises InvalidProof when the proof cannot be decoded.
    """
    gamma, _, _ = _decode_proof(proof)
    return _output(gamma)


def _decode_proof(proof: bytes) -> tuple[bytes, bytes, int]:
    """Gamma, c and s. RFC 9381 §5.4.4."""
    if len(proof) != PROOF_BYTES:
        raise InvalidProof(f"a VRF proof has {PROOF_BYTES} bytes, not {len(proof)}")
    gamma = proof[:_GAMMA_BYTES]
    if not crypto_core_ed25519_is_valid_point(gamma):
        raise InvalidProof("a VRF proof whose Gamma is not a point of prime order")
    response = int.from_bytes(proof[_GAMMA_BYTES + _CHALLENGE_BYTES :], "little")
    if response >= _GROUP_ORDER:
        raise InvalidProof("a VRF proof whose s is not below L")
    return gamma, proof[_GAMMA_BYTES : _GAMMA_BYTES + _CHALLENGE_BYTES], response


def _output(gamma: bytes) -> bytes:
    return sha512(_SUITE + _OUTPUT + _times_cofactor(gamma) + _BACK).digest()


def _encode_to_curve(public_key: bytes, alpha: bytes) -> bytes:
    """Try-and-increment, RFC 9381 §5.4.1.1.

    One candidate in two is a point; that 256 in a row are none has a chance of 2^-256 (`bytes` would raise
    there).
    """
    front = _SUITE + _ENCODE_TO_CURVE + public_key + alpha
    counter = 0
    while (point := _curve_point(sha512(front + bytes([counter]) + _BACK).digest()[:32])) is None:
        counter += 1
    return point


def _curve_point(candidate: bytes) -> bytes | None:
    """Eight times the point that the candidate encodes; None when it encodes none, or one of small order.

    Decoding is left to the addition: `is_valid_point` would refuse the seven of eight candidates that have a
    torsion part, which are good here. The addition also takes a y not below p, which RFC 8032 §5.1.3 does
    not; a hash has one with a chance of 2^-250.
    """
    try:
        point = _times_cofactor(candidate)
    except BindingRefusal:
        return None
    return None if point == _NEUTRAL else point


def _times_cofactor(point: bytes) -> bytes:
    for _ in range(3):
        point = crypto_core_ed25519_add(point, point)
    return point


def _challenge(*points: bytes) -> bytes:
    """RFC 9381 §5.4.3, with the public key as the first of five points."""
    return sha512(_SUITE + _CHALLENGE + b"".join(points) + _BACK).digest()[:_CHALLENGE_BYTES]


def _multiply(scalar: int, point: bytes) -> bytes:
    """The scalar times a point of prime order; the binding refuses a product that is neutral."""
    return crypto_scalarmult_ed25519_noclamp(scalar.to_bytes(32, "little"), point)


def _multiply_base(scalar: int) -> bytes:
    """The scalar times the base point, a quarter of what another point takes; refused alike."""
    return crypto_scalarmult_ed25519_base_noclamp(scalar.to_bytes(32, "little"))


def _clamped(half: bytes) -> int:
    """The secret scalar, RFC 8032 §5.1.5, reduced: it only multiplies points of prime order."""
    scalar = (int.from_bytes(half, "little") & ((1 << 254) - 8)) | (1 << 254)
    return scalar % _GROUP_ORDER
