"""A block: decoded, its body held to its header, its transactions verified; and as JSON."""

from __future__ import annotations

from random import Random

from blockchain.errors import MalformedMessage, PeerFault
from blockchain.node.verify import verify_block
from blockchain.primitives import codec
from blockchain.primitives.block import check_body, decode_block, header_of
from blockchain.primitives.jsonform import block_to_json
from tests.fuzz.chain import BLOCKS, with_roots
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation
from tests.node.test_verify import context
from tests.samples import GENESIS_HASH

_CONTEXT = context()


def samples() -> list[bytes]:
    return [block.raw for block in BLOCKS]


_CHANGE = codec_mutation(samples)


def mutate(raw: bytes, rng: Random) -> bytes:
    changed = _CHANGE(raw, rng)
    return with_roots(changed) if rng.random() < 0.7 else changed


def run(raw: bytes) -> bool:
    try:
        block = decode_block(raw)
    except MalformedMessage:
        return False
    assert codec.encode(block) == raw and header_of(raw) == block.header
    try:
        check_body(block, GENESIS_HASH)
        verified = verify_block(raw, _CONTEXT)
    except (MalformedMessage, PeerFault):
        return True
    assert verified.raw == raw and verified == verify_block(raw, _CONTEXT)
    block_to_json(verified.id, block, [one.id for one in verified.transactions])
    return True


TARGET = Target(samples, run, mutate)
