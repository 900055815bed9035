"""Any frame of the wire, as far as the decoder: what decodes encodes to the same bytes, and is the same twice."""

from __future__ import annotations

from blockchain.errors import MalformedMessage
from blockchain.node.messages import cost_of, decode_frame, encode_frame, kind_of
from blockchain.primitives.crypto import Hash32
from tests.fuzz.chain import FRAMES
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation


def samples() -> list[bytes]:
    return list(FRAMES)


def run(raw: bytes) -> bool:
    try:
        envelope = decode_frame(raw)
    except MalformedMessage as error:
        assert 0 < len(error.why) < 300, "it goes into a log"
        return False
    assert encode_frame(Hash32(envelope.genesis_hash), envelope.message) == raw
    assert decode_frame(raw) == envelope
    assert kind_of(envelope.message) is type(envelope.message) and cost_of(envelope.message) >= 0
    return True


TARGET = Target(samples, run, codec_mutation(samples))
