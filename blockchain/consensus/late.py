"""Votes that come when their height is decided: they change nothing there, but may contradict what is known (§5.8)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from blockchain.consensus.accountability import contradiction, precommits_in
from blockchain.consensus.signing import unsigned
from blockchain.consensus.votes import VoteBook
from blockchain.primitives.crypto import Address
from blockchain.primitives.validators import ValidatorSet
from blockchain.primitives.vote import Certificate, Evidence, Proposal, Vote
from blockchain.seams import Application

KEPT_PREVOTES_MAX: Final = 25_000  # of one height, some 4 MB: those of the newest rounds; the largest set has 10,000


class LateVotes:
    """The votes of the height before the one in progress, which late ones are held against.

    `asked`: what this node asked its signer for in that height; an answer may come after the decision.
    """

    def __init__(self, book: VoteBook, round: int, asked: Collection[Proposal | Vote] = ()) -> None:
        self._book = book
        self._round = round
        self._asked = asked

    @classmethod
    def of_head(cls, app: Application) -> LateVotes:
        """What is known of a height that this node did not live through, or not since it was started."""
        certificate, validators = app.parent_certificate, app.parent_validators
        book = VoteBook(validators)
        votes = [*app.kept_prevotes(certificate.height), *precommits_in(certificate, validators)]
        round = max((vote.round for vote in votes), default=0)
        for vote in votes:
            book.add(vote, round)
        return cls(book, round)

    def add(self, vote: Vote) -> list[Evidence]:
        """The evidence that a vote of that height makes, by a member of its set and signed."""
        return self._book.add(vote, self._round)[1]

    def contradicted_by(self, certificate: Certificate) -> list[Evidence]:
        """The evidence that the precommits of a good certificate of that height make with those that came here."""
        first = self._book.of(certificate.round).precommits.firsts
        if all(vote.block_id == certificate.block_id for vote in first.values()):  # as mostly
            return []
        precommits = precommits_in(certificate, self._book.validators)
        return [evidence for precommit in precommits for evidence in self.add(precommit)]

    def holds(self, vote: Vote) -> bool:
        """Whether the very vote is known."""
        return self._book.holds(vote)

    def was_asked_for(self, vote: Vote) -> bool:
        """Whether it is an answer of this node's own signer: it was written down before it was asked for."""
        return unsigned(vote) in self._asked

    def prevotes(self) -> tuple[Vote, ...]:
        """All that are known, in whichever round: what a fork at that height is judged by."""
        return _newest_prevotes(self._book)


def kept_prevotes(book: VoteBook, round: int) -> tuple[Vote, ...]:
    """What a node keeps of a height that took more than one round here; `round`: the one that this node is in.

    All that it counted: a later precommit or certificate may contradict one, and a fork is judged by them.
    """
    if max(book.rounds, default=0) == 0 and round == 0:
        return ()
    return _newest_prevotes(book)


def _newest_prevotes(book: VoteBook) -> tuple[Vote, ...]:
    newest = sorted(book.rounds, reverse=True)
    votes = [vote for number in newest for vote in book.rounds[number].prevotes.votes.values()]
    return tuple(votes[:KEPT_PREVOTES_MAX])


def contradicted(certificate: Certificate, prevotes: Iterable[Vote], validators: ValidatorSet) -> Iterator[Evidence]:
    """The evidence that the precommits of a good certificate make with prevotes kept of its height."""
    cast: dict[Address, list[Vote]] = {}
    for prevote in prevotes:
        cast.setdefault(prevote.validator, []).append(prevote)
    for precommit in precommits_in(certificate, validators):
        found = (contradiction(precommit, prevote) for prevote in cast.get(precommit.validator, ()))
        yield from (evidence for evidence in found if evidence is not None)
