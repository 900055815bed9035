"""The wallet: what it signs verifies, and values that mean nothing are refused before anything is signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from blockchain.errors import InvalidTransaction
from blockchain.primitives.address import format_address
from blockchain.primitives.crypto import Address, Hash32, PublicKey, Signature, SigningKey
from blockchain.primitives.transaction import (
    Exchange,
    Pause,
    Resume,
    Rotate,
    Stake,
    Transfer,
    Unstake,
    VerifiedTransaction,
    prove_possession,
    verify_transaction,
)
from blockchain.wallet import Wallet

GENESIS = Hash32(b"\x11" * 32)
WALLET = Wallet(SigningKey(b"\x01" * 32), GENESIS)
OTHER = Wallet(SigningKey(b"\x02" * 32), GENESIS)

VOTES = OTHER.key.public_key


def proof(nonce: int) -> Signature:
    return prove_possession(OTHER.key, WALLET.address, nonce, GENESIS)


MAKERS: list[Callable[..., VerifiedTransaction]] = [
    lambda amount=1, nonce=0, **more: WALLET.transfer(OTHER.address, amount, nonce, **more),
    lambda amount=1, nonce=0, **more: WALLET.exchange(OTHER.address, amount, nonce, **more),
    lambda amount=1, nonce=0, **more: WALLET.stake(amount, nonce, **more),
    lambda amount=1, nonce=0, **more: WALLET.stake(amount, nonce, validator_key=VOTES, proof=proof(nonce), **more),
    lambda amount=1, nonce=0, **more: WALLET.unstake(amount, nonce, **more),
]
OTHER_MAKERS: list[Callable[..., VerifiedTransaction]] = [
    lambda nonce=0, **more: WALLET.rotate(VOTES, proof(nonce), nonce, **more),
    lambda nonce=0, **more: WALLET.pause(7, nonce, **more),
    lambda nonce=0, **more: WALLET.resume(nonce, **more),
]


@pytest.mark.parametrize("make", MAKERS)
def test_what_it_signs_is_what_a_node_verifies(make: Callable[..., VerifiedTransaction]) -> None:
    signed = make(5, 3, fee=2, expiry=9)
    assert verify_transaction(signed.raw, GENESIS) == signed
    assert signed.transaction.sender == WALLET.address
    assert (signed.transaction.nonce, signed.transaction.fee, signed.transaction.expiry) == (3, 2, 9)


@pytest.mark.parametrize("make", OTHER_MAKERS)
def test_kinds_without_an_amount_verify_too(make: Callable[..., VerifiedTransaction]) -> None:
    signed = make(3, fee=2, expiry=9)
    assert verify_transaction(signed.raw, GENESIS) == signed
    assert (signed.transaction.nonce, signed.transaction.fee, signed.transaction.expiry) == (3, 2, 9)


def test_the_payloads() -> None:
    assert WALLET.transfer(OTHER.address, 7, 0).transaction.payload == Transfer(OTHER.address, 7)
    assert WALLET.exchange(OTHER.address, 7, 0).transaction.payload == Exchange(OTHER.address, 7)
    assert WALLET.stake(7, 0).transaction.payload == Stake(7)
    assert WALLET.stake(7, 0, 0, None, VOTES, proof(0)).transaction.payload == Stake(7, VOTES, proof(0))
    assert WALLET.unstake(7, 0).transaction.payload == Unstake(7)
    assert WALLET.rotate(VOTES, proof(0), 0).transaction.payload == Rotate(VOTES, proof(0))
    assert WALLET.pause(7, 0).transaction.payload == Pause(7)
    assert WALLET.resume(0).transaction.payload == Resume()


def test_fee_and_expiry_default_to_none() -> None:
    transaction = WALLET.transfer(OTHER.address, 1, 0).transaction
    assert (transaction.fee, transaction.expiry) == (0, None)


def test_a_recipient_may_be_text() -> None:
    by_bytes = WALLET.transfer(OTHER.address, 1, 0)
    assert WALLET.transfer(OTHER.address_text, 1, 0) == by_bytes
    assert WALLET.transfer(OTHER.address.hex(), 1, 0) == by_bytes
    assert OTHER.address_text == format_address(OTHER.address)


def test_a_transaction_for_one_chain_is_no_other_chains() -> None:
    elsewhere = Wallet(WALLET.key, Hash32(b"\x12" * 32))
    assert elsewhere.transfer(OTHER.address, 1, 0).id != WALLET.transfer(OTHER.address, 1, 0).id
    assert (
        elsewhere.transfer(OTHER.address, 1, 0).transaction.signature
        != WALLET.transfer(OTHER.address, 1, 0).transaction.signature
    )


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"amount": 0}, "amount_zero"),
        ({"amount": -1}, "amount_negative"),
        ({"amount": 1.0}, "amount_not_integer"),
        ({"amount": True}, "amount_not_integer"),
        ({"amount": 2**53}, "amount_too_large"),
        ({"nonce": -1}, "nonce_negative"),
        ({"nonce": None}, "nonce_not_integer"),
        ({"fee": -1}, "fee_negative"),
        ({"fee": 0.5}, "fee_not_integer"),
        ({"expiry": -1}, "expiry_negative"),
        ({"expiry": 2**53}, "expiry_too_large"),
    ],
)
def test_values_that_mean_nothing(make: Callable[..., VerifiedTransaction], values: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidTransaction) as caught:
        make(**values)
    assert caught.value.code == code


def test_a_recipient_or_a_key_of_another_length() -> None:
    with pytest.raises(InvalidTransaction) as caught:
        WALLET.transfer(Address(b"short"), 1, 0)
    assert caught.value.code == "recipient_invalid"
    with pytest.raises(InvalidTransaction) as caught:
        WALLET.stake(1, 0, validator_key=PublicKey(b"short"))
    assert caught.value.code == "validator_key_invalid"


def test_its_repr_keeps_the_seed() -> None:
    assert (b"\x01" * 32).hex() not in repr(WALLET)
    assert repr(b"\x01" * 32) not in repr(WALLET)
