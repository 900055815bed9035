"""The chain's identity: every field of genesis is in it; and the bounds of its values."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator, Parameters
from tests.samples import address, key, spec_of

SPEC = spec_of()


def test_equal_specs_have_one_hash() -> None:
    assert spec_of().hash == SPEC.hash and len(SPEC.hash) == 32


CHANGES: list[dict[str, Any]] = [
    {"chain_id": "other"},
    {"time_ms": SPEC.time_ms + 1},
    {"demo": True},
    {"engine": "other"},
    {"ledger": "other"},
    {"issuer": None},
    {"issuer": address("a")},
    {"accounts": ()},
    {"accounts": SPEC.accounts[::-1]},
    {"accounts": (*SPEC.accounts, GenesisAccount(address("c"), 0))},
    {"validators": (GenesisValidator(address("v"), 101),)},
    {"validators": (GenesisValidator(address("v"), 100, key("w").public_key),)},
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_field_is_in_the_hash(change: dict[str, Any]) -> None:
    assert replace(SPEC, **change).hash != SPEC.hash


@pytest.mark.parametrize("name", Parameters.__struct_fields__)
def test_every_parameter_is_in_the_hash(name: str) -> None:
    value = getattr(SPEC.parameters, name)
    other = 7 if value is None else value + 1
    assert replace(SPEC, parameters=replace(SPEC.parameters, **{name: other})).hash != SPEC.hash


def test_none_and_the_smallest_number_are_two_things() -> None:
    hashes = {spec_of(parameters={"heartbeat_ms": value}).hash for value in (None, 1)}
    assert len(hashes) == 2


@pytest.mark.parametrize(
    "chain_id", ["", "Test", "-test", ".test", "te st", "test\n", "té", "a" * 65, "test/..", "test\x00", "ⅷ"]
)
def test_a_label_is_short_lower_case_and_plain(chain_id: str) -> None:
    plain = msgspec.to_builtins(SPEC) | {"chain_id": "test"}
    assert msgspec.convert(plain, ChainSpec) == SPEC
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(plain | {"chain_id": chain_id}, ChainSpec)


OUT_OF_BOUNDS: list[tuple[str, list[Any]]] = [
    ("block_threshold", [0, 10_001, None]),
    ("block_max_transactions", [0, 10_001]),
    ("block_max_wait_ms", [0, 86_400_001]),
    ("heartbeat_ms", [0, -1]),
    ("stake_delay", [-1, 100_001]),
    ("propose_timeout_ms", [0, None]),
    ("propose_delta_ms", [-1]),
    ("commit_wait_ms", [-1]),
    ("clock_drift_ms", [0]),
    ("supply_max", [0, 2**53, True, 1.0]),
    ("unbonding_blocks", [0]),
]


@pytest.mark.parametrize("name, values", OUT_OF_BOUNDS)
def test_a_parameter_out_of_bounds_does_not_convert(name: str, values: list[Any]) -> None:
    plain = msgspec.to_builtins(SPEC.parameters)
    for value in values:
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(plain | {name: value}, Parameters)
