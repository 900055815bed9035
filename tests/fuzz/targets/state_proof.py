"""Proofs of accounts, in JSON of a server that may say anything, and the bare proofs: nothing false is ever proven."""

from __future__ import annotations

import msgspec

from blockchain.client.answers import AccountProof
from blockchain.client.proofs import verify_account
from blockchain.errors import InvalidProof, MalformedMessage
from blockchain.primitives.address import format_address
from tests.client.test_proofs import Story
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import json_mutation
from tests.samples import address

_STORY = Story()
_NAMES = ("a", "b", "v", "nobody 1")
_HEAD = _STORY.block_id(2)
_TEXTS = tuple(format_address(address(name)) for name in _NAMES)


def _proven(proof: AccountProof, text: str) -> object:
    return verify_account(proof, text, _HEAD, _STORY.genesis)


_TRUE = {text: _proven(_STORY.account(name), text) for name, text in zip(_NAMES, _TEXTS, strict=True)}


def samples() -> list[bytes]:
    return [msgspec.json.encode(_STORY.account(name)) for name in _NAMES]


def run(raw: bytes) -> bool:
    try:
        proof = msgspec.json.decode(raw, type=AccountProof)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    for text in _TEXTS:
        try:
            proven = _proven(proof, text)
        except (InvalidProof, MalformedMessage):
            continue
        assert proven == _TRUE[text], "an account that is not so"
    return True


TARGET = Target(samples, run, json_mutation(samples), bytes_max=16_384)
