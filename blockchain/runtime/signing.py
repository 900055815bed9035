"""A validator key of this process: what is asked of its holder, and how the holder's answer becomes an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from msgspec import Struct

from blockchain.errors import SigningRefused
from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.vote import Signable
from blockchain.seams import (
    Batch,
    Effect,
    ProveVrf,
    Sign,
    Signed,
    SigningRecord,
    SignRefused,
    VrfProved,
    Write,
)

Answer: TypeAlias = Signed | SignRefused | VrfProved


class Signing(Protocol):
    """One validator key on one chain, with its record (docs/protocol.md §5.6)."""

    @property
    def public_key(self) -> PublicKey: ...

    def check(self) -> None:
        """Refuse a record that could not be used, and change nothing. Raises SigningRefused."""

    def load(self) -> SigningRecord:
        """What the key has signed last. Raises SigningRefused."""

    def sign(self, message: Signable) -> Signable:
        """The same message with the key's signature, on record before it is given. Raises SigningRefused."""

    def prove(self, seed: Hash32, height: int) -> bytes:
        """The VRF proof for a height and its seed, 80 bytes."""


class SignedWrite(Struct, frozen=True):
    """A round record, and the signature that is asked for when it is on the disk (protocol §5.6 rule 1)."""

    batch: Batch
    asked: Sign
    signer: Signing

    def perform(self, write: Callable[[Batch], None]) -> Answer:
        """In the thread of the keys: as two effects they take two turns of threads, and two of the event loop."""
        write(self.batch)
        return answer_of(self.signer, self.asked)


def joined(effects: list[Effect], signers: Mapping[PublicKey, Signing]) -> list[Effect | SignedWrite]:
    """The same effects; the write of a round record and the signature right behind it, by one of these, are one."""
    joined_up: list[Effect | SignedWrite] = []
    for effect in effects:
        before = joined_up[-1] if joined_up else None
        if isinstance(effect, Sign) and isinstance(before, Write) and before.batch.round_record is not None:
            signer = signers.get(effect.key)
            if signer is not None:
                joined_up[-1] = SignedWrite(before.batch, effect, signer)
                continue
        joined_up.append(effect)
    return joined_up


def answer_of(signer: Signing, asked: Sign | ProveVrf) -> Answer:
    """In a thread: a signature is on the disk's record before it is given."""
    if isinstance(asked, ProveVrf):
        return VrfProved(asked.height, asked.round, signer.prove(asked.seed, asked.height))
    try:
        return Signed(signer.sign(asked.message))
    except SigningRefused as error:
        return SignRefused(asked.message, error.why)
