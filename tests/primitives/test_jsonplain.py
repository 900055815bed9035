"""Plain payments read in one go: the same bytes as field by field, and nothing that field by field refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockchain.primitives import codec
from blockchain.primitives.jsonform import transaction_from_json, transaction_to_json
from blockchain.primitives.jsonplain import payments_from_json
from blockchain.primitives.transaction import Exchange, Stake, Transaction, Transfer
from tests.primitives.test_jsonform import SIGNATURE, A, B, transactions

PAID = Transaction(1, A, 7, 2, 9, Transfer(B, 5), SIGNATURE)
PLAIN = json.dumps([transaction_to_json(PAID)])


@given(st.lists(transactions.filter(lambda one: isinstance(one.payload, Transfer | Exchange)), max_size=4))
def test_payments_read_as_field_by_field(made: list[Transaction]) -> None:
    raw = json.dumps([transaction_to_json(one) for one in made]).encode()
    assert payments_from_json(raw) == [codec.encode(one) for one in made]


def test_spelling_that_both_ways_read_is_read_the_same() -> None:
    value = transaction_to_json(PAID)
    value["signature"] = str(value["signature"]).upper()
    value["sender"] = A.hex()
    backwards = dict(reversed(value.items()))
    assert payments_from_json(json.dumps([backwards], indent=3).encode()) == [
        codec.encode(transaction_from_json(backwards))
    ]


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "[",
        PLAIN[1:-1],
        PLAIN + "1",
        PLAIN.replace('"nonce": 7', '"nonce": 7, "nonce": 7'),
        PLAIN.replace('"amount": 5', '"amount": 4, "amount": 5'),
        PLAIN.replace("nonce", "n\\u006fnce"),
        PLAIN.replace('"nonce": 7', '"nonce": 7, "more": 1'),
        PLAIN.replace('"fee": 2, ', ""),  # may be left out: read field by field
        PLAIN.replace('"expiry": 9, ', ""),
        PLAIN.replace("TRANSFER", "TRANSFEr"),
        PLAIN.replace("TRANSFER", "UNSTAKE"),
        PLAIN.replace('"version": 1', '"version": 1.0'),
        PLAIN.replace('"nonce": 7', '"nonce": 7.0'),
        PLAIN.replace('"nonce": 7', '"nonce": -7'),
        PLAIN.replace('"nonce": 7', '"nonce": true'),
        PLAIN.replace('"nonce": 7', f'"nonce": {2**53}'),
        PLAIN.replace('"amount": 5', '"amount": 0'),
        PLAIN.replace("pos1", "pos2"),
        PLAIN.replace("5a" * 64, "5a" * 63),
        PLAIN.replace("5a" * 64, "5a" * 63 + "5g"),
        PLAIN.replace("5a" * 64, "5a" * 63 + "  "),
        PLAIN.replace("5a" * 64, "\u212a" * 128),
    ],
)
def test_the_rest_is_left_to_who_can_say_what_is_wrong(raw: str) -> None:
    assert payments_from_json(raw.encode()) is None


def test_one_among_them_that_is_no_payment_leaves_all_to_others() -> None:
    made: list[Any] = [
        transaction_to_json(PAID),
        transaction_to_json(Transaction(1, A, 8, 0, None, Stake(1), SIGNATURE)),
    ]
    assert payments_from_json(json.dumps(made).encode()) is None
