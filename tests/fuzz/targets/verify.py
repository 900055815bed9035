"""Every kind of message from frame to verified form, signed again after a change where its author's key is ours.

A change alone would nearly always end at the signature, and nothing behind it would be tried.
"""

from __future__ import annotations

from random import Random

from blockchain.errors import PeerFault
from blockchain.node.messages import Blocks, Nothing, Verified, cost_of, kind_of
from blockchain.node.verify import verify_frame
from tests.fuzz.chain import FRAMES, resigned
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation
from tests.node.test_verify import HEIGHT, context

_CONTEXTS = (context(awaited=HEIGHT), context(awaited=HEIGHT, left=lambda _: 0, owed=lambda _: 1))


def samples() -> list[bytes]:
    return list(FRAMES)


_CHANGE = codec_mutation(samples)


def mutate(raw: bytes, rng: Random) -> bytes:
    changed = _CHANGE(raw, rng)
    return resigned(changed) if rng.random() < 0.7 else changed


def run(raw: bytes) -> bool:
    results = [_verified(raw, index) for index in (0, 1, 0)]
    assert results[0] == results[2], "verification is deterministic"
    return not isinstance(results[0], str | Nothing)


def _verified(raw: bytes, index: int) -> Verified | str:
    try:
        verified = verify_frame(raw, _CONTEXTS[index])
    except PeerFault as error:
        assert error.reason and 0 < len(error.why) < 300, "it goes into a log"
        return str(error)
    assert kind_of(verified) and (cost_of(verified) >= 1 or kind_of(verified) is Blocks)
    return verified


TARGET = Target(samples, run, mutate)
