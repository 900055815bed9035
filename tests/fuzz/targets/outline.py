"""An outline: decoded, held to its header, and the block that it makes with the transactions that its ids stand for."""

from __future__ import annotations

from random import Random
from typing import Final

from blockchain.errors import MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.block import check_body
from blockchain.primitives.outline import check_outline, decode_outline, filled, is_id
from tests.fuzz.chain import OUTLINES, TRANSACTIONS, with_roots
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation
from tests.samples import GENESIS_HASH

_HELD: Final[dict[bytes, bytes]] = {one.id: one.raw for one in TRANSACTIONS}


def samples() -> list[bytes]:
    return list(OUTLINES)


_CHANGE = codec_mutation(samples)


def mutate(raw: bytes, rng: Random) -> bytes:
    changed = _CHANGE(raw, rng)
    return with_roots(changed) if rng.random() < 0.7 else changed


def run(raw: bytes) -> bool:
    try:
        outline = decode_outline(raw)
    except MalformedMessage:
        return False
    assert codec.encode(outline) == raw
    try:
        ids = check_outline(outline, GENESIS_HASH)
    except MalformedMessage:
        return True
    bodies = [_HELD.get(entry) if is_id(entry) else entry for entry in outline.entries]
    raws = [body for body in bodies if body is not None]
    if len(raws) == len(bodies):
        assert check_body(filled(outline, raws), GENESIS_HASH) == ids, "the block that its header names, and no other"
    return True


TARGET = Target(samples, run, mutate)
