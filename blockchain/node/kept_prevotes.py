"""The prevotes of heights that took more than one round: kept for the evidence age, and held against what shows later.

A precommit that this node sees first in a certificate may contradict a prevote that it saw when the height was in
progress (docs/protocol.md §5.8), and who made a fork shows in the prevotes of the rounds between (§5.9).
"""

from __future__ import annotations

from blockchain.consensus.late import contradicted
from blockchain.errors import MalformedMessage, StoreError
from blockchain.node.evidence_age import EvidenceAge
from blockchain.primitives import codec
from blockchain.primitives.block import BLOCK_BYTES_MAX
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, Vote
from blockchain.seams import Batch, Effect, HeightVotes, OffenceSeen, Store, Write


class KeptPrevotes:
    """Those of the newest height are in memory too: what is written is read only after this input."""

    def __init__(self, store: Store, age: EvidenceAge) -> None:
        self._store = store
        self._age = age
        self._newest: tuple[int, tuple[Vote, ...]] = (0, ())

    def keep(self, height: int, prevotes: tuple[Vote, ...]) -> list[Effect]:
        """Write them down, and let go of those that can accuse nobody any more."""
        self._newest = height, prevotes
        kept = HeightVotes(height, codec.encode(prevotes))
        return [Write(Batch(prevotes=kept, prevotes_first=self._age.first))]

    def of(self, height: int) -> tuple[Vote, ...]:
        """() where nothing is kept. Raises StoreError."""
        if height == self._newest[0]:
            return self._newest[1]
        return read_prevotes(self._store, height)

    def accuse(self, certificate: Certificate, validators: ValidatorSet) -> list[Effect]:
        """What the precommits of a good certificate prove together with the prevotes of their height."""
        prevotes = self.of(certificate.height)
        return [OffenceSeen(evidence) for evidence in contradicted(certificate, prevotes, validators)]


def read_prevotes(store: Store, height: int) -> tuple[Vote, ...]:
    """Those that a store keeps of a height. Raises StoreError for what cannot be what a node wrote."""
    raw = store.prevotes(height)
    try:
        return () if raw is None else codec.decode(raw, tuple[Vote, ...], bytes_max=BLOCK_BYTES_MAX)
    except MalformedMessage as error:
        raise StoreError(f"the prevotes of height {height} are damaged: {error}") from None
