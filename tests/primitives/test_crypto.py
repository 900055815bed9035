"""Tags, keys, and the written rule of signatures: outside vectors, the disputed cases, and a plain-integer
oracle.
"""

from __future__ import annotations

import hashlib
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blockchain.errors import InvalidKey, UnsafeLibrary
from blockchain.primitives import crypto
from blockchain.primitives.crypto import (
    SigningKey,
    check_library,
    hashes_in,
    tagged,
    tagged_hash,
    tagged_hashes,
    verify,
)
from tests.primitives import edwards25519 as oracle
from tests.vectors import load_vectors

GENESIS = hashlib.sha256(b"a chain").digest()
KEY = SigningKey(bytes(range(32)))

deterministic = settings(derandomize=True, deadline=None, max_examples=60)


def le(number: int) -> bytes:
    return number.to_bytes(32, "little")


# Tags


def test_a_message_is_length_tag_genesis_hash_and_bytes() -> None:
    assert tagged("vote", GENESIS, b"abc") == b"\x04vote" + GENESIS + b"abc"
    assert tagged_hash("vote", GENESIS, b"abc") == hashlib.sha256(b"\x04vote" + GENESIS + b"abc").digest()


def test_tag_and_chain_separate_what_is_hashed() -> None:
    hashes = {tagged_hash(tag, chain, b"x") for tag in ("vote", "votes") for chain in (GENESIS, bytes(32))}
    assert len(hashes) == 4


@pytest.mark.parametrize("tag, genesis_hash", [("", GENESIS), ("t" * 32, GENESIS), ("vote", GENESIS[1:])])
def test_a_wrong_scope_is_our_own_mistake(tag: str, genesis_hash: bytes) -> None:
    with pytest.raises(AssertionError):
        tagged(tag, genesis_hash, b"")


def test_many_at_once_are_hashed_as_one_by_one() -> None:
    messages = [b"", b"a", b"b" * 300]
    hashes = tagged_hashes("id", GENESIS, messages)
    assert hashes == [tagged_hash("id", GENESIS, message) for message in messages]
    assert hashes_in(b"".join(hashes)) == tuple(hashes) and hashes_in(b"") == ()


def test_a_tag_is_ascii() -> None:
    with pytest.raises(UnicodeEncodeError):
        tagged("Stimme für", GENESIS, b"")


# Keys


def test_the_key_of_rfc_8032() -> None:
    """RFC 8032 §7.1, test 1."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    expected = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert SigningKey(seed).public_key.hex() == expected


def test_a_signature_is_good_for_its_message_only() -> None:
    message = tagged("vote", GENESIS, b"yes")
    signature = KEY.sign(message)
    assert len(signature) == 64
    assert verify(KEY.public_key, message, signature)
    assert not verify(KEY.public_key, tagged("vote", GENESIS, b"no"), signature)
    assert not verify(SigningKey(bytes(32)).public_key, message, signature)


def test_the_oracle_agrees_on_our_own_signatures() -> None:
    message = tagged("vote", GENESIS, b"yes")
    assert oracle.verifies(KEY.public_key, message, KEY.sign(message))


@pytest.mark.parametrize(
    "message",
    [
        b"",
        bytes(32),
        hashlib.sha256(b"a curve point would look like this").digest(),
        b"\x04vote" + GENESIS[1:],  # a byte too short for tag and genesis hash
        b"\x00" + GENESIS + b"no tag",
        b"\x20" + b"t" * 32 + GENESIS,  # a tag longer than there are
        b"\x04v te" + GENESIS + b"not a tag",
        b"\x04v\xf6te" + GENESIS + b"not ASCII",
    ],
)
def test_a_signer_never_signs_what_is_not_tagged(message: bytes) -> None:
    with pytest.raises(AssertionError):
        KEY.sign(message)


@given(st.binary(min_size=32, max_size=32))
@deterministic
def test_a_signer_never_signs_32_bare_bytes(message: bytes) -> None:
    with pytest.raises(AssertionError):
        KEY.sign(message)
    with pytest.raises(AssertionError):
        KEY.sign(b"\x04" + message[1:])


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(size: int) -> None:
    with pytest.raises(InvalidKey, match=f"not {size}"):
        SigningKey(bytes(size))


def test_a_key_shows_no_secret_and_does_not_change() -> None:
    for secret in (KEY.seed, KEY.seed[:4]):
        assert secret.hex() not in repr(KEY)
        assert repr(secret)[2:-1] not in repr(KEY)
    with pytest.raises(FrozenInstanceError):
        KEY.seed = bytes(32)  # type: ignore[misc]


def test_keys_of_one_seed_are_equal() -> None:
    assert SigningKey(bytes(range(32))) == KEY
    assert SigningKey(bytes(32)) != KEY
    assert len({SigningKey(bytes(range(32))), KEY}) == 1


# Signatures, by vectors


def test_wycheproof() -> None:
    groups = load_vectors("wycheproof-ed25519.json")["testGroups"]
    cases = [(bytes.fromhex(group["publicKey"]["pk"]), case) for group in groups for case in group["tests"]]
    assert len(cases) == 151
    for key, case in cases:
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        expected = case["result"] == "valid"
        assert verify(key, message, signature) is expected, case["comment"]
        assert oracle.verifies(key, message, signature) is expected, case["comment"]


# Signatures, by disputed cases


@pytest.mark.parametrize("case", crypto.DISPUTED_SIGNATURES, ids=lambda case: case.what)
def test_the_rule_in_a_disputed_case(case: crypto.DisputedSignature) -> None:
    assert case.is_accepted(verify) is case.is_valid
    assert case.is_accepted(oracle.verifies) is case.is_valid


@pytest.mark.parametrize("case", crypto.DISPUTED_SIGNATURES, ids=lambda case: case.what)
def test_a_disputed_case_is_refused_for_nothing_but_its_reason(case: crypto.DisputedSignature) -> None:
    """A lenient verifier (any encoding, any S, with the cofactor) accepts every one of them."""
    assert case.is_accepted(lenient_verifier)


def lenient_verifier(key: bytes, message: bytes, signature: bytes) -> bool:
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    a, point = lenient_point(key), lenient_point(r)
    difference = s * oracle.BASE + oracle.challenge(r, key, message) * -a + -point
    return 8 * difference == oracle.IDENTITY


def lenient_point(raw: bytes) -> oracle.Point:
    number = int.from_bytes(raw, "little")
    y, sign = number % oracle.SIGN % oracle.P, number >> 255 << 255
    point = oracle.decode(le(y | sign)) or oracle.decode(le(y))  # the second for "minus zero"
    assert point is not None
    return point


def signed_with_torsion(key_torsion: int, point_torsion: int, message: bytes) -> tuple[bytes, bytes]:
    """Key and signature with the given multiples of a point of order 8 added to A and to R."""
    secret, nonce = 1234567, 7654321
    key = (secret * oracle.BASE + oracle.TORSION[key_torsion]).encode()
    r = (nonce * oracle.BASE + oracle.TORSION[point_torsion]).encode()
    return key, r + le((nonce + oracle.challenge(r, key, message) * secret) % oracle.L)


def test_torsion_counts_and_no_cofactor_hides_it() -> None:
    """Every torsion part of key and R, eight messages each: the library answers as the rule does."""
    accepted = 0
    for key_torsion in range(8):
        for point_torsion in range(8):
            for number in range(8):
                message = b"message %d" % number
                key, signature = signed_with_torsion(key_torsion, point_torsion, message)
                answer = verify(key, message, signature)
                assert answer is oracle.verifies(key, message, signature)
                accepted += answer
    assert 0 < accepted < 512
    assert accepted > 8  # more than the eight without torsion: keys that have some are allowed


def test_no_small_order_key_in_any_encoding() -> None:
    encodings = oracle.small_order_encodings()
    assert len(encodings) == 14
    r = (99 * oracle.BASE).encode()
    for key in encodings:
        answers = [lenient_verifier(key, b"message %d" % n, r + le(99)) for n in range(8)]
        assert any(answers)  # so the key's order is what it is refused for
        assert not any(verify(key, b"message %d" % n, r + le(99)) for n in range(8))


def test_no_small_order_r_in_any_encoding() -> None:
    key = (1234567 * oracle.BASE).encode()
    for r in oracle.small_order_encodings():
        signature = r + le(oracle.challenge(r, key, b"message") * 1234567 % oracle.L)
        assert lenient_verifier(key, b"message", signature)
        assert not verify(key, b"message", signature)


def test_s_has_one_encoding() -> None:
    message = tagged("vote", GENESIS, b"yes")
    signature = KEY.sign(message)
    s = int.from_bytes(signature[32:], "little")
    assert verify(KEY.public_key, message, signature[:32] + le(s))
    for multiple in range(1, 15):
        assert not verify(KEY.public_key, message, signature[:32] + le(s + multiple * oracle.L))


@pytest.mark.parametrize("key_bytes, signature_bytes", [(31, 64), (33, 64), (0, 64), (32, 63), (32, 65), (32, 0)])
def test_lengths_come_first(key_bytes: int, signature_bytes: int) -> None:
    message = tagged("vote", GENESIS, b"yes")
    key = (KEY.public_key + bytes(1))[:key_bytes]
    assert not verify(key, message, (KEY.sign(message) + bytes(1))[:signature_bytes])


@given(st.binary(max_size=70), st.binary(max_size=40), st.binary(max_size=70))
@deterministic
def test_verify_never_raises(key: bytes, message: bytes, signature: bytes) -> None:
    assert verify(key, message, signature) is False


@given(st.integers(0, 95), st.integers(1, 255))
@deterministic
def test_a_changed_signature_or_key_is_refused(place: int, change: int) -> None:
    message = tagged("vote", GENESIS, b"yes")
    changed = bytearray(KEY.public_key + KEY.sign(message))
    changed[place] ^= change
    assert not verify(bytes(changed[:32]), message, bytes(changed[32:]))


# The check of the library


def test_the_installed_library_is_safe() -> None:
    check_library()


@pytest.mark.parametrize("wrong", crypto.DISPUTED_SIGNATURES, ids=lambda case: case.what)
def test_a_library_that_answers_one_case_otherwise_is_refused(wrong: crypto.DisputedSignature) -> None:
    def other_library(key: bytes, message: bytes, signature: bytes) -> bool:
        is_the_case = wrong.is_accepted(lambda *case: case == (key, message, signature))
        return verify(key, message, signature) is not is_the_case

    with pytest.raises(UnsafeLibrary, match=wrong.what):
        check_library(verifier=other_library)


@pytest.mark.parametrize("answer, named", [(True, "order 2"), (False, "the base point")])
def test_a_library_that_misjudges_a_point_is_refused(answer: bool, named: str) -> None:
    with pytest.raises(UnsafeLibrary, match=named):
        check_library(is_valid_point=lambda point: answer)


def test_the_disputed_points_are_what_they_say() -> None:
    base, with_torsion = (bytes.fromhex(point) for _, _, point in crypto.DISPUTED_POINTS)
    assert base == oracle.BASE.encode()
    assert with_torsion == (oracle.BASE + oracle.TORSION[4]).encode()
