"""What a remote signer answers its node: nothing but a good signature of its key is ever taken."""

from __future__ import annotations

from random import Random

from blockchain.consensus.lottery import vrf_alpha
from blockchain.primitives import codec, vrf
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import sign_message, verify_message
from blockchain.runtime.remote_signer import RemoteSigner, SignerAnswer, SignerPlace, _Waiting
from blockchain.runtime.signer_messages import (
    Answered,
    ProofGiven,
    Refused,
    SignatureGiven,
    description_of,
)
from blockchain.seams import ProveVrf, Sign, Signed, SignerRegained, VrfProved
from tests.fuzz.loops import a_loop
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation
from tests.runtime.test_history import LOCKED, record_of
from tests.runtime.test_signer import CHAIN, KEY, A, prevote, proposal
from tests.samples import key

_SEED = Hash32(b"\x05" * 32)
_SIGN = Sign(prevote(4, 3, A), KEY.public_key)
_PROVE = ProveVrf(7, 0, _SEED, KEY.public_key)
_ALPHA = vrf_alpha(CHAIN, _SEED, 7)
_LOOP = a_loop()
_HANDLE = _LOOP.call_later(0, int)
_HANDLE.cancel()
_HELD = LOCKED


def samples() -> list[bytes]:
    signature = sign_message(_SIGN.message, KEY, CHAIN).signature
    answers = (
        description_of(LOCKED),
        description_of(record_of(proposal(9, 0))),
        description_of(record_of()),
        SignatureGiven(signature),
        ProofGiven(vrf.prove(KEY.seed, _ALPHA)),
        Refused("it is away"),
    )
    return [codec.encode(Answered(number, answer)) for answer in answers for number in (1, 2, 3)]


_CHANGE = codec_mutation(samples)


def mutate(raw: bytes, rng: Random) -> bytes:
    return _CHANGE(raw, rng)


def run(raw: bytes) -> bool:
    return _LOOP.run_until_complete(_run(raw))


async def _run(raw: bytes) -> bool:
    """Three requests wait: a description as 1, a signature as 2, a proof as 3."""
    given: list[SignerAnswer] = []
    place = SignerPlace("signer.example:1", bytes(key("signer").public_key))
    remote = RemoteSigner(place, key("node"), CHAIN)
    remote._record, remote._is_up, remote._give = _HELD, True, given.append
    remote._waiting = {1: _Waiting(None, _HANDLE), 2: _Waiting(_SIGN, _HANDLE), 3: _Waiting(_PROVE, _HANDLE)}
    remote._on_frame(raw)
    for answer in given:
        match answer:
            case Signed(message=message):
                assert verify_message(message, KEY.public_key, CHAIN), "a signature that is not the key's"
                assert message.signature and _SIGN.message == type(_SIGN.message)(
                    *(getattr(message, name) for name in message.__struct_fields__[:-1])
                )
            case VrfProved(proof=proof):
                assert vrf.verify(KEY.public_key, _ALPHA, proof)
            case SignerRegained(record=record):
                assert record.key == KEY.public_key
    assert remote._is_ending == (not remote._waiting) or len(remote._waiting) == 2, "either dropped, or one answered"
    return any(isinstance(one, Signed | VrfProved | SignerRegained) for one in given)


TARGET = Target(samples, run, mutate, bytes_max=1_100)
