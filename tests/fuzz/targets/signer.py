"""What a remote signer is sent: always an answer, a signature never for two messages of one place, the chain's only."""

from __future__ import annotations

from msgspec.structs import replace

from blockchain.consensus.lottery import vrf_alpha
from blockchain.consensus.signing import after_signing, check_request
from blockchain.errors import MalformedMessage
from blockchain.primitives import codec, vrf
from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.vote import Announcement, Signable, sign_message, verify_message
from blockchain.runtime.signer_messages import (
    MESSAGE_BYTES_MAX,
    Answered,
    Asked,
    Describe,
    ProofGiven,
    ProveHeight,
    Refused,
    SignatureGiven,
    SignMessage,
)
from blockchain.runtime.signer_service import answer_to
from blockchain.seams import SigningRecord
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import codec_mutation
from tests.runtime.test_signer import CHAIN, KEY, announcement, precommit, prevote, proposal


class InMemory:
    """The rules of a signer without its file. It begins anew for each input."""

    def __init__(self) -> None:
        self.record = SigningRecord(KEY.public_key)

    @property
    def public_key(self) -> PublicKey:
        return KEY.public_key

    def check(self) -> None:
        """There is no file."""

    def load(self) -> SigningRecord:
        return self.record

    def sign(self, message: Signable) -> Signable:
        if isinstance(message, Announcement):
            return sign_message(message, KEY, CHAIN)
        again = check_request(self.record, message)
        if again is not None:
            return again
        done = sign_message(message, KEY, CHAIN)
        assert not isinstance(done, Announcement)
        self.record = after_signing(self.record, done)
        return done

    def prove(self, seed: Hash32, height: int) -> bytes:
        return vrf.prove(KEY.seed, vrf_alpha(CHAIN, seed, height))


def samples() -> list[bytes]:
    requests: tuple[Describe | SignMessage | ProveHeight, ...] = (
        Describe(),
        ProveHeight(Hash32(b"\x05" * 32), 7),
        *(SignMessage(one) for one in (proposal(4, 0), prevote(4, 0), precommit(4, 1), announcement(5))),
    )
    return [codec.encode(Asked(number, request)) for number, request in enumerate(requests)]


def run(raw: bytes) -> bool:
    signer = InMemory()
    answered = answer_to(raw, signer)
    assert codec.decode(codec.encode(answered), Answered, bytes_max=MESSAGE_BYTES_MAX) == answered, "a node takes it"
    try:
        asked = codec.decode(raw, Asked, bytes_max=MESSAGE_BYTES_MAX)
    except MalformedMessage:
        assert answered.id == 0 and isinstance(answered.answer, Refused)
        return False
    assert answered.id == asked.id and codec.encode(asked) == raw
    match asked.request, answered.answer:
        case SignMessage(message=message), SignatureGiven(signature=signature):
            assert verify_message(replace(message, signature=signature), KEY.public_key, CHAIN)
            assert answer_to(raw, signer) == answered, "asked again, it is the same"
        case ProveHeight(seed=seed, height=height), ProofGiven(proof=proof):
            assert vrf.verify(KEY.public_key, vrf_alpha(CHAIN, Hash32(seed), height), proof)
        case _:
            assert not isinstance(answered.answer, SignatureGiven | ProofGiven)
    return not isinstance(answered.answer, Refused)


TARGET = Target(samples, run, codec_mutation(samples), bytes_max=1_100)
