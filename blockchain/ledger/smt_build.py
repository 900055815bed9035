"""The state tree built from all records, in pieces that know nothing of each other. Used by `smt` and `state`.

Pure functions from plain values to plain values that MessagePack can carry, so that any process may build a part
(`runtime.verifiers`): a node with a million records has most of a start to share out.

Theory. First the records, some thousands at a time in any order, become `Hashed` leaves, sorted by how their keys
begin. Then a part is what lies below one node of the top levels: the leaves whose keys begin with the same bits. What
is asked for are its `Leaves`; what comes of it is a `Part`, laid out as the flat part of the tree, level by level, so
that the tree only puts it where it belongs. A part is small enough to stay in a processor's cache while it is hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from itertools import islice
from operator import add
from struct import iter_unpack
from typing import Final, NamedTuple

from msgspec import Struct

from blockchain.ledger.smt_subtree import RECORD_BYTES, Content, content_of, hash_of, leaves_in
from blockchain.primitives.records import tree_keys
from blockchain.primitives.smt_proof import BRANCH_PREFIX, EMPTY_HASH, KEY_BYTES, LEAF_PREFIX

DEPTH_MIN: Final = 4  # 16 slots, 1.6 KB: small enough for any chain, and growing from there is soon tested
PAIR_BYTES: Final = 65  # what a branch's hash is of: 01 ‖ left ‖ right
HALF_PAIR_BYTES: Final = 33  # 01 ‖ left
PART_LEVELS: Final = 12  # 4,096 slots a part: half a megabyte, some 20 ms
RECORDS_AT_ONCE: Final = 16_384  # that are hashed: a megabyte or two, some 20 ms
EMPTY, LEAF, BRANCH = 0, 1, 2  # kinds of node; two children make a branch exactly if their kinds add up to 2 or more
_FIRST_BITS: Final = 8  # by which leaves are told apart: up to 256 parts
_KIND_OF_SUM: Final = bytes((EMPTY, LEAF, *[BRANCH] * 254))
_FIRST_WORD: Final = f">Q{RECORD_BYTES - 8}x"  # of a record: the first 64 bits of its key
_NO_KEY: Final = bytes(KEY_BYTES)


class Records(Struct, frozen=True, array_like=True, tag="records"):
    """Some records of the state, by the keys that they have there."""

    keys: tuple[bytes, ...]
    values: tuple[bytes, ...]


class Hashed(Struct, frozen=True, array_like=True):
    """Leaves as key ‖ hash, in any order, those behind each other whose keys in the tree begin with the same byte."""

    groups: tuple[bytes, ...]


class Leaves(Struct, frozen=True, array_like=True, tag="leaves"):
    """The leaves below the node with heap index `top`, key ‖ hash each, in any order; the slots lie at `depth`."""

    top: int
    depth: int
    leaves: bytes


class Part(Struct, frozen=True, array_like=True):
    """All nodes below a top, and what the slots hold.

    `pairs`: of each level of parents, the top's first, what their hashes are of; `kinds`: of each level of nodes, the
    top's first; `keys`: of the lone leaves, for each slot; `several`: the records of slots with more than one leaf, in
    key order, by the number of the slot.
    """

    hash: bytes
    pairs: tuple[bytes, ...]
    kinds: tuple[bytes, ...]
    keys: bytes
    several: dict[int, bytes]


class Builders(NamedTuple):
    """Who computes: each gives what becomes of the pieces, in their order."""

    hash_all: Callable[[Sequence[Records]], Iterable[Hashed]]
    build_all: Callable[[Sequence[Leaves]], Iterable[Part]]


def cut(records: Mapping[bytes, bytes]) -> list[Records]:
    """All of them in pieces; of no records, one that is empty."""
    keys, values = iter(records), iter(records.values())
    starts = range(0, max(len(records), 1), RECORDS_AT_ONCE)
    return [Records(tuple(islice(keys, RECORDS_AT_ONCE)), tuple(islice(values, RECORDS_AT_ONCE))) for _ in starts]


def hash_records(asked: Records) -> Hashed:
    """The leaves of these records, each under the hash of its key."""
    return hash_leaves(zip(tree_keys(asked.keys), asked.values, strict=True))


def hash_leaves(items: Iterable[tuple[bytes, bytes]]) -> Hashed:
    """The leaves of pairs of key, in the tree, and value."""
    groups: list[list[bytes]] = [[] for _ in range(1 << _FIRST_BITS)]
    for key, value in items:
        assert len(key) == KEY_BYTES and value, "a key has 32 bytes, a value at least one"
        groups[key[0]].append(key + sha256(LEAF_PREFIX + key + value).digest())
    return Hashed(tuple(map(b"".join, groups)))


def shared_out(hashed: Iterable[Hashed]) -> list[Leaves]:
    """All leaves, each key once, as the parts of a tree of the depth that suits them."""
    groups = [b"".join(group) for group in zip(*(each.groups for each in hashed), strict=True)]
    depth = max(DEPTH_MIN, (sum(map(len, groups)) // RECORD_BYTES - 1).bit_length())
    first = 1 << min(max(depth - PART_LEVELS, 0), _FIRST_BITS)  # the heap index of the leftmost top
    width = (1 << _FIRST_BITS) // first  # groups a part
    return [
        Leaves(first + number, depth, b"".join(groups[at : at + width]))
        for number, at in enumerate(range(0, len(groups), width))
    ]


def build_part(asked: Leaves) -> Part:
    """Put the leaves in order, and hash all nodes up to the top. Two leaves with one key are an assert."""
    levels = asked.depth - asked.top.bit_length() + 1
    leaves = asked.leaves
    records = sorted([leaves[at : at + RECORD_BYTES] for at in range(0, len(leaves), RECORD_BYTES)])
    hashes, keys, kinds = [bytes(EMPTY_HASH)] * (1 << levels), [_NO_KEY] * (1 << levels), bytearray(1 << levels)
    shift, mask = 64 - asked.depth, (1 << levels) - 1
    several: dict[int, list[bytes]] = {}
    for (word,), record in zip(iter_unpack(_FIRST_WORD, b"".join(records)), records, strict=True):
        slot = word >> shift & mask
        if kinds[slot] == EMPTY:
            kinds[slot], keys[slot], hashes[slot] = LEAF, record[:KEY_BYTES], record[KEY_BYTES:]
        else:
            several.setdefault(slot, [keys[slot] + hashes[slot]]).append(record)
    joined = {slot: b"".join(group) for slot, group in several.items()}
    for slot, content in joined.items():
        kinds[slot], hashes[slot] = BRANCH, hash_of(content_of(content, asked.depth), asked.depth)
    return _up(hashes, bytes(kinds), b"".join(keys), joined)


HERE: Final = Builders(partial(map, hash_records), partial(map, build_part))  # each piece when it is asked for


def kind_of(content: Content) -> int:
    """The kind of node at the top of a slot that holds this."""
    return min(leaves_in(content), BRANCH)


def _up(hashes: list[bytes], kinds: bytes, keys: bytes, several: dict[int, bytes]) -> Part:
    """The part above these slots."""
    pair_levels, kind_levels = [], [kinds]
    while len(hashes) > 1:
        pairs = [BRANCH_PREFIX + left + right for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
        sums = bytes(map(add, kinds[::2], kinds[1::2]))
        hashes = [
            sha256(pair).digest() if kind >= BRANCH else risen(pair) for pair, kind in zip(pairs, sums, strict=True)
        ]
        kinds = sums.translate(_KIND_OF_SUM)
        pair_levels.append(b"".join(pairs))
        kind_levels.append(kinds)
    return Part(hashes[0], tuple(reversed(pair_levels)), tuple(reversed(kind_levels)), keys, several)


def risen(pair: bytes) -> bytes:
    """The hash that rises from a pair that is no branch: a lone leaf's, or that of nothing."""
    left, right = pair[1:HALF_PAIR_BYTES], pair[HALF_PAIR_BYTES:]
    return left if right == EMPTY_HASH else right
