"""The round record: it comes back as it was, and says which bodies belong to it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from blockchain.consensus.record import RoundRecord, decode_record, encode_record
from blockchain.errors import MalformedMessage
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Step
from tests.consensus.bench import HEIGHT, block_of, proposal_of, vote_of
from tests.samples import BLOCK_A, BLOCK_B, PRECOMMIT, PREVOTE

BLOCK = block_of()
RECORD = RoundRecord(
    height=HEIGHT,
    round=2,
    step=Step.PRECOMMIT,
    locked_value=BLOCK_A,
    locked_round=1,
    valid_value=BLOCK_B,
    valid_round=2,
    asked=(proposal_of(BLOCK), vote_of(3, PREVOTE, BLOCK_A), vote_of(3, PRECOMMIT, None)),
    signed=(vote_of(3, PREVOTE, Hash32(b"\xcc" * 32)),),
    proposals=(proposal_of(block_of(salt=1)),),
    prevotes=(vote_of(0, PREVOTE, BLOCK_B, round=2),),
)
EMPTY = replace(
    RECORD, locked_value=None, locked_round=-1, valid_value=None, valid_round=-1, asked=(), signed=(), proposals=()
)


@pytest.mark.parametrize("record", [RECORD, EMPTY])
def test_a_record_comes_back(record: RoundRecord) -> None:
    assert decode_record(encode_record(record)) == record


def test_the_bodies_of_everything_but_others_prevotes_belong_to_it() -> None:
    assert RECORD.block_ids() == {BLOCK_A, BLOCK_B, BLOCK.id, block_of(salt=1).id, Hash32(b"\xcc" * 32)}
    assert EMPTY.block_ids() == set()


@pytest.mark.parametrize("raw", [b"", b"\x90", encode_record(RECORD)[:-1], encode_record(RECORD) + b"\x00"])
def test_a_damaged_record_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_record(raw)
