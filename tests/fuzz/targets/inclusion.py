"""Proofs of payments as a client reads them: JSON of a server that may say anything. Nothing false is ever proven."""

from __future__ import annotations

import msgspec

from blockchain.client.answers import TransactionProof
from blockchain.client.proofs import verify_header, verify_payment
from blockchain.errors import InvalidCertificate, InvalidProof, InvalidSignature, MalformedMessage
from tests.client.test_proofs import Story
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import json_mutation

_STORY = Story()
_REFUSALS = (InvalidCertificate, InvalidProof, InvalidSignature, MalformedMessage)
_TRUE = {verified.raw for verified in (*_STORY.payments, _STORY.stake)}


def samples() -> list[bytes]:
    return [msgspec.json.encode(_STORY.payment(verified)) for verified in (*_STORY.payments, _STORY.stake)]


def run(raw: bytes) -> bool:
    try:
        proof = msgspec.json.decode(raw, type=TransactionProof)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    trusted = _STORY.block_id(1)
    try:
        header = verify_header(proof.header, proof.certificate, _STORY.validators, _STORY.genesis)
        trusted = header.id
        assert trusted in {_STORY.block_id(1), _STORY.block_id(2)}, "a header that nobody signed"
    except _REFUSALS:
        pass  # the proof itself is looked at all the same
    try:
        proven = verify_payment(proof, trusted, _STORY.genesis)
    except _REFUSALS:
        return True
    assert proven.verified.raw in _TRUE, "a payment that nobody made"
    return True


TARGET = Target(samples, run, json_mutation(samples), bytes_max=8_192)
