"""Changes to plain bytes, for where atheris is not: a few that decoders are known to stumble over."""

from __future__ import annotations

from random import Random
from typing import Final

_WORDS: Final = (
    b"\x00",
    b"\xff",
    b"\xc0",
    b"\xdc\x00\x01",
    b"\xdd\xff\xff\xff\xff",
    b"[" * 50,
    b'"\\ud800"',
    b"\r\n\r\n",
)


def mutate_bytes(raw: bytes, rng: Random) -> bytes:
    """One to three changes."""
    for _ in range(rng.randint(1, 3)):
        raw = _change(raw, rng)
    return raw


def _change(raw: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(raw) + 1)
    match rng.randrange(6):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + rng.choice(_WORDS) + raw[at:]
        case 2:
            return raw[:at] + rng.randbytes(rng.randint(1, 8)) + raw[at + rng.randint(0, 8) :]
        case 3:
            return raw[:at] + raw[at : at + rng.randint(1, 32)] + raw[at:]
        case 4:
            return raw[:at] + raw[at + rng.randint(1, 8) :]
        case _:
            return raw[:at] + bytes([(raw[at : at + 1] or b"\x00")[0] ^ 1 << rng.randrange(8)]) + raw[at + 1 :]
