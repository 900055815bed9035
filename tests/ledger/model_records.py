"""The records of the model's state, byte for byte, from the text alone (protocol §3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tests.ledger.model import Model, Staker


def records_of_model(model: Model, head: int) -> dict[bytes, bytes]:
    """After block `head`."""
    values: dict[bytes, Any] = {}
    for owner, balance in model.balance.items():
        values[b"a" + owner] = [balance, model.nonce.get(owner, 0)]
    for owner, one in model.stakers.items():
        values |= _of_staker(model, owner, one)
    values |= _of_queues(model, head)
    values[b"s"] = _sums(model, head)
    records = {key: msgspec.msgpack.encode(value) for key, value in values.items()}
    records |= {b"k" + key: owner for key, owner in model.owner_of_key.items()}
    records |= {b"w" + _number(ticket): owner for ticket, owner in model.holders.items()}
    return records


def _number(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _of_staker(model: Model, owner: bytes, one: Staker) -> dict[bytes, Any]:
    away = owner in model.away
    waiting = [[entry.ticket, entry.amount] for entry in model.waiting_of(owner)]
    unbonding = [[entry.amount, entry.leaves, entry.left_ms] for entry in one.unbonding]
    stake = [one.keys, one.seats, one.bonded, waiting, unbonding, one.is_out, one.suspension, one.pause, away]
    values: dict[bytes, Any] = {b"v" + owner: stake}
    newest_seat = one.seats[-1][1] if one.seats else 0
    if one.bonded or newest_seat:
        values[b"b" + owner] = [one.bonded, newest_seat, one.suspension is not None or one.pause is not None, away]
    if one.missed:
        newest = one.missed[-1]
        bits = sum(1 << (newest - height) for height in one.missed)
        values[b"m" + owner] = [newest, bits.to_bytes((bits.bit_length() + 7) // 8, "big")]
    return values


def _of_queues(model: Model, head: int) -> dict[bytes, Any]:
    values: dict[bytes, Any] = {}
    if model.tickets[1]:
        values[b"w"] = model.tickets
    if model.leaving:
        values[b"u"] = [model.released, len(model.leaving)]
    for number, (leaves, owner) in list(enumerate(model.leaving))[model.released :]:
        values[b"u" + _number(number)] = [leaves, owner]
    for height in range(head + 1, len(model.sets)):
        added, changes = model.added.get(height, 0), model.changes.get(height, set())
        if added or changes:
            values[b"q" + _number(height)] = [added, sorted(changes)]
    for height, owners in model.pause_ends.items():
        values[b"d" + _number(height)] = sorted(owners)
    if due := _due(model.stakers.items()):
        values[b"i"] = due
    return values


def _due(stakers: Iterable[tuple[bytes, Staker]]) -> list[bytes]:
    return sorted(owner for owner, one in stakers if one.suspension == 0)


def _sums(model: Model, head: int) -> list[int]:
    stakers = [owner for owner in model.stakers if model.stake_of(owner)]
    candidates = model.candidates()
    bonded = sum(model.stakers[owner].bonded for owner in candidates)
    joining = sum(model.added.get(height, 0) for height in range(head + 1, len(model.sets)))
    counts = [len(stakers), len(candidates), bonded, joining, model.eligible, model.inactive, model.left_out]
    return [model.minted, model.burnt, model.fees, *counts]
