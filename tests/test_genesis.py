"""Genesis files: what comes back, and what is refused with a reason that names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from blockchain import genesis
from blockchain.demo_chain import demo_spec
from blockchain.errors import InvalidGenesis
from blockchain.genesis import ENGINES, LEDGERS, check_genesis, dump_genesis, load_genesis
from blockchain.ledger.accounts import AccountLedger
from blockchain.primitives.address import format_address
from blockchain.primitives.chain import ChainSpec, GenesisAccount, GenesisValidator
from blockchain.primitives.crypto import Address
from tests import samples
from tests.samples import BAD_KEYS, address, key


def spec_of(**changes: Any) -> ChainSpec:
    """The chain of `samples`, with the bounds on stake that a chain of one's own needs."""
    parameters = {"stake_min": 10, "stake_step_max_bp": 1_000, **changes.pop("parameters", {})}
    return samples.spec_of(parameters=parameters, **changes)


SPEC = spec_of()
WITH_EVERYTHING = spec_of(
    validators=(GenesisValidator(address("v"), 70, key("votes").public_key), GenesisValidator(address("w"), 2**40)),
    parameters={"heartbeat_ms": 5_000, "block_max_wait_ms": None, "block_threshold": 3, "supply_max": 2**50},
)


def plain(**changes: Any) -> dict[str, Any]:
    """A good genesis as the JSON object that people write, with these changes."""
    whole: dict[str, Any] = json.loads(dump_genesis(SPEC))
    return whole | changes


def load(value: Any) -> ChainSpec:
    return load_genesis(json.dumps(value).encode())


def refused(value: Any) -> str:
    with pytest.raises(InvalidGenesis) as caught:
        load(value)
    assert caught.value.code == "invalid_genesis"
    return caught.value.why


# ------------------------------------------------------------------------------------------------ round trip


@pytest.mark.parametrize("spec", [SPEC, WITH_EVERYTHING, spec_of(issuer=None, accounts=()), demo_spec()])
def test_what_is_dumped_loads_as_the_same_chain(spec: ChainSpec) -> None:
    raw = dump_genesis(spec)
    again = load_genesis(raw)
    assert again == spec and again.hash == spec.hash
    assert dump_genesis(again) == raw


def test_a_file_is_for_people() -> None:
    text = dump_genesis(SPEC).decode()
    assert text.endswith("}\n") and format_address(address("a")) in text


def test_order_and_spaces_of_a_file_mean_nothing() -> None:
    shuffled = dict(reversed(plain().items()))
    assert load(shuffled).hash == SPEC.hash


def test_what_is_left_out_has_its_default() -> None:
    short = {name: plain()[name] for name in ("chain_id", "time_ms", "validators")}
    spec = load(short | {"parameters": {}})
    assert spec.parameters.stake_delay == 32 and spec.engine == "pos" and spec.issuer is None and not spec.demo


def test_addresses_may_be_written_in_hex() -> None:
    whole = plain(issuer=address("mint").hex())
    whole["accounts"][0]["address"] = whole["accounts"][0]["address"].upper()
    assert load(whole).hash == SPEC.hash


def test_the_tables_name_what_there_is() -> None:
    assert set(ENGINES) == {"pos"} and set(LEDGERS) == {"accounts"}
    assert isinstance(LEDGERS["accounts"](SPEC), AccountLedger)
    assert ENGINES["pos"](SPEC.hash).first_seed() != SPEC.hash


# ------------------------------------------------------------------------------------------------ garbage


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"\xff\xfe{}",
        b'{"chain_id": "\xed\xa0\x80"}',
        b'{"chain_id": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"{} {}",
        b"{'chain_id': 'x'}",
        b'{"time_ms": NaN}',
        b'{"time_ms": 1e400}',
        b'{"time_ms": ' + b"9" * 5_000 + b"}",
        b"\xef\xbb\xbf{}",
        b"\x00",
    ],
)
def test_garbage_is_one_clean_error_that_names_the_file(raw: bytes) -> None:
    with pytest.raises(InvalidGenesis, match=r"chain\.json") as caught:
        load_genesis(raw, Path("chain.json"))
    assert len(str(caught.value)) < 500


def test_a_file_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = dump_genesis(SPEC)
    monkeypatch.setattr(genesis, "GENESIS_BYTES_MAX", len(raw))
    assert load_genesis(raw) == SPEC
    with pytest.raises(InvalidGenesis, match="more than"):
        load_genesis(raw + b"\n")


ILL_FORMED: dict[str, dict[str, Any]] = {
    "an unknown field": {"colour": "red"},
    "an unknown parameter": {"parameters": {"block_treshold": 2}},
    "an unknown field of an account": {"accounts": [{"address": format_address(address("a")), "balance": 1, "x": 1}]},
    "an unknown field of a validator": {"validators": [{"address": format_address(address("v")), "stake": 1, "k": 1}]},
    "version 2": {"version": 2},
    "no label": {"chain_id": ""},
    "a label with a newline": {"chain_id": "x\n"},
    "a time before 1970": {"time_ms": -1},
    "a time that is text": {"time_ms": "2026"},
    "a time that is a float": {"time_ms": 1.5},
    "demo that is a number": {"demo": 1},
    "no parameters": {"parameters": None},
    "a bool as a number": {"parameters": {"stake_delay": True}},
    "accounts that are an object": {"accounts": {}},
    "an account that is text": {"accounts": ["pos1"]},
    "a balance that is a float": {"accounts": [{"address": format_address(address("a")), "balance": 1.0}]},
    "a negative balance": {"accounts": [{"address": format_address(address("a")), "balance": -1}]},
    "an account without a balance": {"accounts": [{"address": format_address(address("a"))}]},
    "an address that is a number": {"accounts": [{"address": 5, "balance": 1}]},
    "an address that is null": {"accounts": [{"address": None, "balance": 1}]},
    "an address with a wrong letter": {"issuer": format_address(address("a"))[:-1] + "b"},
    "a short address": {"issuer": "00" * 31},
    "an empty address": {"issuer": ""},
    "an issuer that is a list": {"issuer": []},
    "no validators": {"validators": []},
    "validators that are null": {"validators": None},
    "a validator without stake": {"validators": [{"address": format_address(address("v")), "stake": 0}]},
    "a validator with too much": {"validators": [{"address": format_address(address("v")), "stake": 2**53}]},
    "a validator key of rubbish": {"validators": [{"address": format_address(address("v")), "stake": 1, "key": "zz"}]},
}


@pytest.mark.parametrize("changes", ILL_FORMED.values(), ids=ILL_FORMED.keys())
def test_what_is_ill_formed_is_refused(changes: dict[str, Any]) -> None:
    assert load(plain()) == SPEC
    refused(plain(**changes))


@pytest.mark.parametrize("name", ["chain_id", "time_ms", "validators", "parameters"])
def test_what_has_no_default_may_not_be_missing(name: str) -> None:
    whole = plain()
    del whole[name]
    assert name in refused(whole)


# ------------------------------------------------------------------------------------------------ refusals

TWICE = (GenesisAccount(address("a"), 1), GenesisAccount(address("a"), 2))
V, W = GenesisValidator(address("v"), 100), GenesisValidator(address("w"), 100)
UNSAFE: dict[str, tuple[dict[str, Any], str]] = {
    "an engine that is not there": ({"engine": "pow"}, "no engine 'pow'; there is: pos"),
    "a ledger that is not there": ({"ledger": "utxo"}, "no ledger 'utxo'; there is: accounts"),
    "an account twice": ({"accounts": TWICE}, "the same account"),
    "a validator twice": ({"validators": (V, replace(V, key=key("x").public_key))}, "the same validator"),
    "a key twice": ({"validators": (V, replace(W, key=V.address))}, "the same validator key"),
    "more than the supply": ({"parameters": {"supply_max": 2_099}}, "more than supply_max"),
    "a sum above 2^53": ({"accounts": (GenesisAccount(address("a"), 2**53 - 1),)}, "more than supply_max"),
    "a time after all clocks": ({"time_ms": 2**53 - 1}, "after the year 9999"),
    "a threshold above the maximum": (
        {"parameters": {"block_threshold": 3, "block_max_transactions": 2}},
        "can never be reached",
    ),
    "no delay of stake": ({"parameters": {"stake_delay": 0}}, "choose its successor"),
    "too short a delay of stake": ({"parameters": {"stake_delay": 7}}, "choose its successor"),
    "a short propose time-out": (
        {"parameters": {"propose_timeout_ms": 49, "commit_wait_ms": 0}},
        "propose_timeout_ms 49",
    ),
    "a short prevote time-out": ({"parameters": {"prevote_timeout_ms": 49}}, "prevote_timeout_ms 49"),
    "a short precommit time-out": ({"parameters": {"precommit_timeout_ms": 49}}, "precommit_timeout_ms 49"),
    "a time-out above the largest": ({"parameters": {"timeout_max_ms": 2_999}}, "timeout_max_ms, 2999"),
    "a time-out that is the largest": ({"parameters": {"timeout_max_ms": 3_000}}, "room to grow"),
    "proposals that never have longer": ({"parameters": {"propose_delta_ms": 0}}, "propose_timeout_ms never grows"),
    "prevotes that never have longer": ({"parameters": {"prevote_delta_ms": 0}}, "prevote_timeout_ms never grows"),
    "precommits that never have longer": ({"parameters": {"precommit_delta_ms": 0}}, "precommit_timeout_ms never"),
    "forgers that wait too long": ({"parameters": {"commit_wait_ms": 3_000}}, "commit_wait_ms 3000"),
    "a flood of empty blocks": ({"parameters": {"heartbeat_ms": 1}}, "heartbeat_ms 1 floods"),
    "more validators than may be active": (
        {"validators": (V, W), "parameters": {"validators_max": 1, "stake_step_max_bp": 3_333}},
        "2 validators are more than validators_max, 1",
    ),
    "a stake below the least": ({"validators": (V, replace(W, stake=9))}, "stake of 9 is below stake_min, 10"),
    "a reward without room": (
        {"parameters": {"supply_max": 2_100, "reward_per_block": 1}},
        "reward_per_block 1 can never be minted",
    ),
    "no penalty": ({"parameters": {"slash_bp": 0}}, "slash_bp 0"),
    "a penalty of nothing": ({"parameters": {"stake_min": 9}}, "the penalty of the smallest stake would be nothing"),
    "a third left out": ({"parameters": {"absence_share_bp": 4_999}}, "have honest validators suspended"),
    "pauses most of the time": ({"parameters": {"pause_interval": 1_999}}, "less than twice pause_blocks_max, 1000"),
    "a third away": ({"parameters": {"active_share_min_bp": 6_666}}, "a third of the stake could be paused"),
    "evidence that is too old": (
        {"parameters": {"unbonding_blocks": 9}},
        "unbonding_blocks 9 is less than stake_delay + 2, 10",
    ),
    "any new stake at once": ({"parameters": {"stake_step_max_bp": None}}, "stake_step_max_bp none: new stake"),
    "a third of new stake at once": ({"parameters": {"stake_step_max_bp": 3_334}}, "at most 3333"),
    "newcomers and those who come back": (
        {"parameters": {"stake_step_max_bp": 3_333, "active_share_min_bp": 6_667}},
        "could be a third of the set",
    ),
    "too few units to divide": (
        {"validators": (replace(V, stake=2),), "parameters": {"stake_min": 1, "slash_bp": 10_000}},
        "a stake of 2 in all",
    ),
    "a place that nobody can take": (
        {"parameters": {"validators_max": 9}},
        "their product has to be 10000 or more",
    ),
}


@pytest.mark.parametrize("changes, why", UNSAFE.values(), ids=UNSAFE.keys())
def test_what_is_unsafe_or_stuck_is_refused_with_the_reason(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InvalidGenesis) as caught:
        check_genesis(spec_of(**changes))
    assert why in caught.value.why
    with pytest.raises(InvalidGenesis):
        load_genesis(dump_genesis(spec_of(**changes)))


@pytest.mark.parametrize("bad", BAD_KEYS.values(), ids=BAD_KEYS.keys())
def test_a_validator_that_could_never_forge_is_refused(bad: bytes) -> None:
    """A key of mixed order signs now and then and never proves the lottery's output."""
    for validator in (GenesisValidator(Address(bad), 100), replace(W, key=bad)):
        with pytest.raises(InvalidGenesis, match=bad.hex()):
            check_genesis(spec_of(validators=(V, validator)))
    check_genesis(spec_of(validators=(V, GenesisValidator(Address(bad), 100, key("x").public_key))))


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": {"stake_delay": 8}},
        {"parameters": {"stake_delay": 0}, "demo": True},
        {"parameters": {"supply_max": 2_100}},
        {"parameters": {"supply_max": 2_101, "reward_per_block": 5}},
        {"parameters": {"stake_min": 1, "slash_bp": 10_000}},
        {"parameters": {"absence_share_bp": 5_000, "pause_interval": 2_000, "unbonding_blocks": 10}},
        {"parameters": {"active_share_min_bp": 6_900, "stake_step_max_bp": 500}},
        {"parameters": {"validators_max": 10}},
        {"validators": (V, W), "parameters": {"validators_max": 2, "stake_step_max_bp": None}, "demo": True},
        {"parameters": {"stake_min": 1, "slash_bp": 1, "unbonding_blocks": 1}, "demo": True},
        {"parameters": {"block_threshold": 2, "block_max_transactions": 2, "block_max_wait_ms": None}},
        {"parameters": {"propose_timeout_ms": 50, "commit_wait_ms": 49, "heartbeat_ms": 50}},
        {"parameters": {"timeout_max_ms": 3_001}},
        {"validators": (V, W)},
        {"accounts": (GenesisAccount(address("v"), 5),)},
    ],
)
def test_the_neighbours_of_what_is_refused_pass(changes: dict[str, Any]) -> None:
    check_genesis(spec_of(**changes))


def test_the_demo_chain_and_the_defaults_pass() -> None:
    check_genesis(demo_spec())
    check_genesis(WITH_EVERYTHING)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("chain_id",), "BAD NAME", "chain_id: only a-z, 0-9, . _ - may be in it, with a letter or a digit first"),
        (("chain_id",), "", "chain_id: it must not be empty"),
        (("chain_id",), "x" * 65, "chain_id: it is longer than 64"),
        (("ledger",), 5, "ledger: it has to be a text, and is a whole number"),
        (("time_ms",), -1, "time_ms: it has to be at least 0"),
        (("time_ms",), 2**60, "time_ms: it may be 9007199254740991 at most"),
        (("validators",), [], "validators: it must not be empty"),
        (("validators",), {}, "validators: it has to be a list, and is an object"),
        (
            ("parameters", "block_threshold"),
            1.5,
            "parameters.block_threshold: it has to be a whole number, and is a fraction",
        ),
        (("parameters", "typo"), 1, "parameters: there is no field typo"),
        (("typo",), 1, "there is no field typo"),
    ],
)
def test_what_the_schema_refuses_is_said_in_words(path: tuple[str, ...], value: object, words: str) -> None:
    found = json.loads(dump_genesis(spec_of()))
    *outer, name = path
    place = found
    for each in outer:
        place = place[each]
    place[name] = value
    with pytest.raises(InvalidGenesis) as refused:
        load_genesis(json.dumps(found).encode())
    assert refused.value.why == words


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidGenesis, match="the field chain_id is missing"):
        load_genesis(b"{}")
