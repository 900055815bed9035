"""Proofs that a key of the state map has a value, or has none, checkable with nothing but the state root.

The hashing rules and the proof format of the sparse Merkle tree of LIP-0039; the tree itself is in `ledger.smt`. A
light client needs this module and a header. It never sees the tree, and may not import it.

Theory. A key's bits, first bit first, lead from the root to its place: 0 is left. A subtree without leaves is
EMPTY_HASH, a subtree with one leaf is that leaf, anything else is a branch. So the walk towards a key ends at its
leaf, at another leaf, or at an empty place, and either of the last two shows that the key is absent. A query tells
where the walk ended and, in `bitmap`, which of the siblings passed on the way were not empty; the hashes of those
that the other queries do not give stand in `sibling_hashes`, deepest level first, left to right.

A node is named by its heap index: 1 is the root, 2i and 2i + 1 are the children of i. An index of depth d is 1
followed by the first d bits of the key.

LIP-0039 lets some proofs be written in several ways. Here one proof has one writing. Refused are leftover hashes, a
sibling given as the hash of nothing, an empty place under another key than the one asked for, and bitmaps that
disagree where two paths have met. The vectors agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Annotated, Final

from msgspec import Meta, Struct

from blockchain.errors import InvalidProof
from blockchain.primitives.crypto import HASH_BYTES, Hash32
from blockchain.primitives.scalars import HashField

KEY_BITS: Final = 256
KEY_BYTES: Final = KEY_BITS // 8
LEAF_PREFIX: Final = b"\x00"  # LIP-0039: two prefixes, so that no leaf is ever read as a branch
BRANCH_PREFIX: Final = b"\x01"
EMPTY_HASH: Final = Hash32(sha256().digest())
PROOF_KEYS_MAX: Final = 1_000  # a few blocks' worth of one client's questions; 256 hashes a key at the very worst


class Query(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Where the walk towards one key ended.

    `key`, `value`: the leaf found there, 32 bytes and at least one; or the key asked for and no bytes: an empty place.
    `bitmap`: a big-endian number without leading zeros, whose bit d - 1 says that the sibling at depth d is not empty;
    its highest set bit is therefore the depth of the place.
    """

    key: HashField
    value: bytes
    bitmap: Annotated[bytes, Meta(max_length=KEY_BYTES)]


class StateProof(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The answer to a list of keys, one query each in the same order, and the hashes they share (LIP-0039)."""

    sibling_hashes: Annotated[tuple[HashField, ...], Meta(max_length=PROOF_KEYS_MAX * KEY_BITS)]
    queries: Annotated[tuple[Query, ...], Meta(max_length=PROOF_KEYS_MAX)]


def verify_proof(keys: Sequence[bytes], proof: StateProof, root: bytes) -> tuple[bytes | None, ...]:
    """The value that each of `keys` has under the state root `root`; None for a key that is proven absent.

    Keys are 32 bytes each. Raises InvalidProof if the proof is not for these keys or not under this root. Work:
    at most 256 hashes a key. Source: LIP-0039, Proof Verification.
    """
    if not keys or len(keys) != len(proof.queries):
        raise InvalidProof(f"{len(proof.queries)} queries for {len(keys)} keys")
    if any(len(sibling) != HASH_BYTES for sibling in proof.sibling_hashes):
        raise InvalidProof("a sibling hash is not 32 bytes")
    values = tuple(_proven_value(key, query) for key, query in zip(keys, proof.queries, strict=True))
    if _computed_root(proof) != root:
        raise InvalidProof("it leads to another state root")
    return values


def leaf_hash(key: bytes, value: bytes) -> Hash32:
    """H(00 ‖ key ‖ value). A value has at least one byte: proofs write an absent one as no bytes."""
    assert len(key) == KEY_BYTES and value, "a key has 32 bytes, a value at least one"
    return Hash32(sha256(LEAF_PREFIX + key + value).digest())


def branch_hash(left: bytes, right: bytes) -> Hash32:
    """H(01 ‖ left ‖ right)."""
    return Hash32(sha256(BRANCH_PREFIX + left + right).digest())


def heap_index(key: bytes, depth: int) -> int:
    """The name of the node at `depth` on the way to `key`."""
    return 1 << depth | int.from_bytes(key, "big") >> (KEY_BITS - depth)


def _proven_value(key: bytes, query: Query) -> bytes | None:
    """What the query says about the key, once its place is shown to be in the tree."""
    if len(query.key) != KEY_BYTES or len(query.bitmap) > KEY_BYTES or query.bitmap[:1] == b"\x00":
        raise InvalidProof("a query's key is not 32 bytes, or its bitmap longer, or begins with a zero byte")
    if query.key == key:
        return query.value or None
    if not query.value:
        raise InvalidProof("an empty place is shown with another key than its own")
    depth = int.from_bytes(query.bitmap, "big").bit_length()
    if heap_index(query.key, depth) != heap_index(key, depth):
        raise InvalidProof("a query's place is not on the way to its key")
    return None


class _Place(Struct, frozen=True):
    """A node that the queries give: its hash, and the bits of the siblings from there up."""

    hash: Hash32
    bitmap: int


def _computed_root(proof: StateProof) -> Hash32:
    """The root to which the queries and the sibling hashes lead: level by level, deepest first, left to right."""
    levels: dict[int, list[tuple[int, _Place]]] = {}
    for query in proof.queries:
        bitmap = int.from_bytes(query.bitmap, "big")
        depth = bitmap.bit_length()
        found = leaf_hash(query.key, query.value) if query.value else EMPTY_HASH
        levels.setdefault(depth, []).append((heap_index(query.key, depth), _Place(found, bitmap)))
    siblings = list(reversed(proof.sibling_hashes))
    level: dict[int, _Place] = {}
    for depth in range(max(levels), 0, -1):
        _join(level, levels.get(depth, ()))
        level = _parents(level, 1 << (depth - 1), siblings)
    _join(level, levels.get(0, ()))
    if siblings:
        raise InvalidProof("hashes are left over")
    return level[1].hash


def _join(level: dict[int, _Place], places: Sequence[tuple[int, _Place]]) -> None:
    """Add the places of a level; two queries may end at one place, and must then say the same of it."""
    for index, place in places:
        if level.setdefault(index, place) != place:
            raise InvalidProof("two queries contradict each other")


def _parents(level: dict[int, _Place], bit: int, siblings: list[Hash32]) -> dict[int, _Place]:
    """The level above; `bit` is the one of this level in the bitmaps, `siblings` is used from its end."""
    above: dict[int, _Place] = {}
    for index in sorted(level):
        if index >> 1 in above:
            continue  # done with its left sibling
        place = level[index]
        sibling = _sibling(level.get(index ^ 1), place, bit, siblings)
        pair = (sibling, place.hash) if index & 1 else (place.hash, sibling)
        above[index >> 1] = _Place(branch_hash(*pair), place.bitmap & (bit - 1))
    return above


def _sibling(known: _Place | None, place: _Place, bit: int, siblings: list[Hash32]) -> Hash32:
    """The hash beside a place: another query's, or empty, or the next of the proof's, as its bitmap says."""
    has_sibling = bool(place.bitmap & bit)
    if known is None:
        if not has_sibling:
            return EMPTY_HASH
        if not siblings:
            raise InvalidProof("hashes are missing")
        found = siblings.pop()
    else:
        if known.bitmap & (bit - 1) != place.bitmap & (bit - 1):
            raise InvalidProof("bitmaps disagree above the point where two paths meet")
        if bool(known.bitmap & bit) != (place.hash != EMPTY_HASH):
            raise InvalidProof("a bitmap is wrong about a sibling")
        found = known.hash
    if has_sibling != (found != EMPTY_HASH):
        raise InvalidProof("a bitmap is wrong about a sibling")
    return found
