"""Evidence, and the votes and proposals in it: what accuses is signed by one author, and contradicts itself."""

from __future__ import annotations

from typing import Any, cast

from blockchain.consensus.evidence import accused, author_of, contradicts, is_well_formed, messages_of
from blockchain.errors import MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.jsonform import evidence_to_json
from blockchain.primitives.vote import Evidence, Vote, signed_bytes
from tests.fuzz.chain import EVIDENCE
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation
from tests.samples import GENESIS_HASH

_BYTES_MAX = 4_096


def samples() -> list[bytes]:
    return [codec.encode(one) for one in EVIDENCE]


def run(raw: bytes) -> bool:
    try:
        evidence = cast("Evidence", codec.decode(raw, cast("Any", Evidence), bytes_max=_BYTES_MAX))
    except MalformedMessage:
        return False
    assert codec.encode(evidence) == raw
    evidence_to_json(evidence)
    first, second = messages_of(evidence)
    for message in (first, second):
        if isinstance(message, Vote) and is_well_formed(message):
            assert -1 <= message.polka_round < max(message.round, 1)
    assert accused(evidence) == (first.height, author_of(first))
    if (first.height, author_of(first)) == (second.height, author_of(second)) and contradicts(evidence):
        parts = (signed_bytes(first, GENESIS_HASH), signed_bytes(second, GENESIS_HASH))
        assert parts[0] != parts[1], "nobody contradicts himself with one message"
    return True


TARGET = Target(samples, run, codec_mutation(samples))
