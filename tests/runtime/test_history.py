"""Signing histories as JSON: they come back as they were, and whatever is wrong with one is told in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from blockchain.consensus.signing import after_signing
from blockchain.errors import HistoryRefused
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32
from blockchain.primitives.vote import Proposal, Vote, sign_message
from blockchain.runtime.history import HISTORY_BYTES_MAX, dump_history, load_history, position_text
from blockchain.seams import SigningRecord
from tests.runtime.test_signer import CHAIN, KEY, A, B, precommit, prevote, proposal
from tests.samples import key

OTHER = key(2)


def record_of(*messages: Proposal | Vote) -> SigningRecord:
    record = SigningRecord(KEY.public_key)
    for message in messages:
        signed = sign_message(message, KEY, CHAIN)
        assert isinstance(signed, Proposal | Vote)
        record = after_signing(record, signed)
    return record


LOCKED = record_of(precommit(4, 1, A), prevote(4, 2, None))


@pytest.mark.parametrize(
    "record",
    [record_of(), record_of(proposal(4, 0)), record_of(prevote(4, 0, None)), record_of(precommit(4, 1)), LOCKED],
    ids=position_text,
)
def test_a_history_comes_back_as_it_was(tmp_path: Path, record: SigningRecord) -> None:
    path = tmp_path / "history.json"
    records = (record, SigningRecord(OTHER.public_key))
    path.write_bytes(dump_history(CHAIN, records))
    assert load_history(path, CHAIN) == records


def test_it_is_json_with_the_names_that_people_know() -> None:
    found = json.loads(dump_history(CHAIN, [LOCKED]))
    assert found["metadata"] == {"interchange_format_version": "1", "genesis_hash": CHAIN.hex()}
    (one,) = found["data"]
    assert one["public_key"] == KEY.public_key.hex()
    assert one["lock"] == {"round": 1, "block_id": A.hex()}
    assert LOCKED.message is not None
    message = codec.encode(LOCKED.message).hex()
    assert one["last_signed"] == {"height": 4, "round": 2, "step": "prevote", "message": message}


Change = Callable[[dict[str, Any]], object]


def message_of(message: Proposal | Vote) -> str:
    return codec.encode(sign_message(message, KEY, CHAIN)).hex()


WRONG: list[tuple[str, Change, str]] = [
    ("another chain", lambda it: it["metadata"].update(genesis_hash="ab" * 32), "of another chain (genesis abab"),
    ("another version", lambda it: it["metadata"].update(interchange_format_version="2"), "no signing history"),
    ("no metadata", lambda it: it.pop("metadata"), "no signing history"),
    ("an unknown field", lambda it: it.update(more=1), "no signing history"),
    ("an unknown field of a key", lambda it: it["data"][0].update(more=1), "no signing history"),
    ("a key that is none", lambda it: it["data"][0].update(public_key="ab"), "no signing history"),
    ("too many keys", lambda it: it.update(data=it["data"] * 65), "no signing history"),
    ("a key twice", lambda it: it.update(data=it["data"] * 2), "twice"),
    ("another height", lambda it: it["data"][0]["last_signed"].update(height=3), "not that of its message"),
    ("another step", lambda it: it["data"][0]["last_signed"].update(step="precommit"), "not that of its message"),
    ("another kind", lambda it: it["data"][0]["last_signed"].update(step="propose"), "not a Proposal"),
    ("a negative height", lambda it: it["data"][0]["last_signed"].update(height=-1), "no signing history"),
    ("a message that is none", lambda it: it["data"][0]["last_signed"].update(message="00"), "not a Vote"),
    ("odd digits", lambda it: it["data"][0]["last_signed"].update(message="0"), "no signing history"),
    ("a long message", lambda it: it["data"][0]["last_signed"].update(message="00" * 300), "no signing history"),
    (
        "a message of somebody else",
        lambda it: it["data"][0].update(public_key=OTHER.public_key.hex()),
        "does not bear the key's signature",
    ),
    ("a lock without a message", lambda it: it["data"][0].update(last_signed=None), "its last precommit"),
    ("a lock after the message", lambda it: it["data"][0]["lock"].update(round=2), "its last precommit"),
    (
        "a lock against the message",
        lambda it: it["data"][0].update(
            last_signed={"height": 4, "round": 1, "step": "precommit", "message": message_of(precommit(4, 1, A))},
            lock={"round": 1, "block_id": B.hex()},
        ),
        "its last precommit",
    ),
]


@pytest.mark.parametrize(("change", "why"), [(change, why) for _, change, why in WRONG], ids=[one[0] for one in WRONG])
def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, change: Change, why: str) -> None:
    history = json.loads(dump_history(CHAIN, [LOCKED]))
    change(history)
    assert why in refusal_of(tmp_path, json.dumps(history).encode())


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no signing history"),
        (b"[" * 60_000, "no signing history"),
        (b'"\xff"', "no signing history"),
        (b"NaN", "no signing history"),
        (
            dump_history(CHAIN, [LOCKED]).replace(b'"height": 4', b'"height": 9, "height": 4'),
            "an object has the same name twice",
        ),
        (b" " * (HISTORY_BYTES_MAX + 1), "larger than"),
    ],
)
def test_what_is_no_history(tmp_path: Path, raw: bytes, why: str) -> None:
    assert why in refusal_of(tmp_path, raw)


def refusal_of(folder: Path, raw: bytes) -> str:
    path = folder / "history.json"
    path.write_bytes(raw)
    with pytest.raises(HistoryRefused) as refused:
        load_history(path, CHAIN)
    line = str(refused.value)
    assert line.startswith(str(path)) and "\n" not in line and len(line) < 400
    return line


def test_a_history_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(HistoryRefused, match="cannot be read"):
        load_history(tmp_path / "none", CHAIN)


def test_a_signature_for_another_chain_is_none_for_this_one(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_bytes(dump_history(CHAIN, [LOCKED]).replace(CHAIN.hex().encode(), b"0d" * 32))
    with pytest.raises(HistoryRefused, match="does not bear the key's signature"):
        load_history(path, Hash32(b"\x0d" * 32))


def test_the_largest_history_fits_its_bound() -> None:
    message = sign_message(replace(precommit(2**53 - 1, 2**31 - 1), validator=KEY.public_key), KEY, CHAIN)
    assert isinstance(message, Vote)
    largest = after_signing(SigningRecord(KEY.public_key), message)
    assert len(dump_history(CHAIN, [largest] * 64)) <= HISTORY_BYTES_MAX
