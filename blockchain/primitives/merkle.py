"""The Merkle tree of RFC 6962 §2.1: one hash for a list, and short proofs that an element is in it.

A leaf is hashed behind 00, a branch behind 01, so neither passes for the other. Pairing level by level, with
an odd last node carried up, gives the tree that the RFC defines by splitting at the largest power of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from blockchain.errors import InvalidProof
from blockchain.primitives.crypto import HASH_BYTES, Hash32

EMPTY_ROOT: Final = Hash32(sha256(b"").digest())  # RFC 6962 §2.1, MTH({})

_LEAF: Final = b"\x00"
_BRANCH: Final = b"\x01"


def root(leaves: Sequence[bytes]) -> Hash32:
    """The root over the leaves, in order; SHA-256 of nothing for no leaves."""
    if not leaves:
        return EMPTY_ROOT
    level = _leaf_level(leaves)
    while len(level) > 1:
        level = _level_above(level)
    return Hash32(level[0])


def leaf_hash(leaf: bytes) -> Hash32:
    """The hash by which a leaf enters the tree and its proofs."""
    return Hash32(sha256(_LEAF + leaf).digest())


def levels(leaves: Sequence[bytes]) -> tuple[Sequence[bytes], ...]:
    """All hashes of the tree, the leaves' first: of what audit paths are taken. Some twice as many as leaves."""
    found = [_leaf_level(leaves)]
    while len(found[-1]) > 1:
        found.append(_level_above(found[-1]))
    return tuple(found)


def inclusion_proof(tree: Sequence[Sequence[bytes]], index: int) -> tuple[Hash32, ...]:
    """The audit path of the leaf at `index` (from 0) in the tree of these `levels`, leaf first. RFC 6962 §2.1.1."""
    assert 0 <= index < len(tree[0])
    path = []
    for level in tree[:-1]:
        sibling = index ^ 1
        if sibling < len(level):  # the carried last node has none
            path.append(Hash32(level[sibling]))
        index >>= 1
    return tuple(path)


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected_root: bytes) -> None:
    """Check that the leaf hash `leaf` stands at `index` in the tree of `size` leaves with this root.

    Takes anything and raises InvalidProof unless the proof shows exactly that. RFC 9162 §2.1.3.2, the
    algorithm for the tree of RFC 6962.
    """
    if not 0 <= index < size:
        raise InvalidProof(f"leaf {index} of {size}")
    if any(len(value) != HASH_BYTES for value in (leaf, *proof)):
        raise InvalidProof("a hash that is not 32 bytes")
    node, last, value = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise InvalidProof("longer than the tree is high")
        if node & 1 or node == last:
            value = sha256(_BRANCH + sibling + value).digest()
            while not node & 1 and node:  # carried up without a sibling on these levels
                node, last = node >> 1, last >> 1
        else:
            value = sha256(_BRANCH + value + sibling).digest()
        node, last = node >> 1, last >> 1
    if last != 0:
        raise InvalidProof("shorter than the tree is high")
    if value != expected_root:
        raise InvalidProof("another root")


def _leaf_level(leaves: Sequence[bytes]) -> list[bytes]:
    return [sha256(_LEAF + leaf).digest() for leaf in leaves]


def _level_above(level: list[bytes]) -> list[bytes]:
    pairs = zip(level[::2], level[1::2], strict=False)  # an odd last node has no pair and is carried
    above = [sha256(_BRANCH + left + right).digest() for left, right in pairs]
    return above + level[-1:] if len(level) & 1 else above
