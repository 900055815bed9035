"""The bodies that the API takes, as JSON and as MessagePack: a refusal with its code, or transactions in canonical
bytes."""

from __future__ import annotations

import json
from random import Random

from blockchain.api import body
from blockchain.errors import InvalidTransaction, MalformedMessage, Refusal
from blockchain.primitives import codec
from blockchain.primitives.jsonform import transaction_from_json, transaction_to_json
from blockchain.primitives.transaction import decode_transaction
from tests.fuzz.chain import TRANSACTIONS
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation, json_mutation


def _json_samples() -> list[bytes]:
    forms = [transaction_to_json(one.transaction) for one in TRANSACTIONS]
    return [json.dumps(one).encode() for one in (*forms, forms, {"transaction": forms[0]})]


def _packed_samples() -> list[bytes]:
    return [codec.encode([one.raw for one in TRANSACTIONS]), TRANSACTIONS[0].raw]


def samples() -> list[bytes]:
    return _json_samples() + _packed_samples()


_OF_JSON, _OF_PACKED = json_mutation(_json_samples), codec_mutation(_packed_samples)


def mutate(raw: bytes, rng: Random) -> bytes:
    return (_OF_JSON if raw[:1] in b"{[ " else _OF_PACKED)(raw, rng)


def run(raw: bytes) -> bool:
    return _is_submission(raw, is_json=True) | _is_submission(raw, is_json=False) | _is_draft(raw)


def _is_submission(raw: bytes, *, is_json: bool) -> bool:
    try:
        submission = body._from_json(raw) if is_json else body._from_msgpack(raw)
    except (Refusal, InvalidTransaction) as error:
        assert error.code
        return False
    for item in submission.items:
        if isinstance(item, InvalidTransaction):
            assert item.code
        elif is_json:
            _check_canonical(item)
    return is_json


def _is_draft(raw: bytes) -> bool:
    try:
        _check_canonical(body._draft_from_json(raw))
    except (Refusal, InvalidTransaction) as error:
        assert error.code
        return False
    return True


def _check_canonical(raw: bytes) -> None:
    """What JSON said is what the bytes say, where the bytes are those of a transaction at all."""
    try:
        transaction = decode_transaction(raw)
    except MalformedMessage as error:
        raise AssertionError(f"JSON made a transaction that is none: {error.why}") from None
    assert transaction_from_json(transaction_to_json(transaction)) == transaction


TARGET = Target(samples, run, mutate, bytes_max=8_192)
