"""A round record and the signature that waits for it: one turn of the keys' thread, in that order."""

from __future__ import annotations

from pathlib import Path

import pytest

from blockchain.errors import StoreError
from blockchain.primitives.crypto import Address, Hash32, PublicKey, SigningKey
from blockchain.primitives.vote import Vote, VoteStep, verify_message
from blockchain.runtime.signer import Signer
from blockchain.runtime.signing import SignedWrite, joined
from blockchain.seams import Batch, Effect, Sign, Signed, SignRefused, Write

KEY = SigningKey(b"\x01" * 32)
CHAIN = Hash32(b"\x0c" * 32)
VALUE = Hash32(b"\xaa" * 32)
PREVOTE, PRECOMMIT = (
    Sign(Vote(1, 0, step, VALUE, -1, Address(KEY.public_key)), KEY.public_key)
    for step in (VoteStep.PREVOTE, VoteStep.PRECOMMIT)
)
RECORD = Write(Batch(round_record=b"what the precommit binds to"))


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    made = Signer(KEY, CHAIN, tmp_path / "signing_record")
    made.load()
    return made


def test_a_signature_right_behind_its_record_is_one_with_it(signer: Signer) -> None:
    one = SignedWrite(RECORD.batch, PRECOMMIT, signer)
    assert joined([RECORD, PRECOMMIT], {KEY.public_key: signer}) == [one]
    both = joined([RECORD, PRECOMMIT, RECORD, PRECOMMIT], {KEY.public_key: signer})
    assert both == [one, one]


@pytest.mark.parametrize(
    "effects",
    [
        [],
        [PRECOMMIT],
        [PREVOTE, RECORD],
        [RECORD, RECORD],
        [Write(Batch(clear_round=True)), PRECOMMIT],
        [RECORD, Sign(PRECOMMIT.message, PublicKey(bytes(32)))],
    ],
    ids=["none", "alone", "made meanwhile", "two writes", "no record", "a signer elsewhere"],
)
def test_all_others_stay_as_they_are(effects: list[Effect], signer: Signer) -> None:
    assert joined(effects, {KEY.public_key: signer}) == effects


def test_the_record_is_written_before_the_key_signs(signer: Signer) -> None:
    signed_before = []

    def write(batch: Batch) -> None:
        assert batch == RECORD.batch
        signed_before.append(signer.record.message)

    answer = SignedWrite(RECORD.batch, PRECOMMIT, signer).perform(write)
    assert signed_before == [None]
    assert isinstance(answer, Signed) and verify_message(answer.message, KEY.public_key, CHAIN)
    below = SignedWrite(RECORD.batch, PREVOTE, signer).perform(write)
    assert isinstance(below, SignRefused) and len(signed_before) == 2


def test_nothing_is_signed_that_is_not_on_the_disk(signer: Signer) -> None:
    def fail(_: Batch) -> None:
        raise StoreError("the disk is full")

    with pytest.raises(StoreError):
        SignedWrite(RECORD.batch, PRECOMMIT, signer).perform(fail)
    assert signer.record.message is None
