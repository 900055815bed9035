"""Structure-aware mutation: an input is read as the tree that it encodes, some place changes, it is written again.

Of canonical MessagePack a change of plain bytes leaves nearly always something that is not canonical, and so nothing
but the first check of the codec would ever be tried. JSON goes through the same tree.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

import msgspec

from tests.fuzz.bytes_mutation import mutate_bytes
from tests.fuzz.target import Mutation

Place = tuple[list[object] | dict[str, object], int | str]

_NUMBERS: Final = (
    0,
    1,
    2,
    7,
    8,
    127,
    128,
    255,
    256,
    65_535,
    2**31,
    2**32,
    2**53 - 1,
    2**53,
    2**63 - 1,
    2**64 - 1,
    -1,
    -(2**63),
)
_LENGTHS: Final = (0, 1, 31, 32, 33, 63, 64, 65, 80, 255, 256)
_ODD_TEXTS: Final = (
    "",
    "0",
    "pos1",
    "\x00",
    "ü",
    "\U0001f600",
    "a" * 300,
    "127.0.0.1:1",
    "::1",
    "-1",
    "0" * 64,
    "null",
)
_OTHERS: Final[tuple[object, ...]] = (None, True, 1.0, -0.5, [], {}, "", b"", [[]], {"a": 1})
_CHANGES: Final = (1, 1, 1, 2, 3)
_DEPTH_MAX: Final = 40  # of what an input of plain bytes may nest


def codec_mutation(samples: Callable[[], list[bytes]]) -> Mutation:
    """For canonical MessagePack; parts of the samples are put into each other, and bytes that hold MessagePack change
    as such."""
    spares = _spares([msgspec.msgpack.decode(raw) for raw in samples()])

    def mutate(raw: bytes, rng: Random) -> bytes:
        try:
            tree: object = msgspec.msgpack.decode(raw)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return mutate_bytes(raw, rng)
        try:
            return msgspec.msgpack.encode(_changed(tree, spares, rng))
        except OverflowError:  # a number that the format has not
            return mutate_bytes(raw, rng)

    return mutate


def json_mutation(samples: Callable[[], list[bytes]]) -> Mutation:
    spares = _spares([json.loads(raw) for raw in samples()])

    def mutate(raw: bytes, rng: Random) -> bytes:
        try:
            tree: object = json.loads(raw)
        except (ValueError, RecursionError):
            return mutate_bytes(raw, rng)
        text = json.dumps(
            _changed(tree, spares, rng), default=lambda value: value.hex(), ensure_ascii=rng.random() < 0.5
        )
        if rng.random() < 0.05:
            text = text.replace("}", ', "version": 1, "version": 1}', 1)
        return text.encode("utf-8", "surrogatepass")

    return mutate


def _spares(trees: list[object]) -> list[bytes]:
    """Every part of the trees once, encoded: what is put into an input is a copy, and changes with it alone."""
    parts = (_get(place) for place in _places(trees))
    return list(dict.fromkeys(msgspec.msgpack.encode(part) for part in (*parts, *_OTHERS)))


def _spare(spares: Sequence[bytes], rng: Random) -> object:
    return msgspec.msgpack.decode(rng.choice(spares))


def _places(tree: object, depth: int = 0) -> list[Place]:
    if depth > _DEPTH_MAX:
        return []
    found: list[Place] = []
    if isinstance(tree, list):
        for index, value in enumerate(tree):
            found.append((tree, index))
            found += _places(value, depth + 1)
    elif isinstance(tree, dict):
        for name, value in tree.items():
            if isinstance(name, str):
                found.append((tree, name))
                found += _places(value, depth + 1)
    return found


def _get(place: Place) -> object:
    parent, at = place
    return parent[at]  # type: ignore[index]


def _set(place: Place, value: object) -> None:
    parent, at = place
    parent[at] = value  # type: ignore[index]


def _changed(tree: object, spares: Sequence[bytes], rng: Random) -> object:
    root: list[object] = [tree]
    for _ in range(rng.choice(_CHANGES)):
        place = rng.choice(_places(root))
        _set(place, _other(_get(place), spares, rng))
        if isinstance(place[0], list) and place[0] is not root and rng.random() < 0.1:
            del place[0][int(place[1])]
        elif isinstance(place[0], dict) and rng.random() < 0.1:
            place[0][rng.choice(["x", "height", str(place[1]) + "x"])] = place[0].pop(str(place[1]))
    return root[0]


def _other(value: object, spares: Sequence[bytes], rng: Random) -> object:
    """Another value for a place: mostly of the same kind."""
    if rng.random() < 0.1:
        return _spare(spares, rng)
    match value:
        case bool():
            return not value
        case int():
            return rng.choice((rng.choice(_NUMBERS), value + 1, value - 1, value ^ (1 << rng.randrange(53)), -value))
        case bytes():
            return _other_bytes(value, spares, rng)
        case str():
            return _other_text(value, rng)
        case list():
            return _other_list(value, spares, rng)
        case None:
            return rng.choice((0, b"\xaa" * 32, "", _spare(spares, rng)))
        case _:
            return _spare(spares, rng)


def _other_bytes(value: bytes, spares: Sequence[bytes], rng: Random) -> bytes:
    if len(value) > 1 and 0x90 <= value[0] <= 0xDD and rng.random() < 0.8:
        try:
            return msgspec.msgpack.encode(_changed(msgspec.msgpack.decode(value), spares, rng))
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError):
            pass
    match rng.randrange(8):
        case 0:
            return bytes(rng.choice(_LENGTHS))
        case 1:
            return mutate_bytes(value, rng)
        case 2 | 3:
            return rng.randbytes(len(value))
        case _:
            at = rng.randrange(len(value) + 1)
            return value[:at] + bytes([rng.randrange(256)]) * len(value[at : at + 1]) + value[at + 1 :]


def _other_text(value: str, rng: Random) -> str:
    match rng.randrange(4):
        case 0:
            return rng.choice(_ODD_TEXTS)
        case 1 if value:
            at = rng.randrange(len(value))
            return value[:at] + rng.choice("0aAzZ1:.-_ /\\\x7fü\U0001f600") + value[at + 1 :]
        case 2:
            return value[: rng.randint(0, len(value))]
        case _:
            return value + rng.choice(("0", value, "\n", "f" * 64))


def _other_list(value: list[object], spares: Sequence[bytes], rng: Random) -> list[object]:
    match rng.randrange(5):
        case 0:
            return [*value, _spare(spares, rng)]
        case 1:
            return value + value
        case 2:
            return value[: rng.randint(0, len(value))]
        case 3 if value:
            return [*value, rng.choice(value)]
        case _:
            return rng.sample(value, len(value))
