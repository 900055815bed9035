"""Genesis: loading and checking what all nodes of a chain share; and which engines and ledgers there are.

Adding an engine or a ledger is one file and one line in a table here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import PurePath
from typing import Any, Final

import msgspec

from blockchain.consensus.pos import ProofOfStake
from blockchain.errors import InvalidAddress, InvalidGenesis
from blockchain.genesis_stake import check_stake_rules
from blockchain.ledger.accounts import AccountLedger
from blockchain.primitives import vrf
from blockchain.primitives.address import parse_address
from blockchain.primitives.block import BODY_BYTES_MAX
from blockchain.primitives.chain import ChainSpec, GenesisValidator, Parameters
from blockchain.primitives.crypto import Address, Hash32, PublicKey
from blockchain.primitives.jsonform import chain_to_json
from blockchain.primitives.transaction import TRANSACTION_BYTES_MAX
from blockchain.seams import Ledger

_SCHEMA_WORDS: Final = (
    (r"Expected `str` matching regex .*", "only a-z, 0-9, . _ - may be in it, with a letter or a digit first"),
    (r"Expected `\w+` of length >= 1", "it must not be empty"),
    (r"Expected `\w+` of length <= (\d+)", r"it is longer than \1"),
    (r"Expected `int` >= (-?\d+)", r"it has to be at least \1"),
    (r"Expected `int` <= (\d+)", r"it may be \1 at most"),
    (r"Expected `([^,]*)`, got (`\w+`)", r"it has to be `\1`, and is \2"),
    (r"Object missing required field `(\w+)`", r"the field \1 is missing"),
    (r"Object contains unknown field `(.*)`", r"there is no field \1"),
)
_TYPE_WORDS: Final = {
    "str": "a text",
    "int": "a whole number",
    "int | null": "a whole number or null",
    "float": "a fraction",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
GENESIS_BYTES_MAX: Final = 256 * 1024 * 1024  # a million accounts are about 120 MiB of JSON
STAKE_DELAY_MIN: Final = 8  # below, a forger that moves stake can choose its successor (protocol §6.2)
TIME_MS_MAX: Final = 253_402_300_799_999  # 9999-12-31; a chain begins when clocks reach its time
ROUND_MS_MIN: Final = 50  # time-outs below this are shorter than a durable write on a slow disk

ENGINES: Final[dict[str, Callable[[Hash32], ProofOfStake]]] = {"pos": ProofOfStake}
LEDGERS: Final[dict[str, Callable[[ChainSpec], Ledger]]] = {"accounts": AccountLedger}


def load_genesis(raw: bytes, source: PurePath | None = None) -> ChainSpec:
    """Read a genesis file (JSON) and check it. Raises InvalidGenesis with what is wrong and in which file."""
    try:
        if len(raw) > GENESIS_BYTES_MAX:
            raise InvalidGenesis(f"it has {len(raw)} bytes, more than {GENESIS_BYTES_MAX}")
        spec = _read(raw)
        check_genesis(spec)
    except InvalidGenesis as error:
        raise (error if source is None else InvalidGenesis(f"{source}: {error.why}")) from None
    return spec


def _read(raw: bytes) -> ChainSpec:
    try:
        plain = msgspec.json.decode(raw)
        json.loads(raw, object_pairs_hook=_check_names)  # msgspec takes the last of two without a word
        return msgspec.convert(_with_keys(plain), ChainSpec)
    except msgspec.ValidationError as error:
        raise InvalidGenesis(schema_words(error)) from None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidGenesis(str(error)) from None


def schema_words(error: msgspec.ValidationError) -> str:
    """What a schema says of a value, for people: where the value stands, and what it has to be."""
    text, _, path = str(error).partition(" - at `$")
    place = path.rstrip("`").removeprefix(".")
    for pattern, words in _SCHEMA_WORDS:
        if match := re.fullmatch(pattern, text):
            text = match.expand(words)
    for name, words in _TYPE_WORDS.items():
        text = text.replace(f"`{name}`", words)
    return f"{place}: {text}" if place else text


def dump_genesis(spec: ChainSpec) -> bytes:
    """The JSON form of a genesis: what `load_genesis` reads, addresses in their text form."""
    return msgspec.json.format(msgspec.json.encode(chain_to_json(spec)), indent=2) + b"\n"


def check_genesis(spec: ChainSpec) -> None:
    """Refuse what would make a chain unsafe, or stuck for ever. Raises InvalidGenesis with the reason."""
    if spec.engine not in ENGINES:
        raise InvalidGenesis(f"no engine {spec.engine!r}; there is: {', '.join(ENGINES)}")
    if spec.ledger not in LEDGERS:
        raise InvalidGenesis(f"no ledger {spec.ledger!r}; there is: {', '.join(LEDGERS)}")
    _check_unique("account", [account.address for account in spec.accounts])
    _check_unique("validator", [validator.address for validator in spec.validators])
    _check_validator_keys(spec.validators)
    if spec.time_ms > TIME_MS_MAX:
        raise InvalidGenesis(f"time_ms {spec.time_ms} is after the year 9999: milliseconds since 1970 are meant")
    supply = sum(account.balance for account in spec.accounts) + sum(v.stake for v in spec.validators)
    if supply > spec.parameters.supply_max:
        raise InvalidGenesis(f"it hands out {supply}, more than supply_max, {spec.parameters.supply_max}")
    _check_parameters(spec.parameters, is_demo=spec.demo)
    check_stake_rules(spec, supply)


def _check_parameters(parameters: Parameters, *, is_demo: bool) -> None:
    if parameters.block_threshold > parameters.block_max_transactions:
        raise InvalidGenesis(
            f"block_threshold {parameters.block_threshold} can never be reached: "
            f"a block holds at most {parameters.block_max_transactions} (block_max_transactions)"
        )
    if parameters.block_threshold * TRANSACTION_BYTES_MAX > BODY_BYTES_MAX:
        raise InvalidGenesis(
            f"block_threshold {parameters.block_threshold} may be more than a block's {BODY_BYTES_MAX} bytes hold; "
            f"at most {BODY_BYTES_MAX // TRANSACTION_BYTES_MAX}"
        )
    if parameters.stake_delay < STAKE_DELAY_MIN and not is_demo:
        raise InvalidGenesis(
            f"stake_delay {parameters.stake_delay} lets a forger choose its successor by moving stake; "
            f"at least {STAKE_DELAY_MIN}, or say demo"
        )
    for step in ("propose", "prevote", "precommit"):
        _check_timeout(parameters, step)
    if parameters.commit_wait_ms >= parameters.propose_timeout_ms:
        raise InvalidGenesis(
            f"commit_wait_ms {parameters.commit_wait_ms}: one validator without a vote would make every forger late "
            f"for propose_timeout_ms, {parameters.propose_timeout_ms}"
        )
    if parameters.heartbeat_ms is not None and parameters.heartbeat_ms < ROUND_MS_MIN:
        raise InvalidGenesis(
            f"heartbeat_ms {parameters.heartbeat_ms} floods with empty blocks; at least {ROUND_MS_MIN}"
        )


def _check_timeout(parameters: Parameters, step: str) -> None:
    """Long enough to begin with, and growing: agreement ends once each time-out is longer than the network's delay."""
    name = f"{step}_timeout_ms"
    base: int = getattr(parameters, name)
    if base < ROUND_MS_MIN:
        raise InvalidGenesis(f"{name} {base} is shorter than a durable write may take; at least {ROUND_MS_MIN}")
    if base >= parameters.timeout_max_ms:
        raise InvalidGenesis(f"{name} {base} has no room to grow below timeout_max_ms, {parameters.timeout_max_ms}")
    if getattr(parameters, f"{step}_delta_ms") == 0:
        raise InvalidGenesis(f"{name} never grows and may never be long enough: {step}_delta_ms is 0")


def _check_validator_keys(validators: tuple[GenesisValidator, ...]) -> None:
    keys = [PublicKey(validator.address) if validator.key is None else validator.key for validator in validators]
    _check_unique("validator key", keys)
    for key in keys:
        if not vrf.is_key(key):
            raise InvalidGenesis(f"no validator can prove the lottery's output with the key {key.hex()}")


def _check_unique(what: str, keys: list[Any]) -> None:
    if len(set(keys)) != len(keys):
        raise InvalidGenesis(f"the same {what} stands twice")


def _check_names(members: list[tuple[str, Any]]) -> None:
    """Two readers that take different ones of two equal names would be on different chains."""
    names = [name for name, _ in members]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise msgspec.ValidationError(f"an object has the name {twice[:60]!r} twice")


def _with_keys(plain: Any) -> Any:
    """The decoded JSON with addresses as bytes; anything of another shape is left for the schema to refuse."""
    if not isinstance(plain, dict):
        return plain
    fixed = dict(plain)
    if isinstance(plain.get("issuer"), str):
        fixed["issuer"] = _address(plain["issuer"])
    for name in ("accounts", "validators"):
        rows = plain.get(name)
        if isinstance(rows, list):
            fixed[name] = [_row_with_keys(row) for row in rows]
    return fixed


def _row_with_keys(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    return {
        name: _address(value) if name in ("address", "key") and isinstance(value, str) else value
        for name, value in row.items()
    }


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except InvalidAddress as error:
        raise InvalidGenesis(str(error)) from None
