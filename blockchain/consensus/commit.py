"""The certificate of the head, as this node holds it: it grows while late precommits come (protocol §4.4)."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from blockchain.consensus.votes import StepVotes, VoteBook
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, CommitSignature, Vote, VoteStep


class Commit:
    """A certificate and the set of its height."""

    def __init__(self, certificate: Certificate, validators: ValidatorSet) -> None:
        self._certificate = certificate
        self._late: list[CommitSignature] = []  # not in it yet: put in one by one they would copy it as often
        held = {entry.index for entry in certificate.precommits}
        members = validators.validators if certificate.height > 0 else ()  # genesis has no precommits
        self._missing = {one.address: index for index, one in enumerate(members) if index not in held}

    @property
    def certificate(self) -> Certificate:
        """With every precommit that has come so far."""
        if self._late:
            entries = _in_order((*self._certificate.precommits, *self._late))
            self._certificate, self._late = replace(self._certificate, precommits=entries), []
        return self._certificate

    @property
    def missing(self) -> Iterable[Address]:
        """Whose precommit is missing, in the order of the set."""
        return self._missing.keys()

    def add(self, vote: Vote) -> bool:
        """Add a late precommit; False when it is not one of this certificate, or is there already.

        Genesis takes none: a validator could sign one for it, and with that block 1 would carry the wrong certificate.
        """
        held = self._certificate
        fits = (vote.round, vote.step, vote.block_id) == (held.round, VoteStep.PRECOMMIT, held.block_id)
        if not fits or vote.validator not in self._missing:
            return False
        self._late.append(CommitSignature(self._missing.pop(vote.validator), vote.signature))
        return True

    def add_known(self, book: VoteBook) -> None:
        """Add what was counted before the certificate came: one that came by sync is a peer's, and may lack it."""
        precommits = book.of(self._certificate.round).precommits.votes
        known = (precommits.get((address, self._certificate.block_id)) for address in tuple(self._missing))
        for vote in known:
            if vote is not None:
                self.add(vote)


def certificate_of(
    height: int, round: int, block_id: Hash32, precommits: StepVotes, validators: ValidatorSet
) -> Certificate:
    """The certificate that these precommits make for a value that they decided."""
    entries = tuple(
        CommitSignature(validators.index[vote.validator], vote.signature)
        for vote in precommits.votes.values()
        if vote.block_id == block_id
    )
    return Certificate(height, round, block_id, _in_order(entries))


def _in_order(entries: tuple[CommitSignature, ...]) -> tuple[CommitSignature, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.index))
