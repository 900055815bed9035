"""Proposals, votes, certificates and evidence: what validators sign, and what follows from it (docs/protocol.md §5).

Each message ends in a signature of fixed length; what is signed is tag, genesis hash and the encoding without it.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32, PublicKey, Signature, SigningKey, tagged, tagged_hash, verify
from blockchain.primitives.scalars import (
    NO_SIGNATURE,
    SIGNATURE_TAIL_BYTES,
    VALIDATORS_MAX,
    AddressField,
    HashField,
    Height,
    Round,
    RoundOrNone,
    SignatureField,
    TimeMs,
)

_CERTIFICATE_TAG: Final = "certificate"
_CHECKED_MAX: Final = 4_096  # signatures that are remembered, half a KB each: the votes of a few heights of a large set


class Step(IntEnum):
    """The steps of a round, in order: a validator signs at most one message in each (protocol §5.6)."""

    PROPOSE = 0
    PREVOTE = 1
    PRECOMMIT = 2


class VoteStep(IntEnum):
    """The two steps in which votes are cast; the numbers are those of `Step`."""

    PREVOTE = 1
    PRECOMMIT = 2


class Vote(Struct, frozen=True, array_like=True, tag="vote", forbid_unknown_fields=True):
    """A prevote or precommit for a block id, or for nil (None).

    `polka_round` is the paper's justification made explicit: a prevote for a value carries the larger of the
    proposal's valid round and, if locked on that value, the locked round; −1 where there is none, and in every
    prevote for nil and every precommit.
    """

    height: Height
    round: Round
    step: VoteStep
    block_id: HashField | None
    polka_round: RoundOrNone
    validator: AddressField
    signature: SignatureField = NO_SIGNATURE


class Proposal(Struct, frozen=True, array_like=True, tag="proposal", forbid_unknown_fields=True):
    """The forger of (height, round) proposes a block; `valid_round` ≥ 0 when it is proposed again (L19)."""

    height: Height
    round: Round
    valid_round: RoundOrNone
    block_id: HashField
    forger: AddressField
    signature: SignatureField = NO_SIGNATURE


class Announcement(Struct, frozen=True, array_like=True, tag="announcement", forbid_unknown_fields=True):
    """A validator says that it is on line: its address, the number its process drew at start, its wall time."""

    validator: AddressField
    instance: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    time_ms: TimeMs
    signature: SignatureField = NO_SIGNATURE


Signable = Vote | Proposal | Announcement
_TAGS: Final[dict[type, str]] = {Vote: "vote", Proposal: "proposal", Announcement: "announcement"}


class CommitSignature(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One precommit of a certificate: the validator's index in the set of that height, and its signature."""

    index: Annotated[int, Meta(ge=0, lt=VALIDATORS_MAX)]
    signature: SignatureField


class Certificate(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Precommits of one round for one block id, in validator order, none twice. Block 1 carries `GENESIS`'s, empty."""

    height: Height
    round: Round
    block_id: HashField
    precommits: Annotated[tuple[CommitSignature, ...], Meta(max_length=VALIDATORS_MAX)]


class ConflictingVotes(Struct, frozen=True, array_like=True, tag="votes", forbid_unknown_fields=True):
    """Two votes of one validator for different values at one (height, round, step) (protocol §5.8 a)."""

    first: Vote
    second: Vote


class ConflictingProposals(Struct, frozen=True, array_like=True, tag="proposals", forbid_unknown_fields=True):
    """Two different proposals of one forger for one (height, round) (protocol §5.8 b)."""

    first: Proposal
    second: Proposal


class ForgottenLock(Struct, frozen=True, array_like=True, tag="lock", forbid_unknown_fields=True):
    """A precommit for v at r, and a prevote for v' ≠ v at r' > r whose polka round is < r (protocol §5.8 c)."""

    precommit: Vote
    prevote: Vote


class Fork(Struct, frozen=True, array_like=True, tag="fork", forbid_unknown_fields=True):
    """Two certificates for different blocks of one height: what must never be. It accuses nobody by itself."""

    first: Certificate
    second: Certificate


Evidence = ConflictingVotes | ConflictingProposals | ForgottenLock


def sign_message(unsigned: Signable, key: SigningKey, genesis_hash: bytes) -> Signable:
    """The same message with `key`'s signature for this chain."""
    return msgspec.structs.replace(unsigned, signature=key.sign(signed_bytes(unsigned, genesis_hash)))


def verify_message(message: Signable, key: PublicKey, genesis_hash: bytes) -> bool:
    """Whether `key` signed this message for this chain."""
    return _is_signed(key, signed_bytes(message, genesis_hash), message.signature)


@lru_cache(maxsize=_CHECKED_MAX)
def _is_signed(key: PublicKey, signed: bytes, signature: Signature) -> bool:
    """Pure, and asked again of each vote that comes back in a certificate."""
    return verify(key, signed, signature)


def signed_bytes(message: Signable, genesis_hash: bytes) -> bytes:
    """What the signature covers: the tag of its type, the genesis hash, and every field before the signature."""
    return tagged(_TAGS[type(message)], genesis_hash, codec.encode(message)[:-SIGNATURE_TAIL_BYTES])


def precommit_of(certificate: Certificate, validator: AddressField, signature: Signature) -> Vote:
    """The vote that one entry of a certificate stands for."""
    return Vote(
        certificate.height,
        certificate.round,
        VoteStep.PRECOMMIT,
        certificate.block_id,
        -1,
        validator,
        signature,
    )


def certificate_hash(certificate: Certificate, genesis_hash: bytes) -> Hash32:
    """The hash that a child's header holds of its parent's certificate."""
    return tagged_hash(_CERTIFICATE_TAG, genesis_hash, codec.encode(certificate))


def empty_certificate(genesis_hash: Hash32) -> Certificate:
    """What block 1 carries: genesis needs no votes."""
    return Certificate(0, 0, genesis_hash, ())
