"""A file of signing histories: refused with a reason, or records that write themselves down and read the same again."""

from __future__ import annotations

from blockchain.errors import HistoryRefused
from blockchain.runtime.history import dump_history, load_history, position_text
from blockchain.seams import SigningRecord
from tests.fuzz.files import a_file
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import json_mutation
from tests.runtime.test_history import LOCKED, OTHER, record_of
from tests.runtime.test_signer import CHAIN, precommit, prevote, proposal

_FILE = a_file("history.json")


def samples() -> list[bytes]:
    records = [record_of(proposal(4, 0)), record_of(prevote(4, 0)), record_of(precommit(4, 1)), LOCKED]
    return [dump_history(CHAIN, [one, SigningRecord(OTHER.public_key)]) for one in records]


def run(raw: bytes) -> bool:
    _FILE.write_bytes(raw)
    try:
        records = load_history(_FILE, CHAIN)
    except HistoryRefused as error:
        assert error.args
        return False
    _FILE.write_bytes(dump_history(CHAIN, records))
    assert load_history(_FILE, CHAIN) == records
    assert all(position_text(record) for record in records)
    return True


TARGET = Target(samples, run, json_mutation(samples), bytes_max=8_192)
