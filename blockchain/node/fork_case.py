"""All that is known of a fork, from one node's store or from several, and the file in which it travels (§5.9).

The file is JSON, for people too: votes and certificates in the form in which the API shows them. Nothing in it is
believed: signatures are verified against the validator set, and who puts a case together says whose set that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from blockchain.consensus.evidence import messages_of
from blockchain.errors import InvalidAddress, MalformedMessage
from blockchain.primitives import codec
from blockchain.primitives.address import parse_address
from blockchain.primitives.crypto import Hash32, PublicKey, Signature
from blockchain.primitives.jsonform import JsonObject, certificate_to_json, validators_to_json, vote_to_json
from blockchain.primitives.validators import Validator, ValidatorSet
from blockchain.primitives.vote import Certificate, CommitSignature, Evidence, Fork, Vote, VoteStep

CASE_BYTES_MAX: Final = 64 * 1024 * 1024  # of a file: twice the prevotes that a node keeps of a height, as text
PROOF_BYTES_MAX: Final = 4 * 1024 * 1024  # two certificates of the largest set
T = TypeVar("T")


class ForkCase(Struct, frozen=True):
    """What is known of `height`: the set, where a source has it, certificates of its blocks, and votes."""

    genesis_hash: Hash32
    height: int
    certificates: tuple[Certificate, ...]
    validators: ValidatorSet | None
    votes: tuple[Vote, ...]

    def fork(self) -> Fork | None:
        """The first two certificates that are for different blocks; None where none are."""
        first = next(iter(self.certificates), None)
        other = next((each for each in self.certificates if first and each.block_id != first.block_id), None)
        return None if first is None or other is None else Fork(first, other)


class _Precommit(Struct, forbid_unknown_fields=True):
    index: int
    signature: str


class _Certificate(Struct, forbid_unknown_fields=True):
    height: int
    round: int
    block_id: str
    precommits: list[_Precommit]


class _Vote(Struct, forbid_unknown_fields=True):
    height: int
    round: int
    step: str
    block_id: str | None
    polka_round: int
    validator: str
    signature: str


class _Validator(Struct, forbid_unknown_fields=True):
    address: str
    key: str
    stake: int


class _Case(Struct, forbid_unknown_fields=True):
    genesis_hash: str
    height: int
    certificates: list[_Certificate]
    validators: list[_Validator] | None
    votes: list[_Vote]


def case_to_json(case: ForkCase) -> JsonObject:
    """The file's content; `read_case` gives the same case again."""
    return {
        "genesis_hash": case.genesis_hash.hex(),
        "height": case.height,
        "certificates": [certificate_to_json(each) for each in case.certificates],
        "validators": None if case.validators is None else validators_to_json(case.validators),
        "votes": [vote_to_json(vote) for vote in case.votes],
    }


def read_case(raw: bytes, genesis_hash: Hash32) -> ForkCase:
    """A case from a file: an exported one, two certificates as JSON, or the bytes that a node keeps of a fork.

    Raises MalformedMessage for anything else, and for a case of another chain.
    """
    if len(raw) > CASE_BYTES_MAX:
        raise MalformedMessage(f"{len(raw)} bytes, more than the {CASE_BYTES_MAX} of a case")
    text = raw.lstrip()
    if text[:1] not in (b"{", b"["):
        fork = codec.decode(raw, Fork, bytes_max=PROOF_BYTES_MAX)
        return _alone((fork.first, fork.second), genesis_hash)
    try:
        if text[:1] == b"[":
            first, second = msgspec.json.decode(raw, type=tuple[_Certificate, _Certificate])
            return _alone((_certificate(first), _certificate(second)), genesis_hash)
        return _case(msgspec.json.decode(raw, type=_Case), genesis_hash)
    except (msgspec.MsgspecError, ValueError, InvalidAddress) as error:
        raise MalformedMessage(f"not what is known of a fork: {error}") from None


def merged(cases: Iterable[ForkCase]) -> ForkCase:
    """One case of several of one height. Raises MalformedMessage where they tell of different sets or heights."""
    first, *others = cases
    for other in others:
        if (other.genesis_hash, other.height) != (first.genesis_hash, first.height):
            raise MalformedMessage(f"they tell of different heights: {first.height} and {other.height}")
        if None not in (first.validators, other.validators) and first.validators != other.validators:
            raise MalformedMessage(f"they tell of different validator sets of height {first.height}")
        first = msgspec.structs.replace(
            first,
            certificates=tuple(dict.fromkeys((*first.certificates, *other.certificates))),
            validators=first.validators or other.validators,
            votes=tuple(dict.fromkeys((*first.votes, *other.votes))),
        )
    return first


def votes_in(evidence: Iterable[Evidence], height: int) -> tuple[Vote, ...]:
    """The votes of a height that stand in evidence."""
    messages = (message for each in evidence for message in messages_of(each))
    return tuple(one for one in messages if isinstance(one, Vote) and one.height == height)


def _alone(certificates: tuple[Certificate, Certificate], genesis_hash: Hash32) -> ForkCase:
    return ForkCase(genesis_hash, certificates[0].height, certificates, None, ())


def _case(read: _Case, genesis_hash: Hash32) -> ForkCase:
    if bytes.fromhex(read.genesis_hash) != genesis_hash:
        raise MalformedMessage(f"it is of another chain, with the genesis {read.genesis_hash[:16]}")
    members = None if read.validators is None else ValidatorSet(_validator(one) for one in read.validators)
    votes = tuple(_vote(one) for one in read.votes)
    certificates = tuple(_certificate(one) for one in read.certificates)
    return ForkCase(genesis_hash, read.height, certificates, members, votes)


def _certificate(read: _Certificate) -> Certificate:
    entries = tuple(CommitSignature(one.index, Signature(bytes.fromhex(one.signature))) for one in read.precommits)
    return _within(Certificate(read.height, read.round, _hash(read.block_id), entries))


def _vote(read: _Vote) -> Vote:
    value = None if read.block_id is None else _hash(read.block_id)
    step = {each.name.lower(): each for each in VoteStep}.get(read.step)
    if step is None:
        raise MalformedMessage(f"a vote is no {read.step[:20]!r}")
    signature = Signature(bytes.fromhex(read.signature))
    validator = parse_address(read.validator)
    return _within(Vote(read.height, read.round, step, value, read.polka_round, validator, signature))


def _validator(read: _Validator) -> Validator:
    return _within(Validator(parse_address(read.address), PublicKey(bytes.fromhex(read.key)), read.stake))


def _hash(text: str) -> Hash32:
    return Hash32(bytes.fromhex(text))


def _within(value: T) -> T:
    """The value, if every field is within its bounds (protocol §1). Raises MalformedMessage."""
    return codec.decode(codec.encode(value), type(value), bytes_max=PROOF_BYTES_MAX)
