"""A validator key of this process: what is asked of its holder, and how the holder's answer becomes an input."""

from __future__ import annotations

from typing import Protocol

from blockchain.errors import SigningRefused
from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.vote import Signable
from blockchain.seams import ProveVrf, Sign, Signed, SigningRecord, SignRefused, VrfProved


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


def answer_of(signer: Signing, asked: Sign | ProveVrf) -> Signed | SignRefused | VrfProved:
    """In a thread: a signature is on the disk's record before it is given."""
    if isinstance(asked, ProveVrf):
        return VrfProved(asked.height, asked.round, signer.prove(asked.seed, asked.height))
    try:
        return Signed(signer.sign(asked.message))
    except SigningRefused as error:
        return SignRefused(asked.message, error.why)
