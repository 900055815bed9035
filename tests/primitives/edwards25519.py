"""Edwards25519 in plain integers: an oracle for the signature rule, written from RFC 8032 and not from
libsodium.

Slow and not constant-time on purpose. Tests build with it what a library never makes (keys with a torsion
part, points of small order, other encodings) and decide with it, item by item, what the written rule says.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

P: Final = 2**255 - 19
L: Final = 2**252 + 27742317777372353535851937790883648493
D: Final = -121665 * pow(121666, -1, P) % P
SIGN: Final = 1 << 255


@dataclass(frozen=True)
class Point:
    x: int
    y: int

    def __add__(self, other: Point) -> Point:
        return _affine(_sum(_extended(self), _extended(other)))

    def __rmul__(self, scalar: int) -> Point:
        total, addend = _extended(IDENTITY), _extended(self)
        while scalar:
            if scalar & 1:
                total = _sum(total, addend)
            addend = _sum(addend, addend)
            scalar >>= 1
        return _affine(total)

    def __neg__(self) -> Point:
        return Point(-self.x % P, self.y)

    def encode(self) -> bytes:
        return (self.y | (self.x & 1) << 255).to_bytes(32, "little")


IDENTITY: Final = Point(0, 1)

Extended = tuple[int, int, int, int]  # X, Y, Z, T of RFC 8032 §5.1.4: no division until the end


def _extended(point: Point) -> Extended:
    return point.x, point.y, 1, point.x * point.y % P


def _affine(point: Extended) -> Point:
    inverse = pow(point[2], -1, P)
    return Point(point[0] * inverse % P, point[1] * inverse % P)


def _sum(p: Extended, q: Extended) -> Extended:
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def decode(raw: bytes) -> Point | None:
    """RFC 8032 §5.1.3; None for what is not a point or not its canonical encoding."""
    number = int.from_bytes(raw, "little")
    y, sign = number % SIGN, number >> 255
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return Point(-x % P if x & 1 != sign else x, y)


def _base_point() -> Point:
    point = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
    assert point is not None
    return point


BASE: Final = _base_point()


def _torsion_generator() -> Point:
    for y in range(2, 100):
        point = decode(y.to_bytes(32, "little"))
        if point is not None and 4 * (L * point) != IDENTITY:
            return L * point
    raise AssertionError("one point in two has a torsion part of order 8")


TORSION: Final = tuple(k * _torsion_generator() for k in range(8))  # the points of small order


def small_order_encodings() -> list[bytes]:
    """Every 32 bytes that a lenient decoder reads as a point of small order, non-canonical ones included."""
    found = set()
    for point in TORSION:
        for y in (point.y, point.y + P):
            if y < SIGN:
                found |= {y.to_bytes(32, "little"), (y | SIGN).to_bytes(32, "little")}
    return sorted(found)


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L


def verifies(key: bytes, message: bytes, signature: bytes) -> bool:
    """The project's written rule (docs/protocol.md §1.4), in its words."""
    if len(key) != 32 or len(signature) != 64:
        return False
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    a = decode(key)
    if s >= L or a is None or a in TORSION or r in small_order_encodings():
        return False
    return (s * BASE + challenge(r, key, message) * -a).encode() == r
