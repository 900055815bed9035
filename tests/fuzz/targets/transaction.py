"""A transaction in canonical bytes: decoded, verified, and through its JSON form back to the same bytes."""

from __future__ import annotations

from random import Random

from blockchain.errors import InvalidSignature, MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.jsonform import transaction_from_json, transaction_to_json
from blockchain.primitives.transaction import decode_transaction, parties_of, verify_transaction
from tests.fuzz.chain import TRANSACTIONS, resigned_transaction
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation
from tests.samples import GENESIS_HASH


def samples() -> list[bytes]:
    return [one.raw for one in TRANSACTIONS]


_CHANGE = codec_mutation(samples)


def mutate(raw: bytes, rng: Random) -> bytes:
    changed = _CHANGE(raw, rng)
    return resigned_transaction(changed) if rng.random() < 0.5 else changed


def run(raw: bytes) -> bool:
    try:
        transaction = decode_transaction(raw)
    except MalformedMessage:
        return False
    assert codec.encode(transaction) == raw
    assert transaction_from_json(transaction_to_json(transaction)) == transaction
    assert 1 <= len(parties_of(transaction)) <= 2
    try:
        verified = verify_transaction(raw, GENESIS_HASH)
    except InvalidSignature:
        return True
    assert verified == verify_transaction(raw, GENESIS_HASH) and verified.raw == raw
    return True


TARGET = Target(samples, run, mutate, bytes_max=1_100)
