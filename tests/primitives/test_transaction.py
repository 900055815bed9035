"""Transactions: one encoding, one id, and a signature that means one thing on one chain."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockchain.errors import InvalidSignature, MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.crypto import Address, Signature, SigningKey, tagged
from blockchain.primitives.scalars import INTEGER_MAX, NO_SIGNATURE, SIGNATURE_TAIL_BYTES
from blockchain.primitives.transaction import (
    TRANSACTION_BYTES_MAX,
    Exchange,
    Pause,
    Payload,
    Resume,
    Rotate,
    Stake,
    Transaction,
    Transfer,
    Unstake,
    decode_transaction,
    parties_of,
    prove_possession,
    sign_transaction,
    transaction_id,
    verify_transaction,
)
from tests.samples import GENESIS_HASH, OTHER_CHAIN, address, deterministic, key

VOTES = key("votes").public_key
NONCE = 3
PROOF = prove_possession(key("votes"), address("a"), NONCE, GENESIS_HASH)
PAYLOADS: list[Payload] = [
    Transfer(address("b"), 7),
    Exchange(address("b"), 7),
    Stake(7),
    Stake(7, VOTES, PROOF),
    Unstake(7),
    Rotate(VOTES, PROOF),
    Pause(7),
    Resume(),
]
ORDER = 2**252 + 27742317777372353535851937790883648493


def transaction(**changes: Any) -> Transaction:
    plain: dict[str, Any] = {
        "version": 1,
        "sender": address("a"),
        "nonce": NONCE,
        "fee": 2,
        "expiry": None,
        "payload": PAYLOADS[0],
    }
    return Transaction(**(plain | changes))


def signed(**changes: Any) -> Transaction:
    return sign_transaction(transaction(**changes), key("a"), GENESIS_HASH)


RAW = codec.encode(signed())


@pytest.mark.parametrize("expiry", [None, 0, INTEGER_MAX])
@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_signed_transaction_verifies_and_comes_back(payload: Payload, expiry: int | None) -> None:
    made = signed(payload=payload, expiry=expiry)
    raw = codec.encode(made)
    verified = verify_transaction(raw, GENESIS_HASH)
    assert verified.transaction == decode_transaction(raw) == made
    assert verified.raw == raw
    assert verified.id == transaction_id(GENESIS_HASH, raw)


def test_kinds_are_named() -> None:
    kinds = ["TRANSFER", "EXCHANGE", "STAKE", "STAKE", "UNSTAKE", "ROTATE", "PAUSE", "RESUME"]
    assert [transaction(payload=payload).kind for payload in PAYLOADS] == kinds


@pytest.mark.parametrize("payload", [Stake(7, VOTES, PROOF), Rotate(VOTES, PROOF)])
def test_a_validator_key_that_is_named_signs_too(payload: Stake | Rotate) -> None:
    """For this account, this transaction of it and this chain: nobody else can use the proof."""
    verify_transaction(codec.encode(signed(payload=payload)), GENESIS_HASH)
    others = [
        prove_possession(key("a"), address("a"), NONCE, GENESIS_HASH),
        prove_possession(key("votes"), address("b"), NONCE, GENESIS_HASH),
        prove_possession(key("votes"), address("a"), NONCE + 1, GENESIS_HASH),
        prove_possession(key("votes"), address("a"), NONCE, OTHER_CHAIN),
        NO_SIGNATURE,
    ]
    for other in others:
        raw = codec.encode(signed(payload=msgspec.structs.replace(payload, proof=other)))
        with pytest.raises(InvalidSignature, match="validator key"):
            verify_transaction(raw, GENESIS_HASH)


def test_a_key_and_its_proof_stand_together() -> None:
    for key_alone in ((VOTES, None), (None, PROOF)):
        with pytest.raises(ValueError, match="stand together"):
            Stake(7, *key_alone)


@deterministic
@given(st.integers(0, INTEGER_MAX), st.integers(0, INTEGER_MAX), st.integers(1, INTEGER_MAX))
def test_the_signature_is_the_last_66_bytes(nonce: int, fee: int, amount: int) -> None:
    made = transaction(nonce=nonce, fee=fee, payload=Transfer(address("b"), amount), signature=Signature(b"\x99" * 64))
    raw = codec.encode(made)
    assert raw[-SIGNATURE_TAIL_BYTES:] == b"\xc4\x40" + b"\x99" * 64
    assert len(raw) <= TRANSACTION_BYTES_MAX


def test_the_largest_of_each_kind_fits() -> None:
    largest = [
        codec.encode(transaction(nonce=INTEGER_MAX, fee=INTEGER_MAX, expiry=INTEGER_MAX, payload=payload))
        for payload in (Transfer(address("b"), INTEGER_MAX), Stake(INTEGER_MAX, VOTES, PROOF))
    ]
    assert all(len(raw) < 330 for raw in largest)


def test_every_bit_of_it_is_signed() -> None:
    """No bit can change without the signature or the encoding breaking, so an id has one transaction."""
    for position in range(8 * len(RAW)):
        at, bit = divmod(position, 8)
        changed = bytearray(RAW)
        changed[at] ^= 1 << bit
        with pytest.raises((MalformedMessage, InvalidSignature)):
            verify_transaction(bytes(changed), GENESIS_HASH)


def test_the_same_signature_with_a_larger_scalar_is_refused() -> None:
    """S + L signs the same by the curve's arithmetic: the classic way to a second id."""
    scalar = int.from_bytes(RAW[-32:], "little") + ORDER
    with pytest.raises(InvalidSignature):
        verify_transaction(RAW[:-32] + scalar.to_bytes(32, "little"), GENESIS_HASH)


@pytest.mark.parametrize("tail", [b"\x00", b"\xc0", RAW])
def test_trailing_bytes_are_refused(tail: bytes) -> None:
    with pytest.raises(MalformedMessage):
        verify_transaction(RAW + tail, GENESIS_HASH)


def test_ids_depend_on_the_chain_and_on_the_signature() -> None:
    assert transaction_id(GENESIS_HASH, RAW) != transaction_id(OTHER_CHAIN, RAW)
    assert transaction_id(GENESIS_HASH, RAW) != transaction_id(GENESIS_HASH, RAW[:-64] + bytes(64))


def test_a_signature_for_one_chain_is_nothing_on_another() -> None:
    with pytest.raises(InvalidSignature):
        verify_transaction(RAW, OTHER_CHAIN)


@pytest.mark.parametrize("tag", ["vote", "proposal", "announcement", "transaction-id", "Transaction"])
def test_a_signature_under_another_tag_is_nothing(tag: str) -> None:
    message = tagged(tag, GENESIS_HASH, RAW[:-SIGNATURE_TAIL_BYTES])
    with pytest.raises(InvalidSignature):
        verify_transaction(RAW[:-64] + key("a").sign(message), GENESIS_HASH)


def test_somebody_elses_signature_is_refused() -> None:
    forged = sign_transaction(transaction(), key("b"), GENESIS_HASH)
    with pytest.raises(InvalidSignature):
        verify_transaction(codec.encode(forged), GENESIS_HASH)


def test_an_unsigned_one_is_refused() -> None:
    assert transaction().signature == NO_SIGNATURE
    with pytest.raises(InvalidSignature):
        verify_transaction(codec.encode(transaction()), GENESIS_HASH)


def test_signing_again_ignores_the_signature_that_is_there() -> None:
    again = sign_transaction(signed(), key("a"), GENESIS_HASH)
    assert again == signed()


def fields() -> list[Any]:
    plain = msgspec.msgpack.decode(RAW)
    assert isinstance(plain, list)
    return plain


REFUSED: dict[str, tuple[int, Any]] = {
    "version 0": (0, 0),
    "version 2": (0, 2),
    "version true": (0, True),
    "a short sender": (1, bytes(31)),
    "a long sender": (1, bytes(33)),
    "a sender as text": (1, "a" * 32),
    "a negative nonce": (2, -1),
    "a nonce of 2^53": (2, 2**53),
    "a nonce of 1.0": (2, 1.0),
    "a nonce that is true": (2, True),
    "no nonce": (2, None),
    "a negative fee": (3, -1),
    "a fee of 2^53": (3, 2**53),
    "a fee of 0.5": (3, 0.5),
    "a negative expiry": (4, -1),
    "an expiry of 2^53": (4, 2**53),
    "an expiry that is false": (4, False),
    "no payload": (5, None),
    "an unknown kind": (5, ["WITHDRAW", 7]),
    "a key without its proof": (5, ["STAKE", 7, VOTES, None]),
    "a proof without its key": (5, ["STAKE", 7, None, PROOF]),
    "a short proof": (5, ["STAKE", 7, VOTES, PROOF[:-1]]),
    "unstaking nothing": (5, ["UNSTAKE", 0]),
    "a rotation without a proof": (5, ["ROTATE", VOTES]),
    "a rotation to nothing": (5, ["ROTATE", None, PROOF]),
    "a pause of nothing": (5, ["PAUSE", 0]),
    "a return with a word": (5, ["RESUME", 1]),
    "a kind in small letters": (5, ["transfer", address("b"), 7]),
    "a kind as bytes": (5, [b"TRANSFER", address("b"), 7]),
    "a kind alone": (5, ["TRANSFER"]),
    "a payload of another kind": (5, ["STAKE", address("b"), 7]),
    "an amount of zero": (5, ["TRANSFER", address("b"), 0]),
    "a negative amount": (5, ["TRANSFER", address("b"), -7]),
    "an amount of 2^53": (5, ["TRANSFER", address("b"), 2**53]),
    "an amount of 7.0": (5, ["TRANSFER", address("b"), 7.0]),
    "an amount that is true": (5, ["TRANSFER", address("b"), True]),
    "a short recipient": (5, ["TRANSFER", bytes(20), 7]),
    "no recipient": (5, ["TRANSFER", None, 7]),
    "a word more": (5, ["TRANSFER", address("b"), 7, 0]),
    "stake of zero": (5, ["STAKE", 0, None, None]),
    "stake without the key's place": (5, ["STAKE", 7]),
    "stake with a short key": (5, ["STAKE", 7, bytes(31), PROOF]),
    "minting nothing": (5, ["EXCHANGE", address("b"), 0]),
    "a map as payload": (5, {"TRANSFER": 7}),
    "a short signature": (6, bytes(63)),
    "a long signature": (6, bytes(65)),
    "no signature": (6, None),
}


@pytest.mark.parametrize("at, value", REFUSED.values(), ids=REFUSED.keys())
def test_a_field_out_of_bounds_is_malformed(at: int, value: Any) -> None:
    plain = fields()
    plain[at] = value
    with pytest.raises(MalformedMessage):
        decode_transaction(msgspec.msgpack.encode(plain))


def test_the_fields_of_the_test_above_are_good_as_they_stand() -> None:
    assert decode_transaction(msgspec.msgpack.encode(fields())) == signed()


@pytest.mark.parametrize(
    "change", [lambda plain: plain[:-1], lambda plain: [*plain, 0], lambda plain: plain[::-1], dict]
)
def test_another_number_or_order_of_fields_is_malformed(change: Any) -> None:
    plain = fields()
    changed = {"version": 1} if change is dict else change(plain)
    with pytest.raises(MalformedMessage):
        decode_transaction(msgspec.msgpack.encode(changed))


def test_a_default_may_not_be_left_out() -> None:
    """Two encodings of one transaction would be two ids."""
    raw = codec.encode(signed(payload=Stake(7)))
    shorter = raw.replace(b"\x94\xa5STAKE\x07\xc0\xc0", b"\x93\xa5STAKE\x07\xc0")
    assert len(shorter) == len(raw) - 1
    with pytest.raises(MalformedMessage):
        decode_transaction(shorter)


def test_too_many_bytes_are_refused_before_decoding() -> None:
    with pytest.raises(MalformedMessage, match="more than the 1024 allowed"):
        decode_transaction(bytes(TRANSACTION_BYTES_MAX + 1))


def test_a_sender_that_is_no_point_signs_nothing() -> None:
    small = bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")
    forged = transaction(sender=small, signature=Signature(bytes(32) + bytes(32)))
    with pytest.raises(InvalidSignature):
        verify_transaction(codec.encode(forged), GENESIS_HASH)


def test_values_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        signed().nonce = 4  # type: ignore[misc]
    assert isinstance(key("a"), SigningKey)


def test_the_parties_are_sender_and_recipient_each_once() -> None:
    a, b = address("a"), address("b")

    def parties(payload: Payload) -> tuple[Address, ...]:
        return parties_of(Transaction(1, a, 0, 0, None, payload))

    assert parties(Transfer(b, 1)) == parties(Exchange(b, 1)) == (a, b)
    assert parties(Transfer(a, 1)) == (a,)
    assert all(parties(payload) == (a,) for payload in PAYLOADS[2:])
