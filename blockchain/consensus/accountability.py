"""Who made a fork: two certificates for one height, and the prevotes of the rounds between (docs/protocol.md §5.9).

Theory of operation. Let the certificates be for v in round r and for w in round s, r ≤ s. Whoever signed both in one
round is caught by that. Else all of w's signers claim a polka for w in s; those of its prevotes that come from signers
of v show either a polka round below r, a forgotten lock, or claim an earlier polka for w in r or later, and so on down
to the earliest one. So more than a third of the stake has contradicted itself, or claims a polka. A polka that really
was stands in the prevotes that honest nodes keep (§5.8); who claims another one is named apart, as not proven.

Pure: signatures are verified, nothing is read from anywhere else.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from msgspec import Struct

from blockchain.consensus.evidence import contradicts, is_well_formed
from blockchain.errors import InvalidCertificate
from blockchain.primitives.crypto import Address, Hash32
from blockchain.primitives.validators import Validator, ValidatorSet, verify_certificate
from blockchain.primitives.vote import (
    Certificate,
    ConflictingVotes,
    Evidence,
    ForgottenLock,
    Vote,
    VoteStep,
    precommit_of,
    verify_message,
)


class Guilty(Struct, frozen=True):
    """A validator and two messages of it that no correct one signs."""

    validator: Validator
    evidence: Evidence


class Unproven(Struct, frozen=True):
    """A validator whose vote says that it saw a polka for `value` in `round`; no prevotes show that there was one."""

    validator: Validator
    vote: Vote
    value: Hash32
    round: int


class Findings(Struct, frozen=True):
    """In address order, nobody twice. `skipped`: votes given that are of no use: unsigned, of another height or set."""

    total: int
    guilty: tuple[Guilty, ...]
    unproven: tuple[Unproven, ...]
    skipped: int

    @property
    def guilty_stake(self) -> int:
        return sum(one.validator.stake for one in self.guilty)

    @property
    def unproven_stake(self) -> int:
        return sum(one.validator.stake for one in self.unproven)


def find_guilty(
    first: Certificate, second: Certificate, votes: Iterable[Vote], validators: ValidatorSet, genesis_hash: bytes
) -> Findings:
    """Who contradicted itself at the height of a fork, and who claims what nobody shows.

    `validators`: the set of that height. `votes`: those that nodes kept of it, in any order, as often as they come.
    Raises InvalidCertificate where the two certificates are no fork: of two heights, for one block, or not good.
    """
    if first.height != second.height:
        raise InvalidCertificate(f"they are of two heights, {first.height} and {second.height}")
    if first.block_id == second.block_id:
        raise InvalidCertificate("both are for the same block: that is no fork")
    for certificate in (first, second):
        verify_certificate(certificate, validators, genesis_hash)
    early, late = sorted((first, second), key=lambda certificate: certificate.round)
    given = set(votes)
    good = {vote for vote in given if _is_good(vote, early.height, validators, genesis_hash)}
    known = good | set(precommits_in(early, validators)) | set(precommits_in(late, validators))
    guilty = dict(_contradictions(known))
    claims = _unshown(known, early, late, validators)
    return Findings(
        total=validators.total,
        guilty=tuple(Guilty(one, guilty[one.address]) for one in validators.validators if one.address in guilty),
        unproven=tuple(
            Unproven(one, *claims[one.address])
            for one in validators.validators
            if one.address in claims and one.address not in guilty
        ),
        skipped=len(given) - len(good),
    )


def precommits_in(certificate: Certificate, validators: ValidatorSet) -> Iterator[Vote]:
    """The votes that a certificate stands for; its indices are in the set (protocol §4.4)."""
    for entry in certificate.precommits:
        yield precommit_of(certificate, validators.validators[entry.index].address, entry.signature)


def contradiction(one: Vote, other: Vote) -> Evidence | None:
    """The evidence that two votes of one validator and height make, if they do (protocol §5.8)."""
    earlier, later = sorted((one, other), key=lambda vote: (vote.round, vote.step))
    found = ConflictingVotes(earlier, later), ForgottenLock(earlier, later)
    return next((evidence for evidence in found if contradicts(evidence)), None)


def _is_good(vote: Vote, height: int, validators: ValidatorSet, genesis_hash: bytes) -> bool:
    """A vote that nodes count. One with a polka round of its own future would prove itself."""
    validator = validators.get(vote.validator)
    if validator is None or vote.height != height or not is_well_formed(vote):
        return False
    return verify_message(vote, validator.key, genesis_hash)


def _contradictions(votes: Iterable[Vote]) -> Iterator[tuple[Address, Evidence]]:
    """Of each validator two votes that contradict each other: two in one place, or else a forgotten lock."""
    by_validator: dict[Address, list[Vote]] = {}
    for vote in sorted(votes, key=_order):
        by_validator.setdefault(vote.validator, []).append(vote)
    for address, cast in by_validator.items():
        evidence = next(chain(_double_votes(cast), _forgotten_locks(cast)), None)
        if evidence is not None:
            yield address, evidence


def _double_votes(cast: list[Vote]) -> Iterator[Evidence]:
    """Of one validator's votes, by round and step: those of one place stand side by side."""
    found = (ConflictingVotes(one, other) for one, other in pairwise(cast))
    yield from (evidence for evidence in found if contradicts(evidence))


def _forgotten_locks(cast: list[Vote]) -> Iterator[Evidence]:
    """Of one validator's votes, by round. Not each with each: a liar may have signed any number of them."""
    locks = [vote for vote in cast if vote.step is VoteStep.PRECOMMIT and vote.block_id is not None]
    rounds = [lock.round for lock in locks]
    others = [len(locks)] * len(locks)  # of each lock the next that is for another value
    for number in reversed(range(len(locks) - 1)):
        is_same = locks[number].block_id == locks[number + 1].block_id
        others[number] = others[number + 1] if is_same else number + 1
    for vote in cast:
        if vote.step is VoteStep.PREVOTE and vote.block_id is not None:
            first, end = bisect_right(rounds, vote.polka_round), bisect_left(rounds, vote.round)
            if first < end and locks[first].block_id == vote.block_id:
                first = others[first]
            if first < end:
                yield ForgottenLock(locks[first], vote)


def _unshown(
    votes: Iterable[Vote], early: Certificate, late: Certificate, validators: ValidatorSet
) -> dict[Address, tuple[Vote, Hash32, int]]:
    """Of each validator the first claim of a polka behind the later certificate that the prevotes do not show."""
    if early.round == late.round:
        return {}  # who signed both is guilty by that alone
    value = late.block_id
    shown = _polkas(votes, validators)
    claims: dict[Address, tuple[Vote, Hash32, int]] = {}
    for vote in sorted(votes, key=_order):
        is_between = early.round < vote.round <= late.round and early.round <= vote.polka_round
        if is_between and vote.block_id == value and (value, vote.polka_round) not in shown:
            claims.setdefault(vote.validator, (vote, value, vote.polka_round))
    needed = [late]  # a precommit says that there was a polka in its round
    if (value, early.round) in shown:  # then the lock was right only if there were two polkas in that round
        needed.append(early)
    for certificate in needed:
        polka = certificate.block_id, certificate.round
        if polka not in shown:
            for vote in precommits_in(certificate, validators):
                claims.setdefault(vote.validator, (vote, *polka))
    return claims


def _polkas(votes: Iterable[Vote], validators: ValidatorSet) -> set[tuple[Hash32, int]]:
    """The values and rounds for which more than two thirds of the stake prevoted, by these votes."""
    voters: dict[tuple[Hash32, int], set[Address]] = {}
    for vote in votes:
        if vote.step is VoteStep.PREVOTE and vote.block_id is not None:
            voters.setdefault((vote.block_id, vote.round), set()).add(vote.validator)
    stakes = {place: sum(map(validators.stake_of, who)) for place, who in voters.items()}
    return {place for place, stake in stakes.items() if validators.is_quorum(stake)}


def _order(vote: Vote) -> tuple[int, int, bytes, bytes, int, bytes]:
    """The same in every run: rounds and steps first."""
    return vote.round, vote.step, vote.validator, vote.block_id or b"", vote.polka_round, vote.signature
