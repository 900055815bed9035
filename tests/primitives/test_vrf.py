"""The VRF: the RFC's examples, and that nothing but a proof of this key for this input is taken."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import InvalidKey, InvalidProof
from blockchain.primitives import vrf
from blockchain.primitives.crypto import SigningKey
from tests.primitives import edwards25519 as oracle
from tests.samples import BAD_KEYS, key
from tests.vectors import load_vectors

SEED = bytes(range(32))
KEY = SigningKey(SEED).public_key
ALPHA = b"genesis, seed, height"
PROOF = vrf.prove(SEED, ALPHA)
OUTPUT = vrf.output(PROOF)

deterministic = settings(derandomize=True, deadline=None, max_examples=40)

# RFC 9381, appendix B.3, examples 16 to 18: key, input, H.
POINTS_OF_THE_RFC = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "91bbed02a99461df1ad4c6564a5f5d829d0b90cfc7903e7a5797bd658abf3318",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "5b659fc3d4e9263fd9a4ed1d022d75eaacc20df5e09f9ea937502396598dc551",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "bf4339376f5542811de615e3313d2b36f6f53c0acfebb482159711201192576a",
    ),
]


def test_the_examples_of_the_rfc() -> None:
    cases = load_vectors("rfc9381-ecvrf-tai.json")["cases"]
    assert len(cases) == 3
    for case in cases:
        names = ("SK", "PK", "alpha", "pi", "beta")
        seed, key, alpha, proof, beta = (bytes.fromhex(case[name]) for name in names)
        assert vrf.prove(seed, alpha) == proof
        assert vrf.verify(key, alpha, proof) == beta
        assert vrf.output(proof) == beta


@pytest.mark.parametrize("key, alpha, point", POINTS_OF_THE_RFC)
def test_the_curve_points_of_the_rfc(key: str, alpha: str, point: str) -> None:
    """Example 17 has its point from the second candidate; 17 and 18 have a torsion part to clear."""
    assert vrf._encode_to_curve(bytes.fromhex(key), bytes.fromhex(alpha)).hex() == point


def test_hash_to_curve_as_the_oracle_does_it() -> None:
    counters = set()
    for number in range(24):
        alpha = b"input %d" % number
        points = [oracle.decode(candidate) for candidate in candidates(alpha)]
        counter, point = next((counter, point) for counter, point in enumerate(points) if point is not None)
        assert vrf._encode_to_curve(KEY, alpha) == (8 * point).encode()
        counters.add(counter)
    assert {0, 1, 2} <= counters


def candidates(alpha: bytes) -> list[bytes]:
    front = b"\x03\x01" + KEY + alpha
    return [hashlib.sha512(front + bytes([counter, 0])).digest()[:32] for counter in range(16)]


def test_a_candidate_that_is_no_point_or_of_small_order_is_passed_over() -> None:
    assert vrf._curve_point(oracle.BASE.encode()) == (8 * oracle.BASE).encode()
    encodings = [y.to_bytes(32, "little") for y in range(2, 99)]
    no_points = [candidate for candidate in encodings if oracle.decode(candidate) is None]
    assert no_points
    assert {vrf._curve_point(candidate) for candidate in no_points} == {None}
    for point in oracle.TORSION:
        assert vrf._curve_point(point.encode()) is None


def test_a_proof_is_80_bytes_and_its_output_64() -> None:
    assert len(PROOF) == vrf.PROOF_BYTES == 80
    assert len(OUTPUT) == 64
    assert vrf.verify(KEY, ALPHA, PROOF) == OUTPUT
    assert vrf.prove(SEED, ALPHA) == PROOF


def test_another_input_or_key_has_another_output() -> None:
    others = {vrf.output(vrf.prove(SEED, b"other")), vrf.output(vrf.prove(bytes(32), ALPHA)), OUTPUT}
    assert len(others) == 3


def test_a_seed_has_32_bytes() -> None:
    with pytest.raises(InvalidKey):
        vrf.prove(SEED[1:], ALPHA)


def test_another_key_or_input_does_not_verify() -> None:
    with pytest.raises(InvalidProof, match="another key or input"):
        vrf.verify(KEY, b"other", PROOF)
    with pytest.raises(InvalidProof, match="another key or input"):
        vrf.verify(SigningKey(bytes(32)).public_key, ALPHA, PROOF)


@given(st.integers(0, 79), st.integers(1, 255))
@deterministic
def test_a_changed_proof_is_refused(place: int, change: int) -> None:
    changed = bytearray(PROOF)
    changed[place] ^= change
    with pytest.raises(InvalidProof):
        vrf.verify(KEY, ALPHA, bytes(changed))


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=90))
@deterministic
def test_any_bytes_are_an_invalid_proof_and_no_other_error(key: bytes, alpha: bytes, proof: bytes) -> None:
    with pytest.raises(InvalidProof):
        vrf.verify(key, alpha, proof)
    with pytest.raises(InvalidProof):
        vrf.verify(KEY, alpha, proof)


@pytest.mark.parametrize("key", [KEY[1:], KEY + bytes(1), b""])
def test_a_key_has_32_bytes(key: bytes) -> None:
    with pytest.raises(InvalidProof, match="key"):
        vrf.verify(key, ALPHA, PROOF)


def points_that_are_not_valid() -> list[bytes]:
    with_torsion = [(5 * oracle.BASE + torsion).encode() for torsion in oracle.TORSION[1:]]
    not_canonical = (oracle.P + 3).to_bytes(32, "little")  # y = 3, which is on the curve
    return [*oracle.small_order_encodings(), *with_torsion, not_canonical, b"\xff" * 32]


@pytest.mark.parametrize("point", points_that_are_not_valid(), ids=bytes.hex)
def test_key_and_gamma_are_points_of_prime_order(point: bytes) -> None:
    with pytest.raises(InvalidProof, match="key"):
        vrf.verify(point, ALPHA, PROOF)
    with pytest.raises(InvalidProof, match="Gamma"):
        vrf.verify(KEY, ALPHA, point + PROOF[32:])
    with pytest.raises(InvalidProof, match="Gamma"):
        vrf.output(point + PROOF[32:])


@pytest.mark.parametrize("size", [0, 79, 81])
def test_the_length_of_a_proof_is_checked(size: int) -> None:
    with pytest.raises(InvalidProof, match=f"not {size}"):
        vrf.output((PROOF + bytes(1))[:size])
    with pytest.raises(InvalidProof, match=f"not {size}"):
        vrf.verify(KEY, ALPHA, (PROOF + bytes(1))[:size])


def test_s_is_below_the_group_order() -> None:
    s = int.from_bytes(PROOF[48:], "little")
    for number in (s + oracle.L, oracle.L, 2**256 - 1):
        with pytest.raises(InvalidProof, match="not below L"):
            vrf.verify(KEY, ALPHA, PROOF[:48] + number.to_bytes(32, "little"))


def test_scalars_of_zero_are_invalid_and_no_other_error() -> None:
    for proof in (PROOF[:48] + bytes(32), PROOF[:32] + bytes(16) + PROOF[48:]):
        with pytest.raises(InvalidProof, match="zero"):
            vrf.verify(KEY, ALPHA, proof)


def test_many_proofs_have_one_output() -> None:
    """Whoever holds the key can make other proofs with other nonces: the output is the same, so only it
    counts.
    """
    gamma, secret = PROOF[:32], secret_scalar(SEED)
    point = vrf._encode_to_curve(KEY, ALPHA)
    h = oracle.decode(point)
    assert h is not None
    nonce = 4321
    u, v = (nonce * oracle.BASE).encode(), (nonce * h).encode()
    challenge = hashlib.sha512(b"\x03\x02" + KEY + point + gamma + u + v + b"\x00").digest()[:16]
    response = (nonce + int.from_bytes(challenge, "little") * secret) % oracle.L
    other = gamma + challenge + response.to_bytes(32, "little")
    assert other != PROOF
    assert vrf.verify(KEY, ALPHA, other) == OUTPUT


def secret_scalar(seed: bytes) -> int:
    """RFC 8032 §5.1.5."""
    half = bytearray(hashlib.sha512(seed).digest()[:32])
    half[0] &= 248
    half[31] = half[31] & 127 | 64
    return int.from_bytes(half, "little")


def test_a_key_is_a_point_of_prime_order() -> None:
    assert vrf.is_key(key("v").public_key)
    for what, bad in BAD_KEYS.items():
        assert not vrf.is_key(bad), what
    assert not vrf.is_key(b"") and not vrf.is_key(bytes(31)) and not vrf.is_key(key("v").public_key + b"\x00")
