"""What a node asks of whoever holds one of its validator keys: the signer of this process, or one that is elsewhere."""

from __future__ import annotations

from typing import Protocol

from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.vote import Signable
from blockchain.seams import SigningRecord


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
        """The VRF proof for a height and its seed, 80 bytes. Raises SigningRefused."""
