"""Signing histories as JSON, in the manner of EIP-3076: what keys have signed, to be taken along or merged.

    {"metadata": {"interchange_format_version": "1", "genesis_hash": "c06c…"},
     "data": [{"public_key": "f4a9…",
               "last_signed": {"height": 12, "round": 0, "step": "precommit", "message": "98a4…"},
               "lock": {"round": 0, "block_id": "fd8b…"}}]}

`message` is the canonical encoding of the last proposal or vote with its signature, so that a node that starts with it
can send it again; height, round and step are said beside it for people, and have to be its own. `last_signed` is null
for a key that has signed nothing, `lock` where no value was precommitted at that height. Merging takes the maximum
(`consensus.signing.merge`); nothing here writes a record.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from blockchain.consensus.signing import last_position, step_of
from blockchain.errors import HistoryRefused, MalformedMessage, SigningRefused
from blockchain.primitives import codec
from blockchain.primitives.crypto import Hash32, PublicKey
from blockchain.primitives.scalars import Height, Round
from blockchain.primitives.vote import Proposal, Vote
from blockchain.runtime.record_file import checked_record
from blockchain.seams import SigningRecord

HISTORY_BYTES_MAX: Final = 64 * 1024  # a key takes about 800
KEYS_MAX: Final = 64  # one machine's; a node has two at most
_MESSAGE_BYTES_MAX: Final = 256  # a vote takes 150
_NOBODYS: Final = "no signing history"

Hex32 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_StepName = Literal["propose", "prevote", "precommit"]
_STEPS: Final[tuple[_StepName, ...]] = get_args(_StepName)  # in the order of `Step`


class _Metadata(Struct, frozen=True, forbid_unknown_fields=True):
    interchange_format_version: Literal["1"]
    genesis_hash: Hex32


class _LastSigned(Struct, frozen=True, forbid_unknown_fields=True):
    height: Height
    round: Round
    step: _StepName
    message: Annotated[str, Meta(pattern="^([0-9a-f]{2})+$", max_length=2 * _MESSAGE_BYTES_MAX)]


class _Lock(Struct, frozen=True, forbid_unknown_fields=True):
    round: Round
    block_id: Hex32


class _Key(Struct, frozen=True, forbid_unknown_fields=True):
    public_key: Hex32
    last_signed: _LastSigned | None
    lock: _Lock | None


class _History(Struct, frozen=True, forbid_unknown_fields=True):
    metadata: _Metadata
    data: Annotated[list[_Key], Meta(max_length=KEYS_MAX)]


def dump_history(genesis_hash: Hash32, records: Sequence[SigningRecord]) -> bytes:
    """The history of these keys on this chain, as JSON for people and programs."""
    history = _History(_Metadata("1", genesis_hash.hex()), [_key_to_json(record) for record in records])
    return msgspec.json.format(msgspec.json.encode(history), indent=2) + b"\n"


def load_history(path: Path, genesis_hash: Hash32) -> tuple[SigningRecord, ...]:
    """What a file says of each of its keys, each signature verified.

    Raises HistoryRefused when it is malformed, of another chain, contradicts itself, or cannot be read.
    """
    history = _decoded(path, read_capped(path, HISTORY_BYTES_MAX, _NOBODYS))
    if history.metadata.genesis_hash != genesis_hash.hex():
        raise other_chain(path, history.metadata.genesis_hash)
    names = [one.public_key for one in history.data]
    for name in names:
        if names.count(name) > 1:
            raise HistoryRefused(str(path), f"it has the key {name} twice")
    try:
        return tuple(_key_from_json(one, genesis_hash) for one in history.data)
    except SigningRefused as error:
        raise HistoryRefused(str(path), error.why) from None


def read_capped(path: Path, bytes_max: int, what: str) -> bytes:
    """The content of a file that is `what` only if it is not larger. Raises HistoryRefused."""
    try:
        with path.open("rb") as file:
            raw = file.read(bytes_max + 1)
    except OSError as error:
        raise HistoryRefused(str(path), f"cannot be read: {error.strerror}: check the name") from None
    if len(raw) > bytes_max:
        raise HistoryRefused(str(path), f"larger than {bytes_max} bytes, so {what}")
    return raw


def other_chain(path: Path, genesis_hash: str) -> HistoryRefused:
    return HistoryRefused(str(path), f"it is of another chain (genesis {genesis_hash}): nothing was changed")


def _decoded(path: Path, raw: bytes) -> _History:
    try:
        json.loads(raw, object_pairs_hook=_check_names)  # of a name that stands twice msgspec takes the last one
        return msgspec.json.decode(raw, type=_History)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise HistoryRefused(str(path), f"{_NOBODYS}: {error}") from None


def _check_names(pairs: list[tuple[str, object]]) -> None:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError("an object has the same name twice")


def _key_to_json(record: SigningRecord) -> _Key:
    message, last = record.message, None
    if message is not None:
        last = _LastSigned(message.height, message.round, _STEPS[step_of(message)], codec.encode(message).hex())
    value = record.precommit_value
    lock = None if value is None else _Lock(record.precommit_round, value.hex())
    return _Key(record.key.hex(), last, lock)


def _key_from_json(one: _Key, genesis_hash: Hash32) -> SigningRecord:
    """Raises SigningRefused, with the key in the text."""
    key = PublicKey(bytes.fromhex(one.public_key))
    lock = (-1, None) if one.lock is None else (one.lock.round, Hash32(bytes.fromhex(one.lock.block_id)))
    try:
        record = checked_record(key, genesis_hash, _message_of(one.last_signed), *lock)
        if _key_to_json(record) != one:
            raise SigningRefused("its position is not that of its message")
    except (SigningRefused, MalformedMessage) as error:
        raise SigningRefused(f"the history of the key {one.public_key}: {error.why}") from None
    return record


def _message_of(last: _LastSigned | None) -> Proposal | Vote | None:
    if last is None:
        return None
    raw = bytes.fromhex(last.message)
    if last.step == "propose":
        return codec.decode(raw, Proposal, bytes_max=_MESSAGE_BYTES_MAX)
    return codec.decode(raw, Vote, bytes_max=_MESSAGE_BYTES_MAX)


def position_text(record: SigningRecord) -> str:
    """Where a key signed last, for people."""
    if record.message is None:
        return "nothing signed"
    height, round_number, step = last_position(record)
    return f"height {height}, round {round_number}, {_STEPS[step]}"
