"""What a node and its remote signer say to each other (docs/protocol.md §8.10, *local*).

Structured requests and their answers, each under the number of its request; nothing here carries bytes to be signed.
The chain is not named: the handshake that opened the connection was for one genesis hash.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

from blockchain.consensus.signing import step_of
from blockchain.primitives.crypto import PublicKey
from blockchain.primitives.scalars import HashField, Height, PublicKeyField, RoundOrNone, SignatureField
from blockchain.primitives.vote import Announcement, Proposal, Vote
from blockchain.primitives.vrf import PROOF_BYTES
from blockchain.seams import SigningRecord

MESSAGE_BYTES_MAX: Final = 1_024  # either way; the longest is a reason
WHY_CHARACTERS_MAX: Final = 200  # of a reason: at most 4 bytes each

RequestId = Annotated[int, Meta(ge=0, le=2**53 - 1)]
ProofField = Annotated[bytes, Meta(min_length=PROOF_BYTES, max_length=PROOF_BYTES)]


class Describe(Struct, frozen=True, array_like=True, tag="describe", forbid_unknown_fields=True):
    """Which key is it, and what has it signed last?"""


class SignMessage(Struct, frozen=True, array_like=True, tag="sign", forbid_unknown_fields=True):
    """Sign this message; the signature that it carries is ignored."""

    message: Vote | Proposal | Announcement


class ProveHeight(Struct, frozen=True, array_like=True, tag="prove", forbid_unknown_fields=True):
    """Prove the VRF of a height and its seed."""

    seed: HashField
    height: Height


class Asked(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A request; its number is not used twice by one node."""

    id: RequestId
    request: Describe | SignMessage | ProveHeight


class Description(Struct, frozen=True, array_like=True, tag="description", forbid_unknown_fields=True):
    """The key and its record; height, round and step are those of the message (None: it has signed nothing)."""

    public_key: PublicKeyField
    message: Vote | Proposal | None
    precommit_round: RoundOrNone
    precommit_value: HashField | None


class SignatureGiven(Struct, frozen=True, array_like=True, tag="signature", forbid_unknown_fields=True):
    """Of the message that was asked for, and no other: the node puts the two together."""

    signature: SignatureField


class ProofGiven(Struct, frozen=True, array_like=True, tag="proof", forbid_unknown_fields=True):
    proof: ProofField


class Refused(Struct, frozen=True, array_like=True, tag="refused", forbid_unknown_fields=True):
    why: Annotated[str, Meta(max_length=WHY_CHARACTERS_MAX)]


class Answered(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An answer, with its request's number; with 0 where what came was no request."""

    id: RequestId
    answer: Description | SignatureGiven | ProofGiven | Refused


def description_of(record: SigningRecord) -> Description:
    return Description(record.key, record.message, record.precommit_round, record.precommit_value)


def record_of(told: Description) -> SigningRecord:
    """The record that a signer has told of; its message is still to be verified."""
    key, last = PublicKey(told.public_key), told.message
    if last is None:
        return SigningRecord(key, is_new=True)
    return SigningRecord(key, last.height, last.round, step_of(last), last, told.precommit_round, told.precommit_value)
