"""A genesis file: refused with a reason, or a chain that writes itself down and reads the same again."""

from __future__ import annotations

from blockchain.demo_chain import demo_spec
from blockchain.errors import InvalidGenesis
from blockchain.genesis import dump_genesis, load_genesis
from tests.fuzz.target import Target
from tests.fuzz.tree_mutation import json_mutation
from tests.samples import spec_of


def samples() -> list[bytes]:
    return [dump_genesis(spec) for spec in (spec_of(), demo_spec(), spec_of(issuer=None, accounts=()))]


def run(raw: bytes) -> bool:
    try:
        spec = load_genesis(raw)
    except InvalidGenesis as error:
        assert error.why
        return False
    again = load_genesis(dump_genesis(spec))
    assert again == spec and again.hash == spec.hash
    return True


TARGET = Target(samples, run, json_mutation(samples), bytes_max=16_384)
