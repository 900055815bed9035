"""What a validator must not forget about the height in progress (docs/protocol.md §5.6).

One record, written durably before a signature is asked for: the place, the lock, what was signed and what is being
signed, the proposals and prevotes behind the lock. A node that starts again resumes in the recorded place.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.scalars import HashField, Height, Round, RoundOrNone
from blockchain.primitives.vote import Proposal, Step, Vote

RECORD_BYTES_MAX: Final = 64 * 1024 * 1024  # one's own file: the cap only catches a damaged store


class RoundRecord(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`asked` may or may not have been signed: the signer's own record tells. `signed` are one's own messages."""

    height: Height
    round: Round
    step: Step
    locked_value: HashField | None
    locked_round: RoundOrNone
    valid_value: HashField | None
    valid_round: RoundOrNone
    asked: tuple[Proposal | Vote, ...]
    signed: tuple[Proposal | Vote, ...]
    proposals: tuple[Proposal, ...]
    prevotes: tuple[Vote, ...]

    def block_ids(self) -> set[Hash32]:
        """The blocks whose bodies belong to the record."""
        ids = {self.locked_value, self.valid_value}
        ids |= {message.block_id for message in (*self.asked, *self.signed, *self.proposals)}
        return {block_id for block_id in ids if block_id is not None}


def encode_record(record: RoundRecord) -> bytes:
    return codec.encode(record)


def decode_record(raw: bytes) -> RoundRecord:
    """Raises MalformedMessage."""
    return codec.decode(raw, RoundRecord, bytes_max=RECORD_BYTES_MAX)
